#!/bin/sh
# Fetches what test_images.sh loads the shim into: C libraries of other Debian releases, the oldest one's development files (a program
# built with those runs on all of them), musl, and two allocators. Unpacked under build/images, nothing is installed. What the mirror
# does not have is left out, and the test names it. Runs in native/; bin/bootstrap.sh calls it.
#   sh test/shim/fetch_images.sh <Debian architecture>…
set -u
suites='bullseye trixie sid' oldest=bullseye
images=build/images
[ $# -gt 0 ] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || exit 0
[ ! -e "$images/complete" ] || exit 0
work=$(mktemp -d "${TMPDIR:-/tmp}/spark-run-images.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT

# The machine's own mirror, other releases: its main entry is the one that has this release's own name.
own=$(. /etc/os-release 2>/dev/null; echo "${VERSION_CODENAME:-}")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null \
  | awk -v own="$own" '$2 == own && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || { echo "no Debian mirror is configured here; other C libraries are left out" >&2; exit 0; }
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
for suite in $suites "$own"; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$work/sources.list"
set -- "$@" -- # the architectures, then apt's options
while [ "$1" != -- ]; do
  architectures="${architectures:-} $1"
  set -- "$@" "-oAPT::Architectures::=$1"
  shift
done
shift
first=${architectures# }
first=${first%% *}
set -- "-oAPT::Architecture=$first" "$@" -oAPT::Sandbox::User=root -oAcquire::Languages=none \
  -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -oAcquire::Retries=1 "-oDir::State::Lists=$work/lists" \
  "-oDir::Cache=$work/cache" -oDir::State::status=/dev/null "-oDir::Etc::sourcelist=$work/sources.list" \
  "-oDir::Etc::sourceparts=$work/parts"
apt-get "$@" update >"$work/log" 2>&1 # a release that is gone makes this fail, and the others are there
wanted=
for architecture in $architectures; do
  for suite in $suites; do wanted="$wanted libc6:$architecture/$suite"; done
  wanted="$wanted libc6-dev:$architecture/$oldest linux-libc-dev:$architecture/$oldest"
done
wanted="$wanted musl:$first/$own musl-dev:$first/$own libjemalloc2:$first/$own libtcmalloc-minimal4:$first/$own"
# shellcheck disable=SC2086
(cd "$work" && apt-get "$@" download $wanted >log 2>&1) || for package in $wanted; do
  (cd "$work" && apt-get "$@" download "$package" >log 2>&1) || echo "$package cannot be had from this machine's mirror" >&2
done

# unpack <file pattern> <directory>; false where there is no such file
unpack() {
  for deb in $1; do
    [ -e "$deb" ] && mkdir -p "$2" && dpkg-deb -x "$deb" "$2" || return 1
  done
}
rm -rf "$images"
mkdir -p "$images"
for architecture in $architectures; do
  case $architecture in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) continue ;; esac
  for deb in "$work"/libc6_*_"$architecture".deb; do
    unpack "$deb" "$work/root" || continue
    # The few libraries themselves, all links followed, in a directory that tells their version: the test lays them out as images do.
    version=$(dpkg-deb -f "$deb" Version)
    at=$images/$machine/glibc-${version%%-*}
    mkdir -p "$at"
    for library in ld-linux-x86-64.so.2 ld-linux-aarch64.so.1 libc.so.6 libdl.so.2 libm.so.6 libpthread.so.0 librt.so.1; do
      found=$(find "$work/root" -path "*/$machine-linux-gnu/$library" | head -n 1)
      [ -z "$found" ] || cp -L "$found" "$at/$library"
    done
    rm -rf "$work/root"
  done
  root=$images/$machine/sysroot
  version=$(dpkg-deb -f "$work"/libc6-dev_*_"$architecture".deb Version 2>/dev/null)
  if unpack "$work/libc6_${version}_$architecture.deb" "$root" && unpack "$work/libc6-dev_*_$architecture.deb" "$root" \
    && unpack "$work/linux-libc-dev_*_$architecture.deb" "$root"; then
    rm -rf "$root/usr/share" "$root/etc" "$root/usr/lib/$machine-linux-gnu/gconv"
    # Links that name the machine's own root lead into this one instead.
    find "$root" -type l -lname '/*' | while read -r link; do
      target=$root$(readlink "$link")
      rm "$link"
      [ ! -e "$target" ] || cp -L "$target" "$link"
    done
  else
    rm -rf "$root"
  fi
done
unpack "$work/musl_*.deb" "$images/musl" && unpack "$work/musl-dev_*.deb" "$images/musl" || rm -rf "$images/musl"
for deb in "$work"/libjemalloc2_*.deb "$work"/libtcmalloc-minimal4_*.deb; do unpack "$deb" "$images/allocators"; done
rm -rf "$images"/*/usr/share "$images/allocators/etc"
find "$images" -xtype l -delete
[ ! -e "$images/x86_64" ] && [ ! -e "$images/aarch64" ] || : >"$images/complete"

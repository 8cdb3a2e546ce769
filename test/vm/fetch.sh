#!/bin/sh
# Fetches what the virtual machines are made of: Debian's cloud kernel with its headers, runc, busybox and the libraries runc needs.
# Unpacked under native/build/vm/<machine>, nothing is installed. What is there already is not fetched again.
#   sh test/vm/fetch.sh <machine>…     machine: x86_64, aarch64
set -eu
cd "$(dirname "$0")/../.."
vm=$PWD/native/build/vm
deb_name() { case $1 in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) echo "fetch: unknown machine $1" >&2; return 2 ;; esac; }
missing=
for machine in "$@"; do
  deb_name "$machine" >/dev/null
  [ -e "$vm/$machine/complete" ] || missing="$missing $machine"
done
[ -n "$missing" ] || exit 0
work=$(mktemp -d "${TMPDIR:-/tmp}/spark-run-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
for signal in HUP INT TERM; do
  # shellcheck disable=SC2064
  trap "rm -rf '$work'; trap - $signal; kill -s $signal \$\$" "$signal"
done
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs"
# The headers' own programs (fixdep, modpost, objtool) run on this machine, whichever they are for.
own=$(dpkg --print-architecture)
# The machine's own sources, for both processors, beside its own lists.
apt() {
  command=$1
  shift
  "$command" "-oAPT::Architecture=$own" -oAPT::Architectures::=amd64 -oAPT::Architectures::=arm64 -oAPT::Sandbox::User=root \
    -oAcquire::Languages=none -oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -oAcquire::Retries=1 \
    "-oDir::State::Lists=$work/lists" "-oDir::Cache=$work/cache" -oDir::State::status=/dev/null "$@"
}
apt apt-get update >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
download() { (cd "$work/debs" && apt apt-get download "$@") >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }
# The first package that the newest version of a package depends on.
needs() { apt apt-cache show --no-all-versions "$1" | sed -n 's/^Depends: \([^ ,]*\).*/\1/p' | head -n 1; }

for machine in $missing; do
  deb=$(deb_name "$machine")
  image=$(needs "linux-image-cloud-$deb:$deb") headers=$(needs "linux-headers-cloud-$deb:$deb")
  [ -n "$image" ] && [ -n "$headers" ] || { echo "fetch: no cloud kernel for $machine in this machine's sources" >&2; exit 1; }
  version=${image#linux-image-}
  common=linux-headers-${version%-cloud-*}-common
  kbuild=$(apt apt-cache show --no-all-versions "$headers:$deb" | grep -o 'linux-kbuild-[^ ,]*' | head -n 1)
  rm -rf "$work/debs" "${vm:?}/$machine"
  mkdir -p "$work/debs" "$vm/$machine/kernel" "$vm/$machine/root"
  download "$image:$deb" "$headers:$deb" "$common" "$kbuild:$own" "runc:$deb" "busybox-static:$deb" "libc6:$deb" "libseccomp2:$deb"
  for package in "$work"/debs/linux-*.deb; do dpkg-deb -x "$package" "$vm/$machine/kernel"; done
  for package in runc busybox-static libc6 libseccomp2; do dpkg-deb -x "$work/debs/${package}"_*.deb "$vm/$machine/root"; done
  # The only path in the headers that leads out of where they were unpacked.
  echo "include ../$common/Makefile" >"$vm/$machine/kernel/usr/src/linux-headers-$version/Makefile"
  rm -rf "$vm/$machine/kernel/lib" "$vm/$machine/kernel/boot"/System.map-* "$vm/$machine/kernel/usr/share" "$vm/$machine/root/usr/share"
  # Links that lead nowhere here: npm pack stumbles over them.
  find "$vm/$machine" -xtype l -delete
  echo "$version" >"$vm/$machine/complete"
done

#!/bin/sh
# Gets a fresh clone ready: Debian packages, npm packages, native parts, TypeScript. Needs nothing but sh and node.
#   sh bin/bootstrap.sh build|demo|shim|test|vm|bench-guard
# `shim` and `bench-guard` are `build` for this machine's processor alone, and say nothing where nothing is to do.
# Each step looks first and does nothing where nothing is to do. Talks on stderr only.
set -eu
goal=${1:-build}
case $goal in
  build | demo | shim | test | vm | bench-guard) ;;
  *)
    echo "bootstrap: unknown goal '$goal'; it is build, demo, shim, test, vm or bench-guard" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."
say() { printf 'bootstrap: %s\n' "$*" >&2; }
log=$(mktemp "${TMPDIR:-/tmp}/spark-run-bootstrap.XXXXXX" 2>/dev/null) || {
  say "cannot write to ${TMPDIR:-/tmp}; set TMPDIR to a directory that you may write to and run this again"
  exit 1
}
trap 'rm -f "$log"' EXIT
# dash does not run the EXIT trap when a signal ends it.
for signal in HUP INT TERM; do
  # shellcheck disable=SC2064
  trap "rm -f '$log'; trap - $signal; kill -s $signal \$\$" "$signal"
done
# Quiet while it goes well; the whole output where it does not.
quietly() {
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
}

node_major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$node_major" -lt 20 ]; then
  say "spark-run needs Node.js 20 or later and found $(node --version 2>/dev/null || echo none); install it and run this again"
  exit 1
fi

# --- Debian packages: "command package…"; a line whose command exists wants nothing -------------------------------------
have() { command -v "$1" >/dev/null 2>&1 || [ -e "$1" ]; }
wanted=
want() { have "$1" || { shift; wanted="$wanted $*"; }; }
multiarch=$(uname -m)-linux-gnu
other_arch=aarch64 other_deb=arm64
[ "$(uname -m)" = aarch64 ] && other_arch=x86_64 other_deb=amd64

want gcc gcc libc6-dev
want make make
have "/usr/include/stdio.h" || wanted="$wanted libc6-dev"
want "/usr/lib/$multiarch/libjson-c.a" libjson-c-dev
needed=$wanted wanted=

if [ "$goal" = demo ] || [ "$goal" = test ]; then
  have dockerd && have docker || wanted="$wanted docker.io"
  want runc runc
  want /bin/busybox busybox-static
  want python3 python3
  want strace strace
fi
if [ "$goal" = test ]; then
  want podman podman
  want jq jq
  want /usr/bin/free procps
  want /usr/lib/python3/dist-packages/psutil python3-psutil
  if [ "$other_arch" = aarch64 ]; then
    want aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    want qemu-aarch64-static qemu-user-static
  fi
fi
if [ "$goal" = bench-guard ]; then
  want python3 python3
  want mkswap util-linux
  want swapon mount
fi
if [ "$goal" = vm ] || [ "$goal" = test ]; then
  want qemu-system-x86_64 qemu-system-x86
  want qemu-system-aarch64 qemu-system-arm
  # The kernel's own tools, objtool among them, and what packs the first file system.
  want "/usr/lib/$multiarch/libelf.so.1" libelf1
  want /bin/busybox busybox-static
  [ "$other_arch" != aarch64 ] || want aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
fi
if [ -n "$needed$wanted" ]; then
  if [ "$(id -u)" = 0 ] && have apt-get; then
    say "installing Debian packages:$needed$wanted"
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get update || say "apt-get update failed; trying with the lists at hand"
    # shellcheck disable=SC2086
    if ! quietly apt-get install -y --no-install-recommends $needed $wanted; then
      say "apt-get could not install them all; going on with what is there"
    fi
  else
    [ -z "$needed" ] || say "the build needs Debian packages that are not installed:$needed (as root: apt-get install$needed)"
    [ -z "$wanted" ] || say "some parts of '$goal' need Debian packages that are not installed:$wanted (as root: apt-get install$wanted); they are left out and named"
  fi
fi

# --- npm packages -------------------------------------------------------------------------------------------------------
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say "installing npm packages (npm ci)"
  quietly npm ci --no-audit --no-fund --ignore-scripts
  touch node_modules/.package-lock.json
fi

# --- native parts -------------------------------------------------------------------------------------------------------
# Another architecture's json-c comes as a Debian package unpacked beside the build; nothing is installed for it.
sysroot=native/build/sysroot-$other_arch
if [ "$goal" != shim ] && [ "$goal" != bench-guard ] && have "$other_arch-linux-gnu-gcc" && have apt-get && [ ! -e "$sysroot/usr/lib/$other_arch-linux-gnu/libjson-c.a" ]; then
  say "fetching json-c for $other_arch"
  apt=$PWD/native/build/apt-$other_deb
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  apt_other() {
    apt-get "-oAPT::Architecture=$other_deb" "-oAPT::Architectures=$other_deb" -oAPT::Sandbox::User=root \
      "-oDir::State::Lists=$apt/lists" "-oDir::Cache=$apt/cache" -oDir::State::status=/dev/null "$@"
  }
  if quietly apt_other update && (cd "$apt" && quietly apt_other download libjson-c-dev); then
    mkdir -p "$sysroot"
    for package in "$apt"/libjson-c-dev_*.deb; do dpkg-deb -x "$package" "$sysroot"; done
    # A link to a library that is in another package: npm pack stumbles over links that lead nowhere.
    rm -f "$sysroot"/usr/lib/*/libjson-c.so
  else
    say "could not fetch json-c for $other_arch; only $(uname -m) is built"
  fi
  rm -rf "$apt"
fi
# C libraries of other releases, which the shim is loaded into; the test names what could not be had.
if [ "$goal" = test ] && have apt-get && have dpkg && [ ! -e native/build/images/complete ]; then
  say "fetching C libraries of other Debian releases"
  (cd native && quietly sh test/shim/fetch_images.sh "$(dpkg --print-architecture)") || say "none could be fetched; what needs them is left out and named"
fi
# What bench:guard compares with. Unpacked beside the build and not installed: an installed one starts as a service and kills.
if [ "$goal" = bench-guard ] && have apt-get && have dpkg-deb; then
  fetched=$PWD/native/build/bench-tools
  fetch_tool() {
    [ -e "$fetched/$2" ] && return
    say "fetching $1"
    rm -rf "$fetched/deb" && mkdir -p "$fetched/deb"
    (cd "$fetched/deb" && quietly apt-get -oAPT::Sandbox::User=root download "$1") && dpkg-deb -x "$fetched"/deb/"$1"_*.deb "$fetched" \
      || say "could not fetch $1; the benchmark leaves it out and says so"
    rm -rf "$fetched/deb"
  }
  fetch_tool earlyoom usr/bin/earlyoom
  fetch_tool nohang usr/sbin/nohang
fi
# Kernel, runc and libraries of the virtual machines; a machine that could not be had is skipped by name.
if { [ "$goal" = vm ] || [ "$goal" = test ]; } && have apt-get && have dpkg; then
  for machine in x86_64 aarch64; do
    [ -e "native/build/vm/$machine/complete" ] || {
      say "fetching the cloud kernel for $machine"
      quietly sh test/vm/fetch.sh "$machine" || say "it could not be fetched; $machine is left out and named"
    }
  done
fi
jobs=$(nproc 2>/dev/null || echo 2)
if ! quietly make -s -C native -j"$jobs"; then
  say "the native parts could not be built; see above"
  exit 1
fi
if [ "$goal" = shim ] || [ "$goal" = bench-guard ]; then
  : # runs here, on this processor
elif have "$other_arch-linux-gnu-gcc" && [ -e "$sysroot/usr/lib/$other_arch-linux-gnu/libjson-c.a" ]; then
  quietly make -s -C native -j"$jobs" ARCH="$other_arch" || { say "the native parts for $other_arch could not be built; see above"; exit 1; }
elif [ "$goal" = build ]; then
  say "only $(uname -m) is built; for $other_arch install gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, then build again"
fi

# --- TypeScript ---------------------------------------------------------------------------------------------------------
# Newer than the last compilation that went well: a source, or a directory that lost one.
if [ ! -e dist/.compiled ] || [ -n "$(find src tsconfig.json node_modules/.package-lock.json -newer dist/.compiled | head -n 1)" ]; then
  # Marked with the time of its beginning: what is saved meanwhile is compiled the next time.
  # Under a name of our own: another one may be compiling.
  mkdir -p dist
  touch "dist/.compiling.$$"
  quietly node_modules/.bin/tsc -p tsconfig.json || { rm -f "dist/.compiling.$$"; exit 1; }
  mv "dist/.compiling.$$" dist/.compiled
fi

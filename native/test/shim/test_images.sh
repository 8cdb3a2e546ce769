#!/bin/sh
# The shim in root file systems as images have them, by a real /etc/ld.so.preload in a real chroot: several C libraries, layouts, users. The
# images are made here of C libraries from Debian packages (fetch_images.sh), so a layout is another distribution's and its C library is
# Debian's. Runs in native/, in a mount namespace of its own: nothing is left behind.
set -u
machine=$(uname -m)
build=$PWD/build/$machine at=$PWD/build/$machine/test/images images=$PWD/build/images
budget=3221225472 multiarch=$machine-linux-gnu
case $machine in
  x86_64) loader=ld-linux-x86-64.so.2 loader_directory=lib64 ;;
  aarch64) loader=ld-linux-aarch64.so.1 loader_directory=lib ;;
esac
count=0 failed=0
result() { # exit code, sentence
  count=$((count + 1))
  if [ "$1" -eq 0 ]; then echo "ok $count - $2"; return; fi
  [ ! -s "$work/said" ] || head -n 20 "$work/said" | sed 's/^/# /'
  echo "not ok $count - $2"
  failed=$((failed + 1))
}
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }

if [ "${1:-}" != inside ]; then
  everything='the shim in root file systems as images have them'
  reason=
  [ "$(id -u)" = 0 ] || reason='chroot wants root'
  work=$(mktemp -d) || exit 1
  trap 'rmdir "$work"' EXIT
  [ -n "$reason" ] || unshare -m mount -t tmpfs none "$work" 2>/dev/null || reason='no mount namespace can be made here'
  if [ -n "$reason" ]; then skip "$everything" "$reason"; echo 1..1; exit 0; fi
  unshare -m --propagation private sh "$0" inside "$work"
  exit
fi
work=$2
mount -t tmpfs -o mode=755 none "$work" || exit 1
preload=/usr/lib/spark-run/libspark-shim.so
drivers="libcuda.so.580.95.05 libnvidia-ml.so.1"

# make_image <directory of C library> <directory for libraries in the image>: the program and the driver, no shell, no /proc, no /dev.
make_image() {
  root=$work/$(basename "$1")-$(echo "$2" | tr / -)
  mkdir -p "$root/$2" "$root/usr/lib/spark-run" "$root/etc" "$root/files" "$root/$loader_directory" 2>/dev/null
  for library in "$loader" libc.so.6 libdl.so.2 libm.so.6 libpthread.so.0 librt.so.1; do
    cp -L "$1/$library" "$root/$2/$library"
  done
  [ -e "$root/$loader_directory/$loader" ] || cp -L "$1/$loader" "$root/$loader_directory/$loader"
  for driver in $drivers; do cp "$at/$driver" "$root/$2/"; done
  ln -s libcuda.so.580.95.05 "$root/$2/libcuda.so.1"
  ln -s libcuda.so.1 "$root/$2/libcuda.so"
  cp "$at/loader_probe" "$at/libown.so" "$root/"
  cp "$build"/libspark-shim.so "$build"/libspark-cuda.so "$build"/libspark-nvml.so "$root/usr/lib/spark-run/"
  chmod 777 "$root/files"
  [ -z "${3:-}" ] || { echo "/$2" >"$root/etc/ld.so.conf"; ldconfig -X -r "$root"; }
}
give_ledger() { "$build/test/shim/make_ledger" "$root/usr/lib/spark-run/ledger" "$budget" && chmod 666 "$root/usr/lib/spark-run/ledger"; }
chroot=$(command -v chroot) nobody=--userspec=65534:65534
# in_image [--userspec=…] <program> <argument>…, with an empty environment
in_image() {
  case $1 in --*) user=$1; shift ;; *) user= ;; esac
  # shellcheck disable=SC2086
  env -i "$chroot" $user "$root" "$@"
}
# hooked […]: the program keeps the budget, and the loader says nothing.
hooked() { in_image "$@" hooked $budget >"$work/said" 2>&1 && [ ! -s "$work/said" ]; }

check_image() { # the image's name
  in_image /loader_probe transcript /files >"$work/without" 2>&1
  bare=$?
  if in_image /loader_probe plain; then plain=0; else plain=1; fi
  echo "$preload" >"$root/etc/ld.so.preload"
  in_image /loader_probe transcript /files >"$work/idle" 2>&1 && cmp "$work/without" "$work/idle" >"$work/said" 2>&1
  idle=$?
  give_ledger
  in_image /loader_probe transcript /files >"$work/with" 2>&1
  diff "$work/without" "$work/with" >"$work/said" && [ "$bare" -eq 0 ] && [ "$(wc -l <"$work/with")" -ge 40 ]
  result $? "$1: handles, symbols and error texts are those of the loader without the shim"
  [ "$plain" -eq 0 ] && [ "$idle" -eq 0 ]
  result $? "$1: without the shim, and without a ledger, the driver is the driver's own"
  hooked /loader_probe
  result $? "$1: the driver is ours and keeps the budget"
}

check_users() { # the image's name
  hooked $nobody /loader_probe
  result $? "$1: as an ordinary user"
  cp "$root/loader_probe" "$root/loader_setuid" && chmod 4755 "$root/loader_setuid"
  hooked $nobody /loader_probe start SPARK_RUN_LEDGER=/nowhere LD_PRELOAD=/libown.so LD_LIBRARY_PATH=/nowhere -- /loader_setuid
  result $? "$1: a setuid program, which does not listen to its caller's environment"
  cp "$root/loader_probe" "$root/loader_capable"
  if python3 -c 'import os, struct, sys
os.setxattr(sys.argv[1], "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))' "$root/loader_capable" 2>/dev/null; then
    hooked $nobody /loader_probe start SPARK_RUN_LEDGER=/nowhere LD_PRELOAD=/libown.so -- /loader_capable
    result $? "$1: a program with a file capability"
  else
    skip "$1: a program with a file capability" 'no file capability can be set here'
  fi
  printf '%s\n/libown.so\n' "$preload" >"$root/etc/ld.so.preload"
  in_image /loader_probe hooked $budget 2>"$work/said" && grep -q '^libspark-shim.so libown.so ' "$work/said"
  result $? "$1: with the image's own preload after ours"
  echo "$preload" >"$root/etc/ld.so.preload"
  in_image /loader_probe start LD_PRELOAD=/libown.so -- /loader_probe hooked $budget 2>"$work/said" && grep -q '^libown.so libspark-shim.so ' "$work/said"
  result $? "$1: with the user's LD_PRELOAD, which the loader puts before any file"
  mv "$root/usr/lib/spark-run/ledger" "$work/ledger" && : >"$root/usr/lib/spark-run/ledger"
  mount --bind "$root" "$root" && mount --bind "$work/ledger" "$root/usr/lib/spark-run/ledger" && mount -o remount,bind,ro "$root" \
    && ! touch "$root/x" 2>/dev/null && hooked $nobody /loader_probe
  result $? "$1: a read-only root, an ordinary user"
  umount "$root/usr/lib/spark-run/ledger" "$root"
}

# The order matters to nobody: each image stands alone.
own=/lib/$multiarch
for libraries in "$images/$machine"/glibc-* "$own"; do
  [ -d "$libraries" ] || continue
  case $libraries in
    "$own") name="this machine's C library, $(getconf GNU_LIBC_VERSION)" ;;
    *)
      name="${libraries##*/}"
      [ -e "$at/old" ] || { skip "$name" 'the test programs could not be built for an old C library'; continue; }
      ;;
  esac
  make_image "$libraries" "lib/$multiarch"
  rmdir "$root/etc" && mkdir "$root/etc"
  check_image "$name, Debian's layout without a shell"
  check_users "$name"
done
[ -d "$images/$machine/glibc-2.31" ] || skip 'C libraries of other releases' 'not fetched: no Debian mirror with other releases when bin/bootstrap.sh test ran'
make_image "$own" usr/lib64 cached 2>/dev/null
check_image "the layout of Alma and Fedora (libraries in /usr/lib64, found by ld.so.cache; Debian's C library)"
skip 'glibc 2.17 to 2.30 at run time' 'no package source here has them; test_symbols.sh checks which symbol versions the shim names'

# Those that must not notice.
root=$work/$multiarch-lib-$multiarch
alone() { # program, name
  cp "$at/$1" "$root/$1"
  in_image "/$1" >"$work/heard" 2>"$work/said" && [ "$(cat "$work/heard")" = hello ] && [ ! -s "$work/said" ]
  result $? "$2 runs, and nothing is said"
}
alone says_hello_static 'a static program'
if [ -e "$at/says_hello_musl" ]; then
  cp "$images/musl/lib/ld-musl-$machine.so.1" "$root/lib/" 2>/dev/null || cp -L "$images/musl/usr/lib/$machine-linux-musl/libc.so" "$root/lib/ld-musl-$machine.so.1"
  alone says_hello_musl 'a program of musl'
  # A missing library in that file is no more to musl; to glibc it is one line for each program.
  mv "$root/usr/lib/spark-run" "$root/usr/lib/away"
  alone says_hello_musl 'with our library missing a program of musl'
else
  skip 'a program of musl' 'musl was not fetched'
fi

# Programs with another malloc, on this machine's own root: whoever is preloaded first.
"$build/test/shim/make_ledger" "$work/own" "$budget"
with_allocator() { # library, name
  library=$(find "$images/allocators" -name "$1" 2>/dev/null | head -n 1)
  [ -n "$library" ] || { skip "a program with $2" "$2 was not fetched"; return; }
  library=$(readlink -f "$library") failures=0
  for preload in "$build/libspark-shim.so:$library" "$library:$build/libspark-shim.so"; do
    env LD_PRELOAD="$preload" LD_LIBRARY_PATH="$build/test/shim/fake" SPARK_RUN_LEDGER="$work/own" \
      "$at/loader_probe" hooked $budget >"$work/said" 2>&1 && [ ! -s "$work/said" ] || failures=$((failures + 1))
  done
  result "$failures" "a program with $2, preloaded before and after the shim"
}
with_allocator 'libjemalloc.so.2' jemalloc
with_allocator 'libtcmalloc_minimal.so.4' tcmalloc
echo "1..$count"
[ "$failed" -eq 0 ]

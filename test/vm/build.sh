#!/bin/sh
# Builds what one virtual machine boots, under native/build/vm/<machine>: the kernel module, the filler, the first file system.
#   sh test/vm/build.sh <machine>     machine: x86_64, aarch64; after fetch.sh, and with spark-run's own programs built for it
set -eu
cd "$(dirname "$0")/../.."
machine=$1
root=$PWD vm=$PWD/native/build/vm/$machine programs=$PWD/native/build/$machine
version=$(cat "$vm/complete")
cross=
[ "$machine" = "$(uname -m)" ] || cross=$machine-linux-gnu-

# The sources are copied: the kernel's makefiles write beside them.
mkdir -p "$vm/module"
cp -r test/vm/module/. "$vm/module/"
make -s -C "$vm/kernel/usr/src/linux-headers-$version" "M=$vm/module" "CROSS_COMPILE=$cross" "SPARK_NATIVE=$root/native" modules
"${cross}gcc" -std=c11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -static -Inative -o "$vm/filler" test/vm/filler.c

tree=$vm/tree
rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/sbin" "$tree/usr/sbin" "$tree/usr/lib/spark-run" "$tree/etc/spark-run" "$tree/vm" "$tree/new"
cp "$vm/root/bin/busybox" "$tree/bin/"
cp "$vm/root/usr/sbin/runc" "$tree/usr/sbin/"
# The libraries that runc names, at the paths it names; /lib64 is where x86_64's loader is looked for.
for library in ld-linux-x86-64.so.2 ld-linux-aarch64.so.1; do
  [ ! -e "$vm/root/lib/$machine-linux-gnu/$library" ] || {
    mkdir -p "$tree/lib" "$tree/lib64"
    cp -L "$vm/root/lib/$machine-linux-gnu/$library" "$tree/lib/"
    cp -L "$vm/root/lib/$machine-linux-gnu/$library" "$tree/lib64/"
  }
done
for library in libc.so.6 libseccomp.so.2; do
  found=$(find "$vm/root" -path "*/$machine-linux-gnu/$library" | head -n 1)
  mkdir -p "$tree/lib/$machine-linux-gnu"
  cp -L "$found" "$tree/lib/$machine-linux-gnu/"
done
cp "$programs/spark-runtime" "$programs/spark-hook" "$programs/spark-guard" "$programs/libspark-shim.so" "$tree/usr/lib/spark-run/"
"${cross}strip" "$tree/usr/lib/spark-run"/spark-*
: >"$tree/usr/lib/spark-run/ledger"
node bin/spark-run.js plan --json --policy test/vm/policy.json >"$tree/etc/spark-run/plan.json"
cp "$vm/module/uncharged.ko" "$vm/filler" "$tree/vm/"
"${cross}strip" --strip-debug "$tree/vm/uncharged.ko"
cp test/vm/guest/* "$tree/vm/"
cp test/vm/guest/init "$tree/init"
(cd "$tree" && find . | busybox cpio -o -H newc) >"$vm/initramfs.$$" 2>/dev/null
mv "$vm/initramfs.$$" "$vm/initramfs"
rm -rf "$tree"

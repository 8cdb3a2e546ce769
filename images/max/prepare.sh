#!/bin/sh
# Makes the root file system of the max image from Debian packages and wheels, and prints its path. Nothing is done twice:
# the directory is named by everything it is made of.   prepare.sh CACHE_DIR
set -eu
cache=${1:?usage: prepare.sh CACHE_DIR}
here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'images/max: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

machine=$(uname -m)
case $machine in
  x86_64) deb_arch=amd64 ;;
  aarch64) deb_arch=arm64 ;;
  *) fail "there is no MAX for $machine; it is built for x86_64 and aarch64" ;;
esac
key=$(cd "$here" && { echo "$machine"; cat packages.txt wheels.txt leave-out.txt unpack_wheels.py prepare.sh; } | sha256sum | cut -c1-12)
made=$cache/max-$key
if [ -e "$made/complete" ]; then
  echo "$made/rootfs"
  exit 0
fi

for program in apt-get dpkg-deb python3 tar; do
  command -v "$program" >/dev/null || fail "$program is missing: the image is made from Debian 12's packages, so make it on Debian 12"
done
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip, which fetches the wheels: apt-get install python3-pip"

mkdir -p "$cache"
work=$(mktemp -d "$cache/.max-XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/debs" "$work/wheels" "$work/rootfs"
log=$work/log
lines() { grep -v '^#' "$here/$1"; }

say "fetching Debian packages"
apt() { apt-get -o "APT::Architecture=$deb_arch" -o APT::Sandbox::User=root "$@"; }
# shellcheck disable=SC2046
fetch_packages() { (cd "$work/debs" && apt download $(lines packages.txt)) >"$log" 2>&1; }
if ! fetch_packages; then
  # A fresh machine has no package lists, or old ones.
  { [ "$(id -u)" = 0 ] && apt update >"$log" 2>&1 && fetch_packages; } || {
    tail -n 3 "$log" >&2
    fail "Debian's packages cannot be fetched; the image needs Debian 12's package mirror (python3.11) and the network"
  }
fi

say "fetching MAX's wheels (about 200 MB)"
# shellcheck disable=SC2046
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work/wheels" \
  --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
  --platform "manylinux_2_34_$machine" --platform "manylinux_2_28_$machine" --platform "manylinux_2_27_$machine" \
  --platform "manylinux_2_17_$machine" --platform any $(lines wheels.txt) >"$log" 2>&1 || {
  tail -n 3 "$log" >&2
  fail "MAX's wheels cannot be fetched from the Python package index; the image needs the network once"
}

say "unpacking"
root=$work/rootfs
mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64" "$root/etc" "$root/root" "$root/proc" "$root/sys" \
  "$root/dev" "$root/run" "$root/var"
mkdir -m 1777 "$root/tmp"
for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$root/$directory"; done
for deb in "$work"/debs/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" -x --keep-directory-symlink --no-same-owner \
    --exclude './usr/share' --exclude './usr/lib/python3.11/lib2to3' --exclude './usr/lib/python3.11/pydoc_data'
done
ln -s python3.11 "$root/usr/bin/python3"
for applet in sh cat env ls sleep; do ln -s busybox "$root/usr/bin/$applet"; done
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
python3 "$here/unpack_wheels.py" "$here/leave-out.txt" "$root/usr/lib/python3/dist-packages" "$work"/wheels/*.whl

rm -rf "$work/debs" "$work/wheels" "$log"
chmod 755 "$root"
touch "$work/complete"
rm -rf "$made"
# Another build may have been faster; its result is the same.
mv -T "$work" "$made" 2>/dev/null || [ -e "$made/complete" ]
trap - EXIT
rm -rf "$work"
echo "$made/rootfs"

#!/bin/sh
# test_kinds once more where a memory cgroup can be read, as in a container: in a cgroup of its own that is mounted as the top. Runs in native/.
set -u
skip() {
  echo "ok 1 - pinned and managed memory beside a memory cgroup # SKIP $1"
  echo 1..1
  exit 0
}
test=$PWD/build/$(uname -m)/test/shim/test_kinds
if [ -f /sys/fs/cgroup/memory/memory.stat ]; then
  top=/sys/fs/cgroup/memory
else
  top=/sys/fs/cgroup
fi
own=$top/spark-shim-test-$$
log=$(mktemp) || exit 1
trap 'rm -f "$log"; rmdir "$own" 2>/dev/null' EXIT
mkdir "$own" 2>/dev/null || skip "no cgroup can be made in $top"
[ -f "$own/memory.stat" ] || skip "cgroups made in $top have no memory controller"
# shellcheck disable=SC2016
unshare -m sh -c 'echo $$ >"$1/cgroup.procs" && mount --make-rprivate / && mount --bind "$1" "$2" && exec "$3"' - "$own" "$top" "$test" >"$log" 2>&1
status=$?
if ! grep -q '^1\.\.' "$log" && [ "$status" -ne 0 ] && grep -q -i 'not permitted\|denied' "$log"; then
  skip 'mount namespaces are not allowed here'
fi
if [ "$status" -eq 0 ] && grep -q '^# a memory cgroup can be read' "$log" && ! grep -q '^not ok' "$log"; then
  echo "ok 1 - pinned and managed memory beside a memory cgroup: $(grep -c '^ok' "$log") groups"
  echo 1..1
  exit 0
fi
sed 's/^/# /' "$log"
echo 'not ok 1 - pinned and managed memory beside a memory cgroup'
echo 1..1
exit 1

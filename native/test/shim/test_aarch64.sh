#!/bin/sh
# The aarch64 shim under an emulator; what that cannot run is skipped by name. Runs in native/.
set -u
skip() {
  echo "ok 1 - the aarch64 shim under qemu # SKIP $1"
  echo 1..1
  exit 0
}
[ "$(uname -m)" = x86_64 ] || skip 'this machine is no x86_64; its own tests have run'
emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || skip 'no qemu-aarch64-static; Debian: qemu-user-static'
command -v aarch64-linux-gnu-gcc >/dev/null || skip 'no aarch64-linux-gnu-gcc; Debian: gcc-aarch64-linux-gnu'
[ -d /usr/aarch64-linux-gnu/lib ] || skip 'no C library for aarch64 in /usr/aarch64-linux-gnu; Debian: libc6-dev-arm64-cross'

tests='test_redirect test_scopes test_hooks test_contexts test_trace test_same_address test_pools test_kinds test_nvml test_host_views test_host_figures test_limits test_agrees test_ipc'
at=build/aarch64
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
if ! make -s ARCH=aarch64 $(for test in $tests; do echo "$at/test/shim/$test"; done) >"$log" 2>&1; then
  sed 's/^/# /' "$log"
  echo 'not ok 1 - the aarch64 shim builds'
  echo 1..1
  exit 1
fi
count=0 failed=0
for test in $tests; do
  "$emulator" -L /usr/aarch64-linux-gnu -E SPARK_TEST_EMULATED=1 -E LD_PRELOAD="$PWD/$at/libspark-shim.so" \
    -E LD_LIBRARY_PATH="$PWD/$at/test/shim/fake" "$at/test/shim/$test" >"$log" 2>&1
  status=$?
  count=$((count + 1))
  if [ "$status" -eq 0 ] && grep -q '^1\.\.' "$log" && ! grep -q '^not ok' "$log"; then
    echo "ok $count - $test on aarch64: $(grep -c '^ok' "$log") groups"
  else
    sed 's/^/# /' "$log"
    failed=$((failed + 1))
    echo "not ok $count - $test on aarch64 ended with exit code $status"
  fi
done
left_out() { # reason, programs
  reason=$1
  shift
  for test in "$@"; do
    count=$((count + 1))
    echo "ok $count - $test on aarch64 # SKIP $reason"
  done
}
left_out 'it starts programs, or forks among threads, and the emulator cannot wipe memory at fork' test_sharing test_race test_programs test_tight_places
left_out 'the emulator has no seccomp, which answers there for the kernel module' test_kernel_module
left_out "the emulator's own memory stands in /proc/self/maps beside the shim's" test_live_bytes
echo "1..$count"
[ "$failed" -eq 0 ]

#!/bin/sh
# The tests of the preloaded shim once more, with AddressSanitizer and UndefinedBehaviorSanitizer in the shim. Runs in native/.
set -u
arch=$(uname -m)
build=$PWD/build/$arch
asan=$(${CC:-gcc} -print-file-name=libasan.so) ubsan=$(${CC:-gcc} -print-file-name=libubsan.so)
case $asan in
  /*) ;;
  *) echo 'ok 1 - the whole shim under sanitizers # SKIP the compiler has no shared libasan'; echo 1..1; exit 0 ;;
esac
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
count=0 failed=0
for test in test_redirect test_hooks test_contexts test_pools test_kinds test_nvml test_sharing test_race test_host_views test_host_figures test_limits test_kernel_module test_live_bytes test_agrees; do
  # Leaks are not looked for: what the shim keeps it keeps for as long as the process lives.
  ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    LD_PRELOAD="$(readlink -f "$asan") $(readlink -f "$ubsan") $build/san-shim/libspark-shim.so" \
    LD_LIBRARY_PATH="$build/test/shim/fake" SPARK_TEST_SANITIZED=1 "$build/test/shim/$test" >"$log" 2>&1
  status=$?
  count=$((count + 1))
  if [ "$status" -eq 0 ] && ! grep -q -e '^not ok' -e 'ERROR: ' -e 'runtime error: ' "$log"; then
    echo "ok $count - $test with a sanitized shim: $(grep -c '^ok' "$log") groups"
  else
    sed 's/^/# /' "$log"
    failed=$((failed + 1))
    echo "not ok $count - $test with a sanitized shim ended with exit code $status"
  fi
done
echo "1..$count"
[ "$failed" -eq 0 ]

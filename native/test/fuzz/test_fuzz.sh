#!/bin/sh
# About a minute of fuzzing on two cores, by rounds and not by the clock; `make fuzz SECONDS=1800` goes on with other seeds. Runs in native/.
set -u
at=build/$(uname -m)/test/fuzz
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
count=0 failed=0
one() {
  count=$((count + 1))
  if "$@" >"$log" 2>&1; then
    echo "ok $count - ${2#"$at"/} ${3-} ${4-}: $(tail -n 1 "$log")"
  else
    sed 's/^/# /' "$log"
    failed=$((failed + 1))
    echo "not ok $count - ${2#"$at"/} found something; its seed is above"
  fi
}
one nice "$at/asan/fuzz" 1 250
one nice "$at/tsan/fuzz" 1 100
# The ledger and the table of allocations by themselves, with threads and processes, under ThreadSanitizer.
one nice "$at/tsan/test_ledger_client"
one nice "$at/tsan/test_track"
echo "1..$count"
[ "$failed" -eq 0 ]

#!/bin/sh
# Runs each test program and prints its TAP under its name; the last line counts them all.
# A program that dies before its plan line ("1..N") is one failed test.
set -u
passed=0 failed=0 skipped=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
for test in "$@"; do
  printf '# %s\n' "${test##*/}"
  "$test" >"$out" 2>&1
  status=$?
  cat "$out"
  ok=$(grep -c '^ok ' "$out")
  skip=$(grep -c '^ok .*# SKIP' "$out")
  bad=$(grep -c '^not ok ' "$out")
  if ! grep -q '^1\.\.[0-9]' "$out" || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
    printf 'not ok - %s ended with exit code %s before its plan\n' "${test##*/}" "$status"
    bad=$((bad + 1))
  fi
  passed=$((passed + ok - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
printf 'native: %d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]

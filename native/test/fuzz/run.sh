#!/bin/sh
# Fuzzing for as long as asked, both sanitizer builds in turn, each time with seeds that were never used. Runs in native/.
#   sh test/fuzz/run.sh SECONDS [FIRST-SEED [DIRECTORY-OF-THE-BUILDS]]
# Ends at the first finding, whose last lines name the seed: <directory>/<kind>/fuzz SEED 1 shows it again.
set -u
seconds=$1 seed=${2:-1} at=${3:-build/$(uname -m)/test/fuzz}
rounds=50 begin=$(date +%s) runs=0
while [ $(($(date +%s) - begin)) -lt "$seconds" ]; do
  for kind in asan tsan; do
    if ! "$at/$kind/fuzz" "$seed" "$rounds"; then
      echo "fuzz: the $kind build found something in seeds $seed to $((seed + rounds - 1))" >&2
      exit 1
    fi
  done
  seed=$((seed + rounds)) runs=$((runs + 1))
done
echo "fuzz: $(($(date +%s) - begin)) s, $((runs * rounds)) rounds in each build, seeds up to $((seed - 1)), nothing found"

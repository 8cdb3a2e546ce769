#!/bin/sh
# The parsers on the kept corpus and on what chance makes of it, by rounds and not by the clock. Longer, with other seeds:
#   build/<arch>/test/fuzz-parsers/mutate test/fuzz-parsers/corpus SEED 0 SECONDS          Runs in native/.
set -u
at=build/$(uname -m)/test/fuzz-parsers
failed=0
n=0
for seed in 1 2; do
  n=$((n + 1))
  if said=$("$at/mutate" test/fuzz-parsers/corpus "$seed" 150000 2>&1); then
    echo "ok $n - parsers of foreign text: ${said##*
}"
  else
    printf '%s\n' "$said" | sed 's/^/# /'
    echo "not ok $n - parsers of foreign text, seed $seed"
    failed=1
  fi
done
echo "1..$n"
exit $failed

#!/bin/sh
# Kill after kill: sh native/test/guard/kills.sh [KILLS [SEED]], from anywhere; 10000 takes about 8 minutes. Builds what is missing.
set -eu
cd "$(dirname "$0")/../.."
at=build/$(uname -m)
make -s "$at/spark-guard" "$at/test/guard/kills"
exec "$at/test/guard/kills" "$at/spark-guard" "${1:-10000}" "${2:-1}"

#!/bin/sh
# SIGKILL of the guard at random moments: sh native/test/guard/restarts.sh [TIMES [SEED]], from anywhere; 1000 takes about 2 minutes.
set -eu
cd "$(dirname "$0")/../.."
at=build/$(uname -m)
make -s "$at/spark-guard" "$at/test/guard/restarts"
exec "$at/test/guard/restarts" "$at/spark-guard" "${1:-1000}" "${2:-1}"

#!/bin/sh
# The shim on a real driver: each engine sees the budget, is refused cleanly at it, and works on. Prints a JSON line each.
#   sh test/gpu/run.sh [BUDGET_MIB]      needs an NVIDIA driver, the built native parts, PyTorch; MAX where PYTHONPATH has it
set -u
cd "$(dirname "$0")/../.."
budget_mib=${1:-4500}
build=native/build/$(uname -m)
command -v nvidia-smi >/dev/null || { echo "test/gpu: no NVIDIA driver here (nvidia-smi is missing)" >&2; exit 77; }
[ -x "$build/spark-hook" ] || { echo "test/gpu: the native parts are not built; run npm run build" >&2; exit 1; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export SPARK_RUN_LEDGER="$work/ledger"
fresh() { "$build/spark-hook" ledger --file "$SPARK_RUN_LEDGER" --budget-bytes $((budget_mib * 1048576)); }
held() { LD_PRELOAD="$PWD/$build/libspark-shim.so" "$@"; }

echo "# driver $(nvidia-smi --query-gpu=driver_version,name --format=csv,noheader), budget $budget_mib MiB"
echo "# PyTorch, default allocator"
fresh && held python3 test/gpu/torch_budget.py "default"
echo "# PyTorch, expandable segments"
fresh && PYTORCH_ALLOC_CONF=expandable_segments:True held python3 test/gpu/torch_budget.py "expandable_segments:True"
echo "# PyTorch, cudaMallocAsync"
fresh && PYTORCH_ALLOC_CONF=backend:cudaMallocAsync held python3 test/gpu/torch_budget.py "backend:cudaMallocAsync"
if python3 -c 'import max.driver' 2>/dev/null; then
  echo "# MAX, shim alone"
  fresh && held python3 images/max/probe.py --size 256m --json 2>/dev/null | grep -v '"got"'
  echo "# MAX, knobs alone"
  MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE=$((budget_mib * 1048576 * 9 / 10 / 268435456 * 268435456)) \
    MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_CHUNK_PERCENT=100 MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_ONLY=true \
    python3 images/max/probe.py --size 256m --json 2>/dev/null | grep -v '"got"'
else
  echo "# MAX: skipped, not importable here"
fi

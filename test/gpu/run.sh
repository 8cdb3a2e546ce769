#!/bin/sh
# The shim on a real driver: each engine sees the budget, is refused cleanly at it, and works on. Prints a JSON line each.
#   sh test/gpu/run.sh [BUDGET_MIB] [engines|cudart|kinds|mps|overhead|guard …]     no word = all
# Needs an NVIDIA driver and the built native parts; PyTorch, JAX, CuPy and MAX where python3 has them.
set -u
cd "$(dirname "$0")/../.."
budget_mib=${1:-4500}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- engines cudart kinds mps overhead guard
build=native/build/$(uname -m)
command -v nvidia-smi >/dev/null || { echo "test/gpu: no NVIDIA driver here (nvidia-smi is missing)" >&2; exit 77; }
[ -x "$build/spark-hook" ] || { echo "test/gpu: the native parts are not built; run npm run build" >&2; exit 1; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export SPARK_RUN_LEDGER="$work/ledger"
shim=$PWD/$build/libspark-shim.so
fresh() { "$build/spark-hook" ledger --file "$SPARK_RUN_LEDGER" --budget-bytes $((budget_mib * 1048576)); }
held() { LD_PRELOAD="$shim" "$@"; }
have() { python3 -c "import $1" 2>/dev/null || { echo "# $1: skipped, not importable here"; return 1; }; }

engines() {
  if have torch; then
    for settings in "" expandable_segments:True backend:cudaMallocAsync; do
      echo "# PyTorch, ${settings:-default allocator}"
      fresh && PYTORCH_ALLOC_CONF=$settings held python3 test/gpu/torch_budget.py "${settings:-default}"
    done
  fi
  if have cupy; then
    echo "# CuPy, its pool"
    fresh && held python3 test/gpu/cupy_budget.py
  fi
  if have jax; then
    echo "# JAX, preallocation"
    fresh && held python3 test/gpu/jax_budget.py "preallocation"
    echo "# JAX, the knob of spark-run: XLA_PYTHON_CLIENT_PREALLOCATE=false"
    fresh && XLA_PYTHON_CLIENT_PREALLOCATE=false held python3 test/gpu/jax_budget.py "on demand"
  fi
  if have max.driver; then
    echo "# MAX, shim alone"
    fresh && held python3 images/max/probe.py --size 256m --json 2>/dev/null | grep -v '"got"'
    fresh && held python3 test/gpu/max_answer.py 2>/dev/null
    echo "# MAX, knobs alone"
    MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE=$((budget_mib * 1048576 * 9 / 10 / 268435456 * 268435456)) \
      MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_CHUNK_PERCENT=100 MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_ONLY=true \
      python3 images/max/probe.py --size 256m --json 2>/dev/null | grep -v '"got"'
  fi
}

# Its wheel lies beside PyTorch: nvidia/cu13/lib, or nvidia/cuda_runtime/lib for CUDA 12.
cudart_one() {
  echo "# libcudart, $1"
  shift
  cc -O1 -std=gnu11 -o "$work/cudart_budget" test/gpu/cudart_budget.c "$@" || return 1
  fresh && held "$work/cudart_budget" "$budget_mib" && fresh && held "$work/cudart_budget" --functions
}
cudart() {
  runtime=${CUDART_DIR:-$(python3 -c 'import glob, site; print(next((p for s in site.getsitepackages() for p in sorted(glob.glob(s + "/nvidia/*/lib"))
    if glob.glob(p + "/libcudart.so.*")), ""))')}
  [ -n "$runtime" ] || { echo "# libcudart: skipped, no wheel of it here; CUDART_DIR names a directory with libcudart.so.N"; return; }
  cudart_one shared "$(find "$runtime" -name 'libcudart.so.*' | sort | head -n 1)" "-Wl,-rpath,$runtime"
  if [ -e "$runtime/libcudart_static.a" ]; then
    cudart_one static "$runtime/libcudart_static.a" -ldl -lpthread -lrt
  else
    echo "# libcudart, static: skipped, no libcudart_static.a in $runtime"
  fi
}

kinds() {
  echo "# every kind of memory: the ledger beside the device"
  fresh && held python3 test/gpu/kinds_budget.py
}

overhead() {
  if cc -O2 -o "$work/alloc_pair" test/gpu/alloc_pair.c -ldl && have torch; then
    echo "# overhead, with and without the shim in turn"
    fresh && python3 test/gpu/overhead.py "$shim" "$SPARK_RUN_LEDGER" "$work/alloc_pair"
  fi
}

# The server is a process of this run and nothing of the GPU is set: its mode stays as it is.
mps() {
  if ! command -v nvidia-cuda-mps-control >/dev/null; then
    echo "# MPS: skipped, nvidia-cuda-mps-control is not here"
    return
  fi
  echo "# two clients of MPS"
  export CUDA_MPS_PIPE_DIRECTORY="$work/mps" CUDA_MPS_LOG_DIRECTORY="$work/mps"
  mkdir -p "$work/mps"
  nvidia-cuda-mps-control -d && fresh && held python3 test/gpu/mps_budget.py "$budget_mib"
  echo quit | nvidia-cuda-mps-control
  unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
}

guard() {
  echo "# the guard: pinned memory past the host's reserve, on cgroup v2"
  python3 test/gpu/guard_kill.py "$build/spark-guard" 10
}

echo "# driver $(nvidia-smi --query-gpu=driver_version,name --format=csv,noheader), budget $budget_mib MiB"
for part in "$@"; do
  case $part in
    engines | cudart | kinds | mps | overhead | guard) $part ;;
    *) echo "test/gpu: unknown part '$part'; it is engines, cudart, kinds, mps, overhead or guard" >&2; exit 2 ;;
  esac
done

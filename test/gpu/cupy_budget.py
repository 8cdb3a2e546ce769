"""CuPy's pool under the shim: what it sees, how it is refused at the budget, and that it computes rightly afterwards.

Prints one JSON object. Needs an NVIDIA driver and CuPy; run by test/gpu/run.sh.
"""

import json

import cupy

MIB = 1 << 20
free, total = cupy.cuda.runtime.memGetInfo()
got, error = [], None
try:
    while len(got) < 4096:
        got.append(cupy.empty(64 * MIB, dtype=cupy.uint8))
except cupy.cuda.memory.OutOfMemoryError as refused:
    error = type(refused).__name__
held = len(got) * 64 * MIB
del got[: len(got) // 2]
cupy.get_default_memory_pool().free_all_blocks()
a = cupy.arange(1 << 20, dtype=cupy.int64)
right = int(a.sum()) == (1 << 20) * ((1 << 20) - 1) // 2
del a, got
cupy.get_default_memory_pool().free_all_blocks()
free_at_end, _ = cupy.cuda.runtime.memGetInfo()
print(
    json.dumps(
        {
            "engine": f"CuPy {cupy.__version__}",
            "totalBytes": total,
            "freeBytes": free,
            "heldBytes": held,
            "refusedWith": error,
            "rightAnswerAfter": right,
            "freeAtEndBytes": free_at_end,
        }
    )
)

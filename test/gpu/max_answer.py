"""MAX under the shim: takes buffers until it is refused, gives half back, and then copies numbers to the device and back.

Prints one JSON object. The wheels alone compile no graph, so a copy there, between buffers and back is what can be checked here.
"""

import json
import os

import numpy
from max._core import __version__
from max.driver import Accelerator, Buffer
from max.dtype import DType

MIB = 1 << 20
device = Accelerator()
stats = dict(device.stats)
got, error = [], None
while error is None and len(got) < 4096:
    try:
        got.append(Buffer(shape=(256 * MIB,), dtype=DType.uint8, device=device))
    except ValueError as refused:
        error = "CUDA_ERROR_OUT_OF_MEMORY" if "CUDA_ERROR_OUT_OF_MEMORY" in str(refused) else str(refused).splitlines()[0]
held = len(got) * 256 * MIB
del got[: len(got) // 2]
numbers = numpy.arange(1 << 20, dtype=numpy.int64)
there = Buffer.from_numpy(numbers).to(device)
second = Buffer(shape=(1 << 20,), dtype=DType.int64, device=device)
second.inplace_copy_from(there)
device.synchronize()
right = bool((second.to_numpy() == numbers).all())
print(
    json.dumps(
        {
            "engine": f"MAX {__version__}",
            "plannedBytes": stats.get("total_memory"),
            "heldBytes": held,
            "refusedWith": error,
            "rightAnswerAfter": right,
        }
    ),
    flush=True,
)
# MAX 26.7 cannot always unwind after a refusal; what was to be seen is printed.
os._exit(0 if right else 1)

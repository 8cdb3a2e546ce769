"""PyTorch under the shim: what it sees, how it is refused at the budget, and that it computes rightly afterwards.

Prints one JSON object. Needs an NVIDIA driver and PyTorch; run by test/gpu/run.sh.
"""

import json
import sys

import torch

MIB = 1 << 20
free, total = torch.cuda.mem_get_info()
got, error = [], None
try:
    while len(got) < 4096:
        got.append(torch.empty(64 * MIB, dtype=torch.uint8, device="cuda"))
except torch.OutOfMemoryError as refused:
    error = type(refused).__name__
held = len(got) * 64 * MIB
# Not sticky: give some back, then a product whose answer is known.
del got[: len(got) // 2]
torch.cuda.empty_cache()
a = torch.full((1024, 1024), 2.0, device="cuda")
right = bool(torch.all(a @ a == 4096.0))
free_after, _ = torch.cuda.mem_get_info()
del a, got
torch.cuda.empty_cache()
free_at_end, _ = torch.cuda.mem_get_info()
again = torch.empty(1024 * MIB, dtype=torch.uint8, device="cuda").numel() == 1024 * MIB
print(
    json.dumps(
        {
            "engine": f"PyTorch {torch.__version__}",
            "settings": sys.argv[1] if len(sys.argv) > 1 else "",
            "totalBytes": total,
            "freeBytes": free,
            "heldBytes": held,
            "refusedWith": error,
            "rightAnswerAfter": right,
            "freeAfterHalfBytes": free_after,
            "freeAtEndBytes": free_at_end,
            "takesAgain": again,
        }
    )
)

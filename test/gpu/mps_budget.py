"""Clients of MPS, whose memory the server's process takes: two at once share one budget. Run by test/gpu/run.sh, which starts the server.

Prints one JSON object; exit code 1 where the budget was passed, or not reached.
"""

import ctypes
import json
import multiprocessing
import os
import sys

MIB = 1 << 20


def hold(budget: int, out) -> None:
    cuda = ctypes.CDLL("libcuda.so.1")
    context, pointer, held = ctypes.c_void_p(), ctypes.c_uint64(), 0
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    started = cuda.cuInit(0) or cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0)
    told = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    result = started
    while result == 0 and held < 2 * budget:
        result = cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(32 * MIB))
        held += 32 * MIB if result == 0 else 0
    out.put({"started": started, "told": told, "totalMib": total.value // MIB, "heldMib": held // MIB, "refusedWith": result})
    out.close()
    out.join_thread()
    sys.stdin.read(1)


def main() -> None:
    budget = int(sys.argv[1]) * MIB
    spawn = multiprocessing.get_context("spawn")
    out = spawn.Queue()
    clients = [spawn.Process(target=hold, args=(budget, out)) for _ in range(2)]
    for client in clients:
        client.start()
    seen = [out.get(timeout=60) for _ in clients]
    for client in clients:
        client.kill()
        client.join()
    held = sum(client["heldMib"] for client in seen) * MIB
    right = all(c["started"] == 0 and c["totalMib"] * MIB == budget and c["refusedWith"] == 2 for c in seen) and budget // 2 < held <= budget
    print(json.dumps({"mps": os.environ.get("CUDA_MPS_PIPE_DIRECTORY"), "clients": seen, "right": right}))
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()

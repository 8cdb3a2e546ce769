"""What real MAX sees and gets: opens the accelerator, prints its stats, takes buffers until it is refused.

With --json one JSON object a line, the same events as images/greedy and `stats` with MAX's own numbers.
"""

import argparse
import ctypes
import json
import signal
import sys
import time

GIB = 1 << 30


def size_text(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / (1 << 20):.1f} MiB"


def parse_size(text: str) -> int:
    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    digits = text.lower().rstrip("kmg")
    try:
        size = int(float(digits) * units[text.lower()[len(digits) :]])
    except (KeyError, ValueError):
        size = 0
    if size < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a size: write 512m, 1g or plain bytes')
    return size


def driver_memory() -> tuple[int, int] | None:
    """cuMemGetInfo's (total, free) in this process, in the context that MAX made; None where it does not answer."""
    cuda = ctypes.CDLL("libcuda.so.1")
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    if cuda.cuInit(0) or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) or cuda.cuCtxPushCurrent_v2(context):
        return None
    answered = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    cuda.cuCtxPopCurrent_v2(None)
    cuda.cuDevicePrimaryCtxRelease_v2(0)
    return (total.value, free.value) if answered else None


def main() -> int:
    parser = argparse.ArgumentParser(description="Takes memory with the real MAX until it is refused.")
    parser.add_argument("--buffers", type=int, default=0, help="how many to take at most; 0 = until refused (default)")
    parser.add_argument("--size", type=parse_size, default=GIB // 4, help="of each buffer (default 256m)")
    parser.add_argument("--hold", type=float, default=0, metavar="SECONDS", help="how long to keep them (default 0)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()

    def tell(sentence: str, event: str, **fields: object) -> None:
        print(json.dumps({"event": event, **fields}) if options.json else f"max: {sentence}", flush=True)

    # Process 1 of a container has no default action for signals: it would outlive SIGTERM.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))

    from max._core import __version__
    from max.driver import Accelerator, Buffer
    from max.dtype import DType

    try:
        device = Accelerator()
    except ValueError as error:
        reason = next((line.strip() for line in str(error).splitlines() if "CUDA information" in line), str(error))
        print(f"max: MAX {__version__} found no GPU: {reason}", file=sys.stderr)
        return 1
    memory = driver_memory()
    if memory is not None:
        total, free = memory
        tell(f"CUDA says {size_text(free)} free of {size_text(total)}.", "saw", totalBytes=total, freeBytes=free)
    stats = dict(device.stats)
    tell(
        f"MAX {__version__} plans with {size_text(stats['total_memory'])}, of which {size_text(stats['free_memory'])} are free.",
        "stats",
        version=__version__,
        stats=stats,
    )
    buffers, held = [], 0
    while options.buffers == 0 or len(buffers) < options.buffers:
        try:
            buffers.append(Buffer(shape=(options.size,), dtype=DType.uint8, device=device))
        except ValueError as error:
            if "memory" not in str(error).lower():
                raise
            # Refused by the driver, or already by MAX's own memory manager (its size can be set by environment variables).
            by_driver = "CUDA_ERROR_OUT_OF_MEMORY" in str(error)
            name = "CUDA_ERROR_OUT_OF_MEMORY" if by_driver else "MAX_MEMORY_MANAGER_FULL"
            message = str(error).splitlines()[0]
            tell(
                f"refused {size_text(options.size)} with {name}, holding {size_text(held)}: {message.split(':')[0]}.",
                "refused",
                bytes=options.size,
                **({"error": 2} if by_driver else {}),
                name=name,
                message=message,
            )
            break
        held += options.size
        tell(f"got {size_text(options.size)}, holding {size_text(held)}.", "got", bytes=options.size, heldBytes=held)
    time.sleep(options.hold)
    tell(f"done, held {size_text(held)}.", "done", bytes=held)
    return 0


sys.exit(main())

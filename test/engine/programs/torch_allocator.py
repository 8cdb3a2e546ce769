"""PyTorch's allocators without PyTorch: the driver calls that each makes, in its order, found as its runtime library finds them.

Recorded with PyTorch 2.11 on a real driver. Prints one JSON object: what it was told, what it got, and how it went on after a refusal.
Usage: torch_allocator.py caching|expandable|async
"""

import ctypes
import json
import sys

MIB = 1 << 20
SUCCESS, OUT_OF_MEMORY = 0, 2
SMALL, LARGE = 2 * MIB, 20 * MIB  # PyTorch's two segment sizes
CUDA_VERSION = 12060

driver = ctypes.CDLL("libcuda.so.1")


def find(name: str, version: int = CUDA_VERSION):
    """As libcudart does: by name and version, never by symbol."""
    pointer, status = ctypes.c_void_p(), ctypes.c_int()
    result = driver.cuGetProcAddress_v2(
        name.encode(), ctypes.byref(pointer), version, ctypes.c_uint64(0), ctypes.byref(status)
    )
    assert result == SUCCESS and status.value == 0 and pointer.value, (name, result, status.value)
    return ctypes.CFUNCTYPE(ctypes.c_int)(pointer.value)


def must(result: int) -> None:
    assert result == SUCCESS, result


def size(count: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(count)


class Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class Properties(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("handle_types", ctypes.c_int),
        ("location", Location),
        ("win32", ctypes.c_void_p),
        ("rest", ctypes.c_ubyte * 8),
    ]


class Access(ctypes.Structure):
    _fields_ = [("location", Location), ("flags", ctypes.c_int)]


def memory_info() -> tuple[int, int]:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    must(find("cuMemGetInfo")(ctypes.byref(free), ctypes.byref(total)))
    return free.value, total.value


def until_refused(take, give_all):
    """Takes until the driver has no more, twice: the second time shows that a refusal left nothing behind."""
    held = []
    for attempt in ("first", "second"):
        blocks, result = [], SUCCESS
        while result == SUCCESS:
            result, block, count = take()
            if result == SUCCESS:
                blocks.append((block, count))
        assert result == OUT_OF_MEMORY, (attempt, result)
        held.append(sum(count for _, count in blocks))
        if attempt == "first":
            give_all(blocks)
    return held, blocks


def writes_and_reads(address: int) -> bool:
    """A right answer after a refusal: bytes go to the device and come back."""
    text, back = ctypes.create_string_buffer(b"spark"), ctypes.create_string_buffer(6)
    must(find("cuMemcpyHtoD")(ctypes.c_uint64(address), text, size(6)))
    must(find("cuMemcpyDtoH")(back, ctypes.c_uint64(address), size(6)))
    return back.value == b"spark"


def caching():
    """cudaMalloc of a segment; at a refusal every cached segment goes back, then it tries again."""
    alloc, free = find("cuMemAlloc"), find("cuMemFree")
    sizes = iter([SMALL, LARGE] * 10_000)

    def take():
        count, pointer = next(sizes), ctypes.c_uint64(42)
        result = alloc(ctypes.byref(pointer), size(count))
        assert result == SUCCESS or pointer.value == 42
        return result, pointer.value, count

    def give_all(blocks):
        must(find("cuCtxSynchronize")())
        for block, _ in blocks:
            must(free(ctypes.c_uint64(block)))

    held, blocks = until_refused(take, give_all)
    return held, blocks[0][0], lambda: give_all(blocks)


def expandable():
    """One stretch of addresses, larger than the device, filled by 20 MiB handles; unmapped and released one by one."""
    _, total = memory_info()
    properties = Properties(type=1, handle_types=1, location=Location(1, 0))
    access = Access(Location(1, 0), 3)
    stretch = (total + total // 8) // LARGE * LARGE
    base = ctypes.c_uint64()
    must(find("cuMemAddressReserve")(ctypes.byref(base), size(stretch), size(0), ctypes.c_uint64(0), ctypes.c_uint64(0)))
    used = 0

    def take():
        nonlocal used
        handle = ctypes.c_uint64(42)
        result = find("cuMemCreate")(ctypes.byref(handle), size(LARGE), ctypes.byref(properties), ctypes.c_uint64(0))
        if result != SUCCESS:
            assert handle.value == 42
            return result, None, 0
        at = base.value + used
        must(find("cuMemMap")(ctypes.c_uint64(at), size(LARGE), size(0), handle, ctypes.c_uint64(0)))
        must(find("cuMemSetAccess")(ctypes.c_uint64(at), size(LARGE), ctypes.byref(access), size(1)))
        used += LARGE
        return SUCCESS, (at, handle.value), LARGE

    def give_all(blocks):
        nonlocal used
        must(find("cuStreamSynchronize")(None))
        for (at, handle), count in blocks:
            must(find("cuMemUnmap")(ctypes.c_uint64(at), size(count)))
            must(find("cuMemRelease")(ctypes.c_uint64(handle)))
        used = 0

    def end():
        give_all(blocks)
        must(find("cuMemAddressFree")(base, size(stretch)))

    held, blocks = until_refused(take, give_all)
    return held, blocks[0][0][0], end


def stream_ordered():
    """The default pool, told to keep everything; emptied by a synchronisation and a trim."""
    pool, keep = ctypes.c_void_p(), ctypes.c_uint64(2**64 - 1)
    must(find("cuDeviceGetDefaultMemPool")(ctypes.byref(pool), 0))
    must(find("cuMemPoolSetAttribute")(pool, 4, ctypes.byref(keep)))

    def take():
        pointer = ctypes.c_uint64(42)
        result = find("cuMemAllocAsync")(ctypes.byref(pointer), size(LARGE), None)
        assert result == SUCCESS or pointer.value == 42
        return result, pointer.value, LARGE

    def give_all(blocks):
        for block, _ in blocks:
            must(find("cuMemFreeAsync")(ctypes.c_uint64(block), None))
        must(find("cuStreamSynchronize")(None))
        must(find("cuMemPoolTrimTo")(pool, size(0)))

    held, blocks = until_refused(take, give_all)
    return held, blocks[0][0], lambda: give_all(blocks)


def main() -> None:
    must(find("cuInit")(0))
    context = ctypes.c_void_p()
    must(find("cuDevicePrimaryCtxRetain")(ctypes.byref(context), 0))
    must(find("cuCtxSetCurrent")(context))
    free_before, total = memory_info()
    held, address, end = {"caching": caching, "expandable": expandable, "async": stream_ordered}[sys.argv[1]]()
    free_full, _ = memory_info()
    right = writes_and_reads(address)
    end()
    free_after, _ = memory_info()
    told = {"totalBytes": total, "freeBytes": [free_before, free_full, free_after], "heldBytes": held, "right": right}
    print(json.dumps(told))


main()

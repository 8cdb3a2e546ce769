"""Every public piece of max.driver that needs no code on the device, on real MAX. Prints one JSON object: piece by piece "ok" or
the error, what MAX planned with, and how many buffers it got before it was refused.
"""

import json
import pathlib
import tempfile

import numpy as np
from max import driver
from max.driver import CPU, Accelerator, Buffer, CompletionFlag, DeviceEvent, DeviceQueue, Usage
from max.dtype import DType

MIB = 1 << 20
pieces: dict[str, str] = {}
device, host = Accelerator(), CPU()
numbers = np.arange(1000, dtype=np.int32)


def piece(check):
    try:
        check()
        pieces[check.__name__] = "ok"
    except Exception as error:
        pieces[check.__name__] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return check


def on_device(array=numbers) -> Buffer:
    return Buffer.from_numpy(array).to(device)


def same(buffer: Buffer, array=numbers) -> None:
    assert (buffer.to(host).to_numpy() == array).all()


@piece
def the_device():
    assert driver.accelerator_count() == 1 and driver.accelerator_api() == "cuda"
    assert driver.devices_exist(driver.scan_available_devices()) and len(driver.load_devices(driver.scan_available_devices())) == 1
    assert (device.api, device.id, device.label, device.is_host) == ("cuda", 0, "gpu", False)
    assert device.architecture_name == driver.accelerator_architecture_name() and device.model_name
    assert device.is_compatible and device.max_single_alloc_size > 0 and not device.can_access(host)
    driver.enable_all_peer_access()


@piece
def stats():
    told = device.stats
    assert told["graph_mem_reserved"] == 0 and told["graph_mem_used"] == 0
    assert 0 < told["free_memory"] <= told["total_memory"]


@piece
def host_to_device_and_back():
    same(on_device())


@piece
def device_to_device():
    source, target = on_device(), Buffer(shape=(1000,), dtype=DType.int32, device=device)
    target.inplace_copy_from(source)
    same(target)
    same(source.copy())


@piece
def many_copies_at_once():
    targets = [Buffer(shape=(1000,), dtype=DType.int32, device=device) for _ in range(4)]
    driver.batch_inplace_copy(targets, [on_device(), on_device(), Buffer.from_numpy(numbers), on_device()])
    for target in targets:
        same(target)


@piece
def staging():
    pinned = Buffer(shape=(1000,), dtype=DType.int32, device=device, usage=Usage.STAGING)
    assert pinned.pinned
    target = Buffer(shape=(1000,), dtype=DType.int32, device=device)
    pinned.inplace_copy_from(Buffer.from_numpy(numbers))
    driver.copy_pinned_to_destinations(pinned, [target])
    same(target)


@piece
def views_slices_scalars():
    matrix = on_device().view(DType.int32, (10, 100))
    assert matrix.shape == (10, 100) and matrix.is_contiguous and matrix.rank == 2
    same(matrix[3, :], numbers[300:400])
    assert Buffer.scalar(3.5, DType.float32, device=device).to(host).item() == 3.5
    assert Buffer.zeros((64,), DType.float32, device=device).to_numpy().sum() == 0
    same(matrix.contiguous(), numbers.reshape(10, 100))


@piece
def dlpack():
    buffer = on_device()
    assert buffer.__dlpack_device__()[0] == 2
    same(Buffer.from_dlpack(buffer))
    same(Buffer.from_dlpack(numbers).to(device))


@piece
def several_devices():
    first, second = Buffer.from_numpy(numbers).to([device, host])
    same(first)
    same(second)


@piece
def files():
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, "numbers")
        numbers.tofile(path)
        same(Buffer.mmap(path, DType.int32, (1000,)).to(device))


@piece
def queues():
    queue = DeviceQueue(device)
    buffer = Buffer(dtype=DType.int32, shape=(1000,), stream=queue)
    buffer.inplace_copy_from(Buffer.from_numpy(numbers))
    queue.wait_for(device.default_queue)
    device.default_queue.wait_for(queue)
    queue.synchronize()
    same(buffer)
    assert queue.native_stream_handle != device.default_queue.native_stream_handle
    device.synchronize()


@piece
def events():
    queue = device.default_queue
    event = queue.record_event()
    event.synchronize()
    assert event.is_ready()
    start, end = DeviceEvent(device, enable_timing=True), DeviceEvent(device, enable_timing=True)
    queue.record_event(start)
    queue.record_event(end)
    end.synchronize()
    assert start.elapsed_time(end) >= 0


@piece
def completion_flags():
    flag = CompletionFlag(device)
    assert flag.load() == 0
    device.default_queue.wait_for_host_value(flag, 0)
    device.synchronize()


@piece
def no_multicast():
    assert not driver.SymmetricPool.is_supported([device])


@piece
def free_and_reuse():
    for _ in range(30):
        buffer = Buffer(shape=(100 * MIB,), dtype=DType.uint8, device=device)
        del buffer
    held = [Buffer(shape=(MIB,), dtype=DType.uint8, device=device) for _ in range(100)]
    del held[::2]
    held += [Buffer(shape=(MIB,), dtype=DType.uint8, device=device) for _ in range(50)]


buffers: list[Buffer] = []


@piece
def refusal_and_after():
    try:
        while True:
            buffers.append(Buffer(shape=(32 * MIB,), dtype=DType.uint8, device=device))
    except ValueError as error:
        assert "CUDA_ERROR_OUT_OF_MEMORY" in str(error), error
    count = len(buffers)
    buffers.clear()
    same(on_device())
    pieces["held_mib"] = str(count * 32)


print(json.dumps({"pieces": pieces, "planned": device.stats["total_memory"]}))

"""Every kind of memory under the shim on a real driver: what the ledger counted beside what the device says it took.

Prints one JSON object a line; exit code 1 where a kind was counted wrongly. Needs an NVIDIA driver that nobody else uses; run by test/gpu/run.sh.
"""

import ctypes
import json
import os
import struct
import subprocess
import sys

MIB = 1 << 20
BARE = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
cuda = ctypes.CDLL("libcuda.so.1")
size_t, u64, pointer = ctypes.c_size_t, ctypes.c_uint64, ctypes.c_void_p
wrong = 0


def ledger_bytes() -> int:
    """The sum of the slots: docs/formats.md section 7."""
    data = open(os.environ["SPARK_RUN_LEDGER"], "rb").read()
    slots = struct.unpack_from("<I", data, 12)[0]
    return sum(struct.unpack_from("<Q", data, 4096 + 64 * slot)[0] for slot in range(slots))


def device_mib() -> int:
    """What the device says is used, asked by a program without the shim."""
    asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(asked, env=BARE, capture_output=True, text=True, check=True).stdout.split()[0])


def call(name: str, *arguments: object) -> int:
    return getattr(cuda, name)(*arguments)


class Kind:
    """One line: what happened between enter and exit. `slack_mib`: what device and ledger may differ by; `host_mib`: what the ledger may
    count beyond that, memory of the machine that the driver takes beside the device's."""

    def __init__(self, title: str, slack_mib: int = 2, counted: bool = True, host_mib: int = 0):
        self.title, self.slack_mib, self.counted, self.host_mib, self.result = title, slack_mib, counted, host_mib, 0

    def __enter__(self) -> "Kind":
        self.ledger, self.device = ledger_bytes(), device_mib()
        return self

    def __exit__(self, *_: object) -> None:
        global wrong
        counted = (ledger_bytes() - self.ledger) / MIB
        took = device_mib() - self.device
        right = self.result == 0 and (-self.slack_mib <= counted - took <= self.slack_mib + self.host_mib or not self.counted)
        wrong += not right
        print(json.dumps({"kind": self.title, "ledgerMib": round(counted, 2), "deviceMib": took, "right": right}), flush=True)


class Array3D(ctypes.Structure):
    _fields_ = [("w", size_t), ("h", size_t), ("d", size_t), ("format", ctypes.c_uint), ("channels", ctypes.c_uint), ("flags", ctypes.c_uint)]


class AllocationNode(ctypes.Structure):
    _fields_ = [("alloc", ctypes.c_int), ("handle", ctypes.c_int), ("place", ctypes.c_int), ("id", ctypes.c_int), ("rest", ctypes.c_ubyte * 72)]
    _fields_ += [("access", pointer), ("accesses", size_t), ("bytes", size_t), ("pointer", u64)]


FLOAT = 0x20
# A kernel that calls malloc, beside a variable of 64 MiB.
CODE = b""".version 7.0
.target sm_80
.address_size 64
.global .align 4 .b8 large[67108864];
.extern .func (.param .b64 r) malloc(.param .b64 bytes);
.visible .entry takes() { .reg .b64 %r<3>; { .param .b64 b; .param .b64 p; mov.u64 %r1, 16; st.param.b64 [b], %r1; call.uni (p), malloc, (b);
ld.param.b64 %r2, [p]; } ret; }
"""
context, stream = pointer(), None
call("cuInit", 0)
with Kind("primary context, with its memory of the machine", host_mib=80) as kind:
    kind.result = call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0) or call("cuCtxSetCurrent", context)
plain = u64()
with Kind("cuMemAlloc of 100 MiB") as kind:
    kind.result = call("cuMemAlloc_v2", ctypes.byref(plain), size_t(100 * MIB))
with Kind("cuMemFree of it") as kind:
    kind.result = call("cuMemFree_v2", plain)
ordered = u64()
with Kind("cuMemAllocAsync of 100 MiB") as kind:
    kind.result = call("cuMemAllocAsync", ctypes.byref(ordered), size_t(100 * MIB), stream)
again = u64()
with Kind("cuMemAllocAsync of 20 MiB more, from what the pool has") as kind:
    kind.result = call("cuMemAllocAsync", ctypes.byref(again), size_t(20 * MIB), stream)
free, total = size_t(), size_t()
with Kind("cuMemFreeAsync of both, the stream waited for, cuMemGetInfo asked") as kind:
    kind.result = call("cuMemFreeAsync", ordered, stream) or call("cuMemFreeAsync", again, stream) or call("cuStreamSynchronize", stream)
    kind.result = kind.result or call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
array = pointer()
with Kind("array of 10000 x 3333 floats", slack_mib=4) as kind:
    kind.result = call("cuArray3DCreate_v2", ctypes.byref(array), ctypes.byref(Array3D(10000, 3333, 0, FLOAT, 1, 0)))
with Kind("cuArrayDestroy of it", slack_mib=4) as kind:
    kind.result = call("cuArrayDestroy", array)
with Kind("mipmapped array of 4096 x 4096 float4, 5 levels", slack_mib=4) as kind:
    kind.result = call("cuMipmappedArrayCreate", ctypes.byref(array), ctypes.byref(Array3D(4096, 4096, 0, FLOAT, 4, 0)), 5)
with Kind("cuMipmappedArrayDestroy of it", slack_mib=4) as kind:
    kind.result = call("cuMipmappedArrayDestroy", array)
graph, node, freed, runnable = pointer(), pointer(), pointer(), pointer()
parameters = AllocationNode(alloc=1, place=1, bytes=200 * MIB)
call("cuGraphCreate", ctypes.byref(graph), 0)
with Kind("graph with a node of 200 MiB, added and instantiated") as kind:
    kind.result = call("cuGraphAddMemAllocNode", ctypes.byref(node), graph, None, size_t(0), ctypes.byref(parameters))
    kind.result = kind.result or call("cuGraphAddMemFreeNode", ctypes.byref(freed), graph, ctypes.byref(node), size_t(1), u64(parameters.pointer))
    kind.result = kind.result or call("cuGraphInstantiateWithFlags", ctypes.byref(runnable), graph, u64(0))
with Kind("its first launch") as kind:
    kind.result = call("cuGraphLaunch", runnable, stream) or call("cuStreamSynchronize", stream)
with Kind("its second launch") as kind:
    kind.result = call("cuGraphLaunch", runnable, stream) or call("cuStreamSynchronize", stream)
with Kind("destroyed, and cuDeviceGraphMemTrim") as kind:
    kind.result = call("cuGraphExecDestroy", runnable) or call("cuDeviceGraphMemTrim", 0)
with Kind("stack of 8 KiB a thread", slack_mib=16) as kind:
    kind.result = call("cuCtxSetLimit", 0, size_t(8192))
with Kind("stack of 1 KiB again", slack_mib=16) as kind:
    kind.result = call("cuCtxSetLimit", 0, size_t(1024))
with Kind("heap of 512 MiB for malloc in kernels, asked for") as kind:
    kind.result = call("cuCtxSetLimit", 2, size_t(512 * MIB))
module, function = pointer(), pointer()
with Kind("code with a variable of 64 MiB", slack_mib=8) as kind:
    kind.result = call("cuModuleLoadData", ctypes.byref(module), CODE) or call("cuModuleGetFunction", ctypes.byref(function), module, b"takes")
with Kind("its first run, which takes the heap", slack_mib=8) as kind:
    kind.result = call("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, None, None, None) or call("cuCtxSynchronize")
with Kind("the code unloaded") as kind:
    kind.result = call("cuModuleUnload", module)
host = pointer()
with Kind("cuMemHostAlloc of 256 MiB (the memory cgroup's, or the ledger's where none can be read)", counted=False) as kind:
    kind.result = call("cuMemHostAlloc", ctypes.byref(host), size_t(256 * MIB), 0)
    call("cuMemFreeHost", host)
for title, name, arguments in (
    ("cuMemAlloc", "cuMemAlloc_v2", (size_t(1 << 40),)),
    ("cuMemAllocAsync", "cuMemAllocAsync", (size_t(1 << 40), stream)),
    ("cuMemHostAlloc", "cuMemHostAlloc", (size_t(1 << 40), 0)),
    ("cuMemAllocManaged", "cuMemAllocManaged", (size_t(1 << 40), 1)),
):
    untouched = u64(7)
    before = ledger_bytes()
    result = call(name, ctypes.byref(untouched), *arguments)
    right = result == 2 and untouched.value == 7 and ledger_bytes() == before
    wrong += not right
    print(json.dumps({"refused": f"{title} of 1 TiB", "result": result, "right": right}), flush=True)


def refused_at_the_edge(title: str, refuse, grant, keeps_mib: int = 2) -> None:
    """What the driver takes by itself, where all but 100 MiB of the budget is held: refused, and granted after. `keeps_mib`: what it may keep
    of a refused step, inside the budget and counted."""
    global wrong
    room, filler = size_t(), u64()
    call("cuMemGetInfo_v2", ctypes.byref(room), ctypes.byref(total))
    result = call("cuMemAlloc_v2", ctypes.byref(filler), size_t(room.value - 100 * MIB))
    before = ledger_bytes()
    answer = refuse() if result == 0 else result
    grown = ledger_bytes() - before
    granted = call("cuMemFree_v2", filler) or grant() or call("cuCtxSynchronize")
    right = answer == 2 and grown <= keeps_mib * MIB and granted == 0
    wrong += not right
    print(json.dumps({"atTheEdge": title, "result": answer, "grownMib": grown / MIB, "afterwards": granted, "right": right}), flush=True)


parameters = AllocationNode(alloc=1, place=1, bytes=200 * MIB)
call("cuGraphCreate", ctypes.byref(graph), 0)
call("cuGraphAddMemAllocNode", ctypes.byref(node), graph, None, size_t(0), ctypes.byref(parameters))
call("cuGraphAddMemFreeNode", ctypes.byref(freed), graph, ctypes.byref(node), size_t(1), u64(parameters.pointer))
call("cuGraphInstantiateWithFlags", ctypes.byref(runnable), graph, u64(0))
launch = lambda: call("cuGraphLaunch", runnable, stream)  # noqa: E731
refused_at_the_edge("first launch of a graph with a node of 200 MiB", launch, launch, keeps_mib=100)
call("cuGraphExecDestroy", runnable)
call("cuDeviceGraphMemTrim", 0)
more = pointer()
create = lambda: call("cuCtxCreate_v2", ctypes.byref(more), 0, 0)  # noqa: E731
refused_at_the_edge("a second context", create, create)
call("cuCtxDestroy_v2", more)
call("cuCtxSetCurrent", context)
grow = lambda: call("cuMemAllocAsync", ctypes.byref(ordered), size_t(300 * MIB), stream)  # noqa: E731
refused_at_the_edge("growth of a pool by 300 MiB", grow, grow)
call("cuMemFreeAsync", ordered, stream)
stack = lambda: call("cuCtxSetLimit", 0, size_t(8192))  # noqa: E731
refused_at_the_edge("a stack of 8 KiB a thread", stack, stack)
call("cuCtxSetLimit", 0, size_t(1024))
load = lambda: call("cuModuleLoadData", ctypes.byref(module), CODE.replace(b"67108864", b"268435456"))  # noqa: E731
refused_at_the_edge("code with a variable of 256 MiB", load, load)
sys.exit(1 if wrong else 0)

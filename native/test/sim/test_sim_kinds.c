/* Every kind of memory beside the plain one: what it takes from the machine, when, and when it comes back. */
#include "on_machine.h"

static const CUmemPoolProps ON_DEVICE = { .allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } };

static uint64_t
pool_figure (CUmemoryPool pool, int attribute)
{
  uint64_t value = 0;
  CHECK (cuMemPoolGetAttribute (pool, attribute, &value) == CUDA_SUCCESS);
  return value;
}

static uint64_t
graph_figure (int attribute)
{
  uint64_t value = 0;
  CHECK (cuDeviceGetGraphMemAttribute (0, attribute, &value) == CUDA_SUCCESS);
  return value;
}

static void
arrays (void)
{
  driver_up ();
  CUarray array = NULL, untouched = (CUarray) 42;
  CUDA_ARRAY_DESCRIPTOR shape = { .Width = 1024, .Height = 1024, .Format = 0x20, .NumChannels = 2 }, told = { 0 };
  CUDA_ARRAY3D_DESCRIPTOR box = { .Width = 8, .Height = 4, .Depth = 3, .Format = 1, .NumChannels = 1 };
  CHECK (cuArrayCreate_v2 (&array, &shape) == CUDA_SUCCESS);
  CHECK (free_bytes () == 56 * MIB);
  CHECK (cuArrayGetDescriptor_v2 (&told, array) == CUDA_SUCCESS && told.Width == 1024 && told.NumChannels == 2);
  CHECK (cuArrayDestroy (array) == CUDA_SUCCESS && cuArrayDestroy (array) == CUDA_ERROR_INVALID_HANDLE);
  CHECK (free_bytes () == 64 * MIB);
  shape.Height = 16384;
  CHECK (cuArrayCreate_v2 (&untouched, &shape) == CUDA_ERROR_OUT_OF_MEMORY && untouched == (CUarray) 42);
  shape.Height = SIZE_MAX;
  CHECK (cuArrayCreate_v2 (&untouched, &shape) == CUDA_ERROR_OUT_OF_MEMORY);
  shape.NumChannels = 3;
  CHECK (cuArrayCreate_v2 (&untouched, &shape) == CUDA_ERROR_INVALID_VALUE && untouched == (CUarray) 42);
  shape = (CUDA_ARRAY_DESCRIPTOR){ .Width = 1, .Format = 77, .NumChannels = 1 };
  CHECK (cuArrayCreate_v2 (&untouched, &shape) == CUDA_ERROR_INVALID_VALUE);
  box.Flags = 0x80;
  CHECK (cuArray3DCreate_v2 (&untouched, &box) == CUDA_ERROR_NOT_SUPPORTED); /* memory to be mapped later */
  box.Flags = 0;
  unsigned old_shape[4] = { 16, 16, 1, 1 };
  CHECK (cuArrayCreate (&array, old_shape) == CUDA_SUCCESS && cuArrayDestroy (array) == CUDA_SUCCESS);

  /* A box goes in and one of its inner bytes comes out where it was. */
  unsigned char in[3][4][8], out[2][2] = { { 0 } };
  for (size_t i = 0; i < sizeof in; i++)
    ((unsigned char *) in)[i] = (unsigned char) i;
  CHECK (cuArray3DCreate_v2 (&array, &box) == CUDA_SUCCESS);
  CUDA_MEMCPY3D put = { .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = in, .srcPitch = 8, .srcHeight = 4,
                        .dstMemoryType = CU_MEMORYTYPE_ARRAY, .dstArray = array, .WidthInBytes = 8, .Height = 4, .Depth = 3 };
  CUDA_MEMCPY3D get = { .srcMemoryType = CU_MEMORYTYPE_ARRAY, .srcArray = array, .srcXInBytes = 5, .srcY = 2, .srcZ = 1,
                        .dstMemoryType = CU_MEMORYTYPE_HOST, .dstHost = out, .dstPitch = 2, .WidthInBytes = 2, .Height = 2, .Depth = 1 };
  CHECK (cuMemcpy3D_v2 (&put) == CUDA_SUCCESS && cuMemcpy3DAsync_v2 (&get, NULL) == CUDA_SUCCESS);
  CHECK (out[0][0] == in[1][2][5] && out[1][1] == in[1][3][6]);
  get.srcY = 3;
  CHECK (cuMemcpy3D_v2 (&get) == CUDA_ERROR_INVALID_VALUE); /* beyond the array */
  CHECK (cuArrayDestroy (array) == CUDA_SUCCESS);
}

static void
short_copies (void)
{
  driver_up ();
  CUarray a = NULL, b = NULL;
  CUdeviceptr pointer = 0;
  char back[16] = "";
  const CUDA_ARRAY_DESCRIPTOR shape = { .Width = 16, .Format = 1, .NumChannels = 1 };
  CHECK (cuArrayCreate_v2 (&a, &shape) == CUDA_SUCCESS && cuArrayCreate_v2 (&b, &shape) == CUDA_SUCCESS);
  CHECK (cuMemAlloc_v2 (&pointer, 16) == CUDA_SUCCESS);
  CHECK (cuMemcpyHtoA_v2 (a, 2, "spark", 6) == CUDA_SUCCESS);
  CHECK (cuMemcpyAtoA_v2 (b, 0, a, 2, 6) == CUDA_SUCCESS);
  CHECK (cuMemcpyAtoD_v2 (pointer, b, 0, 6) == CUDA_SUCCESS);
  CHECK (cuMemcpyDtoA_v2 (a, 10, pointer, 6) == CUDA_SUCCESS);
  CHECK (cuMemcpyAtoH_v2 (back, a, 10, 6) == CUDA_SUCCESS);
  CHECK_TEXT (back, "spark");
  CHECK (cuMemcpyHtoA_v2 (a, 12, "spark", 6) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemcpyHtoA_v2 (back, 0, "spark", 6) == CUDA_ERROR_INVALID_HANDLE);
  /* A rectangle of plain memory, with a pitch. */
  char rows[2][8] = { "abcdefg", "hijklmn" };
  const CUDA_MEMCPY2D rectangle = { .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = rows, .srcPitch = 8, .srcXInBytes = 1,
                                    .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = pointer, .dstPitch = 3,
                                    .WidthInBytes = 3, .Height = 2 };
  CHECK (cuMemcpy2D_v2 (&rectangle) == CUDA_SUCCESS);
  CHECK (memcmp ((void *) (uintptr_t) pointer, "bcdijk", 6) == 0);
  CUDA_MEMCPY2D beyond = rectangle;
  beyond.Height = 6;
  CHECK (cuMemcpy2DAsync_v2 (&beyond, NULL) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuArrayDestroy (a) == CUDA_SUCCESS && cuArrayDestroy (b) == CUDA_SUCCESS);
}

static void
mipmaps (void)
{
  driver_up ();
  CUmipmappedArray whole = NULL, untouched = (CUmipmappedArray) 42;
  CUarray level = NULL;
  CUDA_ARRAY3D_DESCRIPTOR shape = { .Width = 2048, .Height = 1024, .Format = 0x20, .NumChannels = 1 }, told = { 0 };
  /* 8 MiB and a third of it more. */
  CHECK (cuMipmappedArrayCreate (&whole, &shape, 99) == CUDA_SUCCESS);
  CHECK (free_bytes () == 52 * MIB);
  CHECK (cuMipmappedArrayGetLevel (&level, whole, 3) == CUDA_SUCCESS);
  CHECK (cuArray3DGetDescriptor_v2 (&told, level) == CUDA_SUCCESS && told.Width == 256 && told.Height == 128);
  CHECK (cuMipmappedArrayGetLevel (&level, whole, 11) == CUDA_SUCCESS);
  CHECK (cuMipmappedArrayGetLevel (&level, whole, 12) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuArrayDestroy (level) == CUDA_ERROR_INVALID_HANDLE); /* a part of the whole */
  CHECK (cuMipmappedArrayDestroy (whole) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
  shape.Height = 8192;
  CHECK (cuMipmappedArrayCreate (&untouched, &shape, 1) == CUDA_SUCCESS && free_bytes () == 0);
  CHECK (cuMipmappedArrayDestroy (untouched) == CUDA_SUCCESS);
  untouched = (CUmipmappedArray) 42;
  CHECK (cuMipmappedArrayCreate (&untouched, &shape, 2) == CUDA_ERROR_OUT_OF_MEMORY && untouched == (CUmipmappedArray) 42);
  CHECK (free_bytes () == 64 * MIB);
}

static void
pools_keep (void)
{
  driver_up ();
  CUmemoryPool pool = NULL;
  CUdeviceptr a = 0, b = 0, c = 0;
  uint64_t threshold = 6 * MIB, zero = 0;
  CHECK (cuMemPoolCreate (&pool, &ON_DEVICE) == CUDA_SUCCESS);
  CHECK (cuMemAllocFromPoolAsync (&a, 7 * MIB, pool, NULL) == CUDA_SUCCESS);
  CHECK (cuMemAllocFromPoolAsync (&b, 2 * MIB, pool, NULL) == CUDA_SUCCESS);
  CHECK (pool_figure (pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 9 * MIB);
  CHECK (pool_figure (pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 10 * MIB);
  /* A free leaves the pages with the pool; the next allocation has them, cut to size. */
  CHECK (cuMemFreeAsync (a, NULL) == CUDA_SUCCESS && free_bytes () == 54 * MIB);
  CHECK (pool_figure (pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT) == 2 * MIB);
  CHECK (cuMemAllocFromPoolAsync (&c, 3 * MIB, pool, NULL) == CUDA_SUCCESS && c == a && free_bytes () == 54 * MIB);
  /* A synchronisation lets go of what is beyond the threshold. */
  CHECK (cuMemPoolSetAttribute (pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold) == CUDA_SUCCESS);
  CHECK (cuStreamSynchronize (NULL) == CUDA_SUCCESS && free_bytes () == 58 * MIB);
  CHECK (cuMemFreeAsync (c, NULL) == CUDA_SUCCESS && cuMemFreeAsync (b, NULL) == CUDA_SUCCESS);
  CHECK (cuCtxSynchronize () == CUDA_SUCCESS && free_bytes () == 58 * MIB);
  CHECK (pool_figure (pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT) == 6 * MIB);
  CHECK (cuMemPoolTrimTo (pool, 0) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
  CHECK (pool_figure (pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH) == 10 * MIB);
  CHECK (cuMemPoolSetAttribute (pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &threshold) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemPoolSetAttribute (pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &zero) == CUDA_SUCCESS);
  CHECK (pool_figure (pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH) == 0);
  /* What it keeps is in nobody's way. */
  threshold = UINT64_MAX;
  CHECK (cuMemPoolSetAttribute (pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold) == CUDA_SUCCESS);
  CHECK (cuMemAllocFromPoolAsync (&a, 20 * MIB, pool, NULL) == CUDA_SUCCESS);
  CHECK (cuMemFreeAsync (a, NULL) == CUDA_SUCCESS && cuCtxSynchronize () == CUDA_SUCCESS && free_bytes () == 44 * MIB);
  CHECK (cuMemAllocFromPoolAsync (&a, 60 * MIB, pool, NULL) == CUDA_SUCCESS && free_bytes () == 4 * MIB);
  b = 42;
  CHECK (cuMemAllocFromPoolAsync (&b, 6 * MIB, pool, NULL) == CUDA_ERROR_OUT_OF_MEMORY && b == 42);
  CHECK (cuMemPoolDestroy (pool) == CUDA_ERROR_INVALID_VALUE); /* in use */
  CHECK (cuMemFree_v2 (a) == CUDA_SUCCESS && cuMemPoolDestroy (pool) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
  /* CUDA 13 asks by place. */
  CUmemLocation here = { CU_MEM_LOCATION_TYPE_DEVICE, 0 }, host = { CU_MEM_LOCATION_TYPE_HOST, 0 };
  CUmemoryPool standard = NULL, same = NULL;
  CHECK (cuDeviceGetDefaultMemPool (&standard, 0) == CUDA_SUCCESS);
  CHECK (cuMemGetDefaultMemPool (&same, &here, CU_MEM_ALLOCATION_TYPE_PINNED) == CUDA_SUCCESS && same == standard);
  CHECK (cuMemGetDefaultMemPool (&same, &host, CU_MEM_ALLOCATION_TYPE_PINNED) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK (cuMemPoolCreate (&pool, &ON_DEVICE) == CUDA_SUCCESS);
  CHECK (cuMemSetMemPool (&here, CU_MEM_ALLOCATION_TYPE_PINNED, pool) == CUDA_SUCCESS);
  CHECK (cuMemGetMemPool (&same, &here, CU_MEM_ALLOCATION_TYPE_PINNED) == CUDA_SUCCESS && same == pool);
  CHECK (cuMemPoolDestroy (pool) == CUDA_SUCCESS && cuDeviceGetMemPool (&same, 0) == CUDA_SUCCESS && same == standard);
  CUmemPoolProps small = ON_DEVICE;
  small.maxSize = 4 * MIB;
  CHECK (cuMemPoolCreate (&pool, &small) == CUDA_SUCCESS);
  CHECK (cuMemAllocFromPoolAsync (&b, 5 * MIB, pool, NULL) == CUDA_ERROR_OUT_OF_MEMORY && b == 42);
  CHECK (cuMemAllocFromPoolAsync (&a, 4 * MIB, pool, NULL) == CUDA_SUCCESS && cuMemFree_v2 (a) == CUDA_SUCCESS);
}

static void
graphs_take (void)
{
  driver_up ();
  CUgraph graph = NULL, copy = NULL;
  CUgraphNode alloc = NULL, end = NULL, child = NULL;
  CUgraphExec exec = NULL;
  CUDA_MEM_ALLOC_NODE_PARAMS memory = { .poolProps = ON_DEVICE, .bytesize = 9 * MIB };
  CHECK (cuGraphCreate (&graph, 0) == CUDA_SUCCESS);
  CHECK (cuGraphAddMemAllocNode (&alloc, graph, NULL, 0, &memory) == CUDA_SUCCESS && memory.dptr != 0);
  CHECK (free_bytes () == 64 * MIB); /* an address so far */
  CUDA_MEM_ALLOC_NODE_PARAMS told = { 0 };
  CUdeviceptr not_this = 42;
  CHECK (cuGraphMemAllocNodeGetParams (alloc, &told) == CUDA_SUCCESS && told.dptr == memory.dptr && told.bytesize == 9 * MIB);
  CHECK (cuGraphMemFreeNodeGetParams (alloc, &not_this) == CUDA_ERROR_INVALID_VALUE && not_this == 42);
  CHECK (cuGraphInstantiateWithFlags (&exec, graph, 0) == CUDA_SUCCESS);
  CHECK (cuGraphLaunch (exec, NULL) == CUDA_SUCCESS);
  CHECK (free_bytes () == 54 * MIB && graph_figure (2) == 10 * MIB && graph_figure (0) == 9 * MIB);
  CHECK (cuMemsetD8_v2 (memory.dptr, 7, 9 * MIB) == CUDA_SUCCESS);
  CHECK (cuGraphLaunch (exec, NULL) == CUDA_ERROR_INVALID_VALUE); /* still in use */
  /* Freed by the program: reserved for the next launch until it is trimmed. */
  CHECK (cuMemFreeAsync (memory.dptr, NULL) == CUDA_SUCCESS);
  CHECK (free_bytes () == 54 * MIB && graph_figure (0) == 0 && graph_figure (2) == 10 * MIB);
  CHECK (cuMemsetD8_v2 (memory.dptr, 7, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuGraphLaunch (exec, NULL) == CUDA_SUCCESS && free_bytes () == 54 * MIB);
  CHECK (cuDeviceGraphMemTrim (0) == CUDA_SUCCESS && free_bytes () == 54 * MIB);
  CHECK (cuMemFree_v2 (memory.dptr) == CUDA_SUCCESS);
  CHECK (cuGraphExecDestroy (exec) == CUDA_SUCCESS);
  /* Freed by a node; the graph in a graph; the new way to add nodes. */
  CUgraphNodeParams free_it = { .type = CU_GRAPH_NODE_TYPE_MEM_FREE };
  free_it.free = memory.dptr;
  CHECK (cuGraphAddNode_v2 (&end, graph, &alloc, NULL, 1, &free_it) == CUDA_SUCCESS);
  free_it.free = 4096;
  CHECK (cuGraphAddNode (&end, graph, &alloc, 1, &free_it) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuGraphCreate (&copy, 0) == CUDA_SUCCESS);
  CHECK (cuGraphAddChildGraphNode (&child, copy, NULL, 0, graph) == CUDA_SUCCESS);
  CHECK (cuGraphDestroy (graph) == CUDA_SUCCESS);
  CHECK (cuGraphInstantiateWithFlags (&exec, copy, 0) == CUDA_SUCCESS);
  for (int i = 0; i < 3; i++)
    CHECK (cuGraphLaunch (exec, NULL) == CUDA_SUCCESS && graph_figure (0) == 0 && graph_figure (2) == 10 * MIB);
  CHECK (cuGraphExecDestroy (exec) == CUDA_SUCCESS && cuGraphDestroy (copy) == CUDA_SUCCESS);
  CHECK (free_bytes () == 54 * MIB); /* the ended graph's, for the next one */
  CHECK (cuDeviceGraphMemTrim (0) == CUDA_SUCCESS && free_bytes () == 64 * MIB && graph_figure (2) == 0);
  uint64_t zero = 0;
  CHECK (graph_figure (3) == 10 * MIB && cuDeviceSetGraphMemAttribute (0, 3, &zero) == CUDA_SUCCESS && graph_figure (3) == 0);
}

static void
graphs_refused (void)
{
  driver_up ();
  CUgraph graph = NULL;
  CUgraphExec exec = NULL;
  CUgraphNode node = NULL;
  CUdeviceptr pointer = 0;
  CUstream stream = NULL;
  CUDA_MEM_ALLOC_NODE_PARAMS memory = { .poolProps = ON_DEVICE, .bytesize = 66 * MIB };
  CHECK (cuGraphCreate (&graph, 0) == CUDA_SUCCESS);
  CHECK (cuGraphAddMemAllocNode (&node, graph, NULL, 0, &memory) == CUDA_SUCCESS);
  CHECK (cuGraphInstantiateWithFlags (&exec, graph, 0) == CUDA_SUCCESS);
  CHECK (cuGraphLaunch (exec, NULL) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK (free_bytes () == 64 * MIB && graph_figure (0) == 0 && graph_figure (2) == 0);
  CHECK (cuGraphExecDestroy (exec) == CUDA_SUCCESS && cuGraphDestroy (graph) == CUDA_SUCCESS);
  /* What a stream allocates while it is captured, its graph allocates. */
  CHECK (cuStreamCreate (&stream, 0) == CUDA_SUCCESS && cuStreamBeginCapture_v2 (stream, 0) == CUDA_SUCCESS);
  CHECK (cuMemAllocAsync (&pointer, 4 * MIB, stream) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
  CHECK (cuMemFreeAsync (pointer, stream) == CUDA_SUCCESS);
  CHECK (cuStreamEndCapture (stream, &graph) == CUDA_SUCCESS);
  CHECK (cuGraphInstantiateWithFlags (&exec, graph, 0) == CUDA_SUCCESS && cuGraphLaunch (exec, stream) == CUDA_SUCCESS);
  CHECK (free_bytes () == 60 * MIB && graph_figure (0) == 0);
  CHECK (cuGraphExecDestroy (exec) == CUDA_SUCCESS && cuGraphDestroy (graph) == CUDA_SUCCESS);
  CHECK (cuDeviceGraphMemTrim (0) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
}

static void
old_forms (void)
{
  driver_up ();
  unsigned pointer = 0, untouched = 42, free_now = 0, total = 0, base = 0, bytes = 0, pitch = 0;
  size_t room = 0;
  CHECK (cuMemAlloc (&pointer, 5 * MIB) == CUDA_SUCCESS && pointer != 0 && free_bytes () == 58 * MIB);
  CHECK (cuMemGetInfo (&free_now, &total) == CUDA_SUCCESS && free_now == 58 * MIB && total == 64 * MIB);
  CHECK (cuMemGetAddressRange (&base, &bytes, pointer + 1) == CUDA_SUCCESS && base == pointer && bytes == 5 * MIB);
  CHECK (cuMemsetD8_v2 (pointer, 1, 5 * MIB) == CUDA_SUCCESS);
  CHECK (cuMemAlloc (&untouched, 60 * MIB) == CUDA_ERROR_OUT_OF_MEMORY && untouched == 42);
  CHECK (cuMemFree (pointer) == CUDA_SUCCESS && cuMemFree (pointer) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemAllocPitch (&pointer, &pitch, 513, 4096, 4) == CUDA_SUCCESS && pitch == 1024 && free_bytes () == 60 * MIB);
  CHECK (cuMemFree (pointer) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
  CHECK (cuDeviceTotalMem (&total, 0) == CUDA_SUCCESS && total == 64 * MIB);
  CHECK (cuDeviceTotalMem (NULL, 0) == CUDA_ERROR_INVALID_VALUE && cuMemGetInfo (&free_now, NULL) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuDeviceTotalMem_v2 (&room, 0) == CUDA_SUCCESS);
}

static void
large_machine (void)
{
  driver_up ();
  unsigned free_now = 0, total = 0;
  CHECK (cuDeviceTotalMem (&total, 0) == CUDA_SUCCESS && total == UINT32_MAX);
  CHECK (cuMemGetInfo (&free_now, &total) == CUDA_SUCCESS && free_now == UINT32_MAX && total == UINT32_MAX);
}

static void
managed (void)
{
  driver_up ();
  CUdeviceptr pointer = 0, device = 0;
  const CUmemLocation here = { CU_MEM_LOCATION_TYPE_DEVICE, 0 }, other = { CU_MEM_LOCATION_TYPE_DEVICE, 1 };
  CHECK (cuMemAllocManaged (&pointer, 3 * MIB, 1) == CUDA_SUCCESS && cuMemAlloc_v2 (&device, 100) == CUDA_SUCCESS);
  CHECK (cuMemPrefetchAsync (pointer, 3 * MIB, 0, NULL) == CUDA_SUCCESS);
  CHECK (cuMemPrefetchAsync (pointer + 5, 100, -1, NULL) == CUDA_SUCCESS);
  CHECK (cuMemPrefetchAsync_v2 (pointer, 100, here, 0, NULL) == CUDA_SUCCESS);
  CHECK (cuMemPrefetchAsync_v2 (pointer, 100, other, 0, NULL) == CUDA_ERROR_INVALID_DEVICE);
  CHECK (cuMemPrefetchAsync (pointer, 3 * MIB + 1, 0, NULL) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemPrefetchAsync (device, 100, 0, NULL) == CUDA_ERROR_INVALID_VALUE); /* not managed */
  CHECK (cuMemAdvise (pointer, 100, 1, 0) == CUDA_SUCCESS && cuMemAdvise (pointer, 100, 9, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemAdvise_v2 (pointer, 100, 3, here) == CUDA_SUCCESS);
  CHECK (cuStreamAttachMemAsync (NULL, pointer, 0, 1) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (pointer) == CUDA_SUCCESS);
}

static void
values (void)
{
  driver_up ();
  uint64_t *flag = NULL;
  CUdeviceptr device = 0;
  CHECK (cuMemHostAlloc ((void **) &flag, 8, 0) == CUDA_SUCCESS && cuMemAlloc_v2 (&device, 8) == CUDA_SUCCESS);
  CUdeviceptr at = (CUdeviceptr) (uintptr_t) flag;
  CHECK (cuStreamWaitValue64_v2 (NULL, at, 1, 1) == CUDA_ERROR_NOT_SUPPORTED);
  *flag = 1;
  CHECK (cuStreamWaitValue64_v2 (NULL, at, 1, 1) == CUDA_SUCCESS && cuStreamWaitValue64_v2 (NULL, at, 2, 2) == CUDA_ERROR_NOT_SUPPORTED);
  CHECK (cuStreamWriteValue32_v2 (NULL, at, UINT32_MAX, 0) == CUDA_SUCCESS && *flag == UINT32_MAX);
  CHECK (cuStreamWaitValue32_v2 (NULL, at, UINT32_MAX - 1, 0) == CUDA_SUCCESS);
  CHECK (cuStreamWaitValue32_v2 (NULL, at, 0, 3) == CUDA_ERROR_NOT_SUPPORTED && cuStreamWaitValue32_v2 (NULL, at, 0, 9) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuStreamWriteValue64_v2 (NULL, device + 4, 5, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuStreamWriteValue64_v2 (NULL, device, 5, 0) == CUDA_SUCCESS && cuStreamWriteValue64_v2 (NULL, 4096, 5, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemFreeHost (flag) == CUDA_SUCCESS);
}

int
main (void)
{
#define ON_64M(piece, sentence)                                                                                        \
  CHECK (on_machine ("64m", "anonymous", piece) == 0);                                                                 \
  test_done (sentence)

  ON_64M (arrays, "an array takes its size in whole pages, holds a box of bytes, and is refused beyond the machine");
  ON_64M (short_copies, "copies to, from and between arrays and rectangles stay inside them");
  ON_64M (mipmaps, "a mipmapped array takes all its levels at once and gives them back together");
  ON_64M (pools_keep, "a pool keeps what is freed until a synchronisation, its threshold or a trim");
  ON_64M (graphs_take, "memory of a graph is taken at its launch and stays reserved until it is trimmed");
  ON_64M (graphs_refused, "a launch beyond the machine is refused and leaves nothing; a captured stream allocates in its graph");
  ON_64M (old_forms, "the forms of before CUDA 3.2 allocate below 4 GiB");
  CHECK (on_machine ("16g", "anonymous", large_machine) == 0);
  test_done ("and say 4 GiB less a byte where there is more");
  ON_64M (managed, "managed memory takes hints, other memory does not");
  ON_64M (values, "a stream writes values, and waits for no other than those that hold");
  return check_done ();
}

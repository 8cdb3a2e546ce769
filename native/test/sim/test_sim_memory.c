/* Memory on one simulated machine: sizes, refusals, giving back, bytes that move. Anonymous pages: nobody else counts. */
#include "on_machine.h"

static void
sizes (void)
{
  driver_up ();
  size_t free_now = 0, total = 0, device_total = 0;
  CHECK (cuMemGetInfo_v2 (&free_now, &total) == CUDA_SUCCESS);
  CHECK (cuDeviceTotalMem_v2 (&device_total, 0) == CUDA_SUCCESS);
  CHECK (total == 64 * MIB);
  CHECK (free_now == 64 * MIB);
  CHECK (device_total == 64 * MIB);
}

static void
the_device (void)
{
  char name[32];
  int count = 0, major = 0, minor = 0, integrated = 0, version = 0;
  driver_up ();
  CHECK (cuDeviceGetCount (&count) == CUDA_SUCCESS && count == 1);
  CHECK (cuDeviceGetName (name, sizeof name, 0) == CUDA_SUCCESS);
  CHECK_TEXT (name, "NVIDIA GB10");
  CHECK (cuDeviceGetAttribute (&major, 75, 0) == CUDA_SUCCESS && major == 12);
  CHECK (cuDeviceGetAttribute (&minor, 76, 0) == CUDA_SUCCESS && minor == 1);
  CHECK (cuDeviceGetAttribute (&integrated, 18, 0) == CUDA_SUCCESS && integrated == 1);
  CHECK (cuDriverGetVersion (&version) == CUDA_SUCCESS && version == 13000);
  CHECK (cuDeviceGetName (name, sizeof name, 1) == CUDA_ERROR_INVALID_DEVICE);
  CHECK (cuDeviceGetAttribute (&major, 0, 0) == CUDA_ERROR_INVALID_VALUE);
}

static void
take_and_give (void)
{
  driver_up ();
  CUdeviceptr small = 0, large = 0;
  CHECK (cuMemAlloc_v2 (&small, 1) == CUDA_SUCCESS);
  CHECK (free_bytes () == 62 * MIB);
  CHECK (cuMemAlloc_v2 (&large, 10 * MIB) == CUDA_SUCCESS);
  CHECK (free_bytes () == 52 * MIB);
  CHECK (cuMemFree_v2 (small) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (large) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB);
}

static void
a_full_machine (void)
{
  driver_up ();
  CUdeviceptr first = 0, untouched = 42, second = 0;
  CHECK (cuMemAlloc_v2 (&untouched, 66 * MIB) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK (untouched == 42);
  CHECK (free_bytes () == 64 * MIB);
  CHECK (cuMemAlloc_v2 (&first, 64 * MIB) == CUDA_SUCCESS);
  CHECK (free_bytes () == 0);
  CHECK (cuMemAlloc_v2 (&untouched, 1) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK (cuMemAlloc_v2 (&untouched, SIZE_MAX) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK (untouched == 42);
  /* Not sticky. */
  CHECK (cuMemFree_v2 (first) == CUDA_SUCCESS);
  CHECK (cuMemAlloc_v2 (&second, 2 * MIB) == CUDA_SUCCESS);
}

static void
wrong_calls (void)
{
  CUdeviceptr pointer = 0;
  size_t bytes;
  CHECK (cuMemAlloc_v2 (&pointer, 1) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK (cuInit (1) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuInit (0) == CUDA_SUCCESS);
  CHECK (cuMemAlloc_v2 (&pointer, 1) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK (cuMemGetInfo_v2 (&bytes, &bytes) == CUDA_ERROR_INVALID_CONTEXT);
  driver_up ();
  CHECK (cuMemAlloc_v2 (&pointer, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemAlloc_v2 (NULL, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemAlloc_v2 (&pointer, 4 * MIB) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (pointer + 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemFree_v2 (pointer) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (pointer) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemFree_v2 (0) == CUDA_SUCCESS);
  CHECK (cuStreamSynchronize ((CUstream) &pointer) == CUDA_ERROR_INVALID_HANDLE);
  CHECK (cuCtxSetCurrent (&pointer) == CUDA_ERROR_INVALID_CONTEXT);
}

static void
bytes_move (void)
{
  driver_up ();
  enum { COUNT = 4096 };
  unsigned char out[COUNT], back[COUNT] = { 0 };
  CUdeviceptr a = 0, b = 0;
  for (int i = 0; i < COUNT; i++)
    out[i] = (unsigned char) (i * 7);
  CHECK (cuMemAlloc_v2 (&a, COUNT) == CUDA_SUCCESS);
  CHECK (cuMemAlloc_v2 (&b, COUNT) == CUDA_SUCCESS);
  CHECK (cuMemcpyHtoD_v2 (a, out, COUNT) == CUDA_SUCCESS);
  CHECK (cuMemcpyDtoDAsync_v2 (b, a, COUNT, NULL) == CUDA_SUCCESS);
  CHECK (cuMemcpyDtoH_v2 (back, b, COUNT) == CUDA_SUCCESS);
  CHECK (memcmp (out, back, COUNT) == 0);
  CHECK (cuMemsetD32_v2 (a, 0x01020304, COUNT / 4) == CUDA_SUCCESS);
  CHECK (((uint32_t *) (uintptr_t) a)[COUNT / 4 - 1] == 0x01020304);
  CHECK (cuMemsetD16Async (a, 0xabcd, 1, NULL) == CUDA_SUCCESS);
  CHECK (((uint16_t *) (uintptr_t) a)[0] == 0xabcd && ((uint16_t *) (uintptr_t) a)[1] == 0x0102);
  CHECK (cuMemsetD2D8_v2 (a, 16, 9, 2, 2) == CUDA_SUCCESS);
  CHECK (((unsigned char *) (uintptr_t) a)[17] == 9 && ((unsigned char *) (uintptr_t) a)[18] != 9);
  CHECK (cuMemsetD32_v2 (a + 2, 0, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemcpyHtoD_v2 (a + 1, out, COUNT) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemcpyDtoH_v2 (back, 4096, 1) == CUDA_ERROR_INVALID_VALUE);
}

static void
contexts_end (void)
{
  driver_up ();
  size_t limit = 0;
  CHECK (cuCtxGetLimit (&limit, 2) == CUDA_SUCCESS && limit == 8 * MIB);
  CHECK (cuCtxSetLimit (2, 16 * MIB) == CUDA_SUCCESS && cuCtxGetLimit (&limit, 2) == CUDA_SUCCESS && limit == 16 * MIB);
  CHECK (cuCtxSetLimit (7, 1) == CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr pointer = 0;
  CHECK (cuMemAlloc_v2 (&pointer, 8 * MIB) == CUDA_SUCCESS);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (pointer) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemAlloc_v2 (&pointer, 1) == CUDA_ERROR_INVALID_CONTEXT);
  CUcontext context = driver_up ();
  CHECK (free_bytes () == 64 * MIB);
  CHECK (cuDevicePrimaryCtxRetain (&context, 0) == CUDA_SUCCESS);
  CHECK (cuMemAlloc_v2 (&pointer, 8 * MIB) == CUDA_SUCCESS);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_SUCCESS);
  CHECK (free_bytes () == 56 * MIB);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_SUCCESS);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_ERROR_INVALID_CONTEXT);
  /* A reset frees at once and leaves the references; a pool's memory stays. */
  unsigned flags = 0;
  int active = 7;
  CUdeviceptr pooled = 0;
  driver_up ();
  CHECK (cuMemAlloc_v2 (&pointer, 8 * MIB) == CUDA_SUCCESS && cuMemAllocAsync (&pooled, 4 * MIB, NULL) == CUDA_SUCCESS);
  CHECK (cuDevicePrimaryCtxReset_v2 (0) == CUDA_SUCCESS);
  CHECK (cuDevicePrimaryCtxGetState (0, &flags, &active) == CUDA_SUCCESS && active == 0);
  CHECK (cuMemFree_v2 (pointer) == CUDA_ERROR_INVALID_VALUE);
  driver_up ();
  CHECK (free_bytes () == 60 * MIB && cuMemFree_v2 (pooled) == CUDA_SUCCESS);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_SUCCESS);
  CHECK (cuDevicePrimaryCtxGetState (0, &flags, &active) == CUDA_SUCCESS && active == 0);
}

static void
host_memory (void)
{
  driver_up ();
  void *pinned = NULL;
  CUdeviceptr managed = 0, same = 0;
  unsigned type = 0;
  CHECK (cuMemHostAlloc (&pinned, 100, 0) == CUDA_SUCCESS);
  CHECK (cuMemAllocManaged (&managed, 100, 1) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB);
  CHECK (cuMemHostGetDevicePointer_v2 (&same, pinned, 0) == CUDA_SUCCESS && same == (uintptr_t) pinned);
  CHECK (cuPointerGetAttribute (&type, 2, same) == CUDA_SUCCESS && type == 1);
  CHECK (cuPointerGetAttribute (&type, 8, managed) == CUDA_SUCCESS && type == 1);
  CHECK (cuMemFreeHost (pinned) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (managed) == CUDA_SUCCESS);
  char mine[64];
  CHECK (cuMemHostRegister_v2 (mine, sizeof mine, 0) == CUDA_SUCCESS);
  CHECK (cuMemHostRegister_v2 (mine + 1, 1, 0) == CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  CHECK (cuMemHostUnregister (mine) == CUDA_SUCCESS);
  CHECK (cuMemHostUnregister (mine) == CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

static void
pools (void)
{
  driver_up ();
  CUmemoryPool pool = NULL;
  CUdeviceptr a = 0, b = 0, refused = 42;
  uint64_t used = 0;
  CHECK (cuDeviceGetDefaultMemPool (&pool, 0) == CUDA_SUCCESS);
  CHECK (cuMemAllocAsync (&a, 4 * MIB, NULL) == CUDA_SUCCESS);
  CHECK (cuMemAllocFromPoolAsync (&b, 2 * MIB, pool, NULL) == CUDA_SUCCESS);
  CHECK (cuMemPoolGetAttribute (pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used) == CUDA_SUCCESS && used == 6 * MIB);
  CHECK (cuMemAllocAsync (&refused, 64 * MIB, NULL) == CUDA_ERROR_OUT_OF_MEMORY && refused == 42);
  CHECK (cuMemFreeAsync (a, NULL) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (b) == CUDA_SUCCESS);
  CHECK (cuMemPoolGetAttribute (pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used) == CUDA_SUCCESS && used == 0);
  CHECK (free_bytes () == 64 * MIB);
}

static void
a_fork (void)
{
  driver_up ();
  CUdeviceptr pointer = 0;
  CHECK (cuMemAlloc_v2 (&pointer, 8 * MIB) == CUDA_SUCCESS);
  CHECK (cuMemsetD8_v2 (pointer, 7, 8 * MIB) == CUDA_SUCCESS);
  fflush (stdout);
  pid_t child = fork ();
  if (child == 0)
    _exit (cuInit (0) == CUDA_ERROR_NOT_INITIALIZED && cuMemFree_v2 (pointer) == CUDA_ERROR_NOT_INITIALIZED ? 0 : 1);
  int status = -1;
  waitpid (child, &status, 0);
  CHECK (status == 0);
  CHECK (free_bytes () == 56 * MIB);
  CHECK (((unsigned char *) (uintptr_t) pointer)[8 * MIB - 1] == 7);
  CHECK (cuMemFree_v2 (pointer) == CUDA_SUCCESS);
}

static void
streams_and_events (void)
{
  driver_up ();
  CUstream stream = NULL;
  CUevent start = NULL, end = NULL;
  CUgraph graph = NULL;
  CUgraphExec exec = NULL;
  float milliseconds = -1;
  int capturing = -1;
  CHECK (cuStreamCreate (&stream, 1) == CUDA_SUCCESS && stream != NULL);
  CHECK (cuEventCreate (&start, 0) == CUDA_SUCCESS && start != NULL);
  CHECK (cuEventCreate (&end, 0) == CUDA_SUCCESS);
  CHECK (cuEventElapsedTime_v2 (&milliseconds, start, end) == CUDA_ERROR_INVALID_HANDLE);
  CHECK (cuEventRecord (start, stream) == CUDA_SUCCESS);
  CHECK (cuEventRecord (end, NULL) == CUDA_SUCCESS);
  CHECK (cuEventElapsedTime_v2 (&milliseconds, start, end) == CUDA_SUCCESS && milliseconds >= 0);
  CHECK (cuStreamBeginCapture_v2 (stream, 0) == CUDA_SUCCESS);
  CHECK (cuStreamIsCapturing (stream, &capturing) == CUDA_SUCCESS && capturing == 1);
  CHECK (cuEventRecord (start, stream) == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CHECK (cuStreamEndCapture (stream, &graph) == CUDA_SUCCESS && graph != NULL);
  CHECK (cuGraphInstantiateWithFlags (&exec, graph, 0) == CUDA_SUCCESS);
  CHECK (cuGraphLaunch (exec, stream) == CUDA_SUCCESS);
  CHECK (cuGraphExecDestroy (exec) == CUDA_SUCCESS);
  CHECK (cuGraphDestroy (graph) == CUDA_SUCCESS);
  CHECK (cuEventDestroy_v2 (start) == CUDA_SUCCESS);
  CHECK (cuEventDestroy_v2 (start) == CUDA_ERROR_INVALID_HANDLE);
  CHECK (cuEventDestroy_v2 (end) == CUDA_SUCCESS);
  CHECK (cuStreamDestroy_v2 (stream) == CUDA_SUCCESS);
}

static void
no_machine (void)
{
  fclose (stderr);
  CHECK (cuInit (0) == CUDA_ERROR_NO_DEVICE);
}

int
main (void)
{
#define ON_64M(piece, sentence)                                                                                        \
  CHECK (on_machine ("64m", "anonymous", piece) == 0);                                                                 \
  test_done (sentence)

  ON_64M (sizes, "total is SPARK_SIM_TOTAL and all of it is free at first");
  ON_64M (the_device, "the device is a GB10");
  ON_64M (take_and_give, "an allocation takes whole pages and freeing gives them back");
  ON_64M (a_full_machine, "a full machine answers out of memory, touches nothing, and goes on afterwards");
  ON_64M (wrong_calls, "wrong calls get the driver's error codes");
  ON_64M (bytes_move, "copies and fills really move bytes, and not beyond an allocation");
  ON_64M (contexts_end, "the end of a context frees its memory");
  ON_64M (host_memory, "pinned, registered and managed memory are not the device's pages");
  ON_64M (pools, "stream-ordered allocations count in their pool and on the machine");
  ON_64M (a_fork, "a forked child has no driver and takes nothing from its parent");
  ON_64M (streams_and_events, "streams, events and graphs are handles that live and end");
  CHECK (on_machine ("4x", "anonymous", no_machine) == 0);
  CHECK (on_machine ("1g", "large", no_machine) == 0);
  test_done ("a machine that makes no sense is no device");
  return check_done ();
}

/* Memory that is named in one place and taken in another: arrays that cuMemCreate's memory is mapped into, green contexts, batches. */
#include "on_machine.h"

static const CUDA_ARRAY3D_DESCRIPTOR SPARSE = { .Width = 1024, .Height = 1024, .Format = 0x20, .NumChannels = 4, .Flags = 0x40 };

static CUmemGenericAllocationHandle
memory_for_tiles (uint64_t bytes)
{
  CUmemGenericAllocationHandle handle = 0;
  const CUmemAllocationProp properties
      = { .type = CU_MEM_ALLOCATION_TYPE_PINNED, .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 }, .usage = 1 };
  CHECK (cuMemCreate (&handle, bytes, &properties, 0) == CUDA_SUCCESS);
  return handle;
}

/* The 1024 columns of `rows` rows from `y` on, which are 16 KiB each. */
static CUresult
change (CUarray array, int operation, CUmemGenericAllocationHandle handle, unsigned y, unsigned rows, uint64_t offset)
{
  CUarrayMapInfo wish = { .array = array,
                          .sparse_level = { .y = y, .width = 1024, .height = rows, .depth = 1 },
                          .memOperationType = operation,
                          .memHandle = handle,
                          .offset = offset,
                          .deviceBitMask = 1 };
  return cuMemMapArrayAsync (&wish, 1, NULL);
}

static void
sparse (void)
{
  driver_up ();
  CUarray array = NULL;
  CUDA_ARRAY_SPARSE_PROPERTIES properties = { 0 };
  CUDA_ARRAY_MEMORY_REQUIREMENTS requirements;
  CHECK (cuArray3DCreate_v2 (&array, &SPARSE) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
  CHECK (cuArrayGetSparseProperties (&properties, array) == CUDA_SUCCESS);
  CHECK (properties.tile_width == 64 && properties.tile_height == 64 && properties.tile_depth == 1);
  CHECK (cuArrayGetMemoryRequirements (&requirements, array, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemcpyHtoA_v2 (array, 0, "text", 4) == CUDA_ERROR_NOT_SUPPORTED);
  CUmemGenericAllocationHandle first = memory_for_tiles (8 * MIB), second = memory_for_tiles (16 * MIB);
  CHECK (free_bytes () == 40 * MIB);
  CHECK (change (array, 1, first, 0, 512, 0) == CUDA_SUCCESS && change (array, 1, second, 512, 512, 8 * MIB) == CUDA_SUCCESS);
  CHECK (change (array, 1, first, 0, 512, 2 * MIB) == CUDA_ERROR_INVALID_VALUE); /* beyond it */
  CHECK (change (array, 1, first, 512, 1024, 0) == CUDA_ERROR_INVALID_VALUE);    /* beyond the array */
  CHECK (free_bytes () == 40 * MIB);
  /* A mapping holds its memory, whatever becomes of the handle. */
  CHECK (cuMemRelease (first) == CUDA_SUCCESS && cuMemRelease (second) == CUDA_SUCCESS && free_bytes () == 40 * MIB);
  CHECK (change (array, 2, 0, 0, 512, 0) == CUDA_SUCCESS && free_bytes () == 48 * MIB);
  CHECK (change (array, 2, 0, 0, 512, 0) == CUDA_ERROR_INVALID_VALUE);
  first = memory_for_tiles (8 * MIB);
  CHECK (change (array, 1, first, 512, 512, 0) == CUDA_SUCCESS && free_bytes () == 56 * MIB); /* in the other's place */
  CHECK (cuMemRelease (first) == CUDA_SUCCESS && free_bytes () == 56 * MIB);
  CHECK (cuArrayDestroy (array) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
}

static void
deferred (void)
{
  driver_up ();
  CUarray array = NULL, plain = NULL;
  CUmipmappedArray mipmap = NULL;
  CUDA_ARRAY3D_DESCRIPTOR shape = { .Width = 4096, .Height = 4096, .Format = 0x20, .NumChannels = 4, .Flags = 0x80 };
  CUDA_ARRAY_MEMORY_REQUIREMENTS requirements = { 0 };
  CUDA_ARRAY_SPARSE_PROPERTIES properties;
  const CUmemAllocationProp no_tiles = { .type = CU_MEM_ALLOCATION_TYPE_PINNED, .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } };
  CUmemGenericAllocationHandle handle = 0;
  CHECK (cuArray3DCreate_v2 (&array, &shape) == CUDA_SUCCESS && free_bytes () == 64 * MIB);
  /* As measured on an H100. */
  CHECK (cuArrayGetMemoryRequirements (&requirements, array, 0) == CUDA_SUCCESS);
  CHECK (requirements.size == 256 * MIB && requirements.alignment == 65536);
  CHECK (cuArrayGetSparseProperties (&properties, array) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemCreate (&handle, 16 * MIB, &no_tiles, 0) == CUDA_SUCCESS);
  CHECK (change (array, 1, handle, 0, 64, 0) == CUDA_ERROR_INVALID_VALUE && cuMemRelease (handle) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB && cuArrayDestroy (array) == CUDA_SUCCESS);
  shape.Flags = 0;
  shape.Width = shape.Height = 1024;
  CHECK (cuArray3DCreate_v2 (&plain, &shape) == CUDA_SUCCESS);
  handle = memory_for_tiles (16 * MIB);
  CHECK (change (plain, 1, handle, 0, 64, 0) == CUDA_ERROR_INVALID_VALUE && cuMemRelease (handle) == CUDA_SUCCESS);
  CHECK (cuArrayDestroy (plain) == CUDA_SUCCESS);
  CHECK (cuMipmappedArrayCreate (&mipmap, &SPARSE, 2) == CUDA_ERROR_NOT_SUPPORTED && free_bytes () == 64 * MIB);
}

static CUgreenCtx
green_context (unsigned processors)
{
  CUdevResource all, part;
  CUdevResourceDesc description = NULL;
  CUgreenCtx green = NULL;
  unsigned count = 1;
  CHECK (cuDeviceGetDevResource (0, &all, CU_DEV_RESOURCE_TYPE_SM) == CUDA_SUCCESS && all.sm_count == 48);
  CHECK (cuDevSmResourceSplitByCount (&part, &count, &all, NULL, 0, processors) == CUDA_SUCCESS && count == 1);
  CHECK (cuDevResourceGenerateDesc (&description, &part, 1) == CUDA_SUCCESS);
  CHECK (cuGreenCtxCreate (&green, description, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuGreenCtxCreate (&green, description, 0, 1) == CUDA_SUCCESS);
  return green;
}

static void
green (void)
{
  CUcontext context = NULL, primary = NULL, owner = NULL;
  CUdeviceptr pointer = 0;
  CUdevResource all = { 0 }, parts[8], rest;
  unsigned count = 0, flags = 0;
  int active = 0;
  setenv ("SPARK_SIM_CONTEXT", "10m", 1);
  CHECK (cuInit (0) == CUDA_SUCCESS);
  CUgreenCtx made = green_context (10);
  CHECK (cuDevicePrimaryCtxGetState (0, &flags, &active) == CUDA_SUCCESS && active == 1);
  CHECK (cuCtxFromGreenCtx (&context, made) == CUDA_SUCCESS && cuCtxSetCurrent (context) == CUDA_SUCCESS);
  CHECK (free_bytes () == 54 * MIB && cuMemAlloc_v2 (&pointer, 20 * MIB) == CUDA_SUCCESS && free_bytes () == 34 * MIB);
  CHECK (cuDevicePrimaryCtxRetain (&primary, 0) == CUDA_SUCCESS && primary != context);
  CHECK (cuPointerGetAttribute (&owner, CU_POINTER_ATTRIBUTE_CONTEXT, pointer) == CUDA_SUCCESS && owner == primary);
  CHECK (cuCtxDestroy_v2 (context) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK (cuCtxSetCurrent (primary) == CUDA_SUCCESS && cuGreenCtxDestroy (made) == CUDA_SUCCESS && free_bytes () == 34 * MIB);
  CHECK (cuGreenCtxDestroy (made) == CUDA_ERROR_INVALID_HANDLE && cuCtxSetCurrent (context) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_SUCCESS); /* the last one */
  CHECK (cuDevicePrimaryCtxGetState (0, &flags, &active) == CUDA_SUCCESS && active == 0);
  /* The last holder may be the green one. */
  made = green_context (1);
  CHECK (cuCtxFromGreenCtx (&context, made) == CUDA_SUCCESS && cuCtxSetCurrent (context) == CUDA_SUCCESS);
  CHECK (free_bytes () == 54 * MIB && cuMemAlloc_v2 (&pointer, 20 * MIB) == CUDA_SUCCESS);
  CHECK (cuGreenCtxDestroy (made) == CUDA_SUCCESS && cuDevicePrimaryCtxGetState (0, &flags, &active) == CUDA_SUCCESS && active == 0);
  CHECK (cuDevicePrimaryCtxRetain (&primary, 0) == CUDA_SUCCESS && cuCtxSetCurrent (primary) == CUDA_SUCCESS);
  CHECK (free_bytes () == 54 * MIB);
  CHECK (cuDeviceGetDevResource (0, &all, CU_DEV_RESOURCE_TYPE_SM) == CUDA_SUCCESS);
  CHECK (cuDevSmResourceSplitByCount (NULL, &count, &all, NULL, 0, 9) == CUDA_SUCCESS && count == 3);
  CHECK (cuDevSmResourceSplitByCount (parts, (count = 2, &count), &all, &rest, 0, 9) == CUDA_SUCCESS && count == 2);
  CHECK (parts[1].sm_count == 16 && rest.sm_count == 16);
}

static void
batches (void)
{
  driver_up ();
  CUdeviceptr pointers[3] = { 0 };
  size_t sizes[3] = { MIB, 2 * MIB, 100 }, indices[2] = { 0, 2 };
  CUmemLocation places[2] = { { CU_MEM_LOCATION_TYPE_DEVICE, 0 }, { CU_MEM_LOCATION_TYPE_HOST, 0 } };
  for (int i = 0; i < 3; i++)
    CHECK (cuMemAllocManaged (&pointers[i], 2 * MIB, 1) == CUDA_SUCCESS);
  CHECK (cuMemPrefetchBatchAsync (pointers, sizes, 3, places, indices, 2, 0, NULL) == CUDA_SUCCESS);
  CHECK (cuMemDiscardBatchAsync (pointers, sizes, 3, 0, NULL) == CUDA_SUCCESS);
  CHECK (cuMemDiscardAndPrefetchBatchAsync (pointers, sizes, 3, places, indices, 2, 0, NULL) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB); /* ordinary pages */
  indices[1] = 3;
  CHECK (cuMemPrefetchBatchAsync (pointers, sizes, 3, places, indices, 2, 0, NULL) == CUDA_ERROR_INVALID_VALUE);
  sizes[1] = 3 * MIB;
  CHECK (cuMemDiscardBatchAsync (pointers, sizes, 3, 0, NULL) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemDiscardBatchAsync (pointers, sizes, 1, 1, NULL) == CUDA_ERROR_INVALID_VALUE);
}

int
main (void)
{
#define ON_64M(piece, sentence)                                                                                        \
  CHECK (on_machine ("64m", "anonymous", piece) == 0);                                                                 \
  test_done (sentence)

  ON_64M (sparse, "a sparse array takes nothing, and what is mapped into it lives until it is unmapped or the array goes");
  ON_64M (deferred, "an array whose memory comes later says how much, and only memory made for tiles goes into one");
  ON_64M (green, "what is allocated in a green context is the primary one's, which it holds");
  ON_64M (batches, "managed ranges are prefetched and discarded in batches");
  return check_done ();
}

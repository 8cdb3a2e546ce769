/* Managed memory and its hints: memory.c makes it, here a program says where it will be used. One memory serves both
   processors, so a hint moves nothing; a prefetch brings in pages that were never touched. */
#include "driver.h"
#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { ON_CPU = -1 };

/* Is all of it managed or, the device reading the host's page tables, simply somebody's memory in this process? */
static CUresult
check (CUdeviceptr pointer, size_t bytes)
{
  SIM_ENTER_CONTEXT (NULL);
  if (bytes == 0 || pointer == 0)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  const struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
  bool managed = range != NULL && range->kind == SIM_MANAGED_MEMORY && bytes <= range->base + range->bytes - pointer;
  sim_unlock ();
  return managed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
prefetch (CUdeviceptr pointer, size_t bytes, CUstream stream)
{
  CUresult result = check (pointer, bytes);
  if (result == CUDA_SUCCESS)
    result = cuStreamQuery (stream);
  if (result != CUDA_SUCCESS)
    return result;
  uintptr_t page_bytes = (uintptr_t) sysconf (_SC_PAGESIZE), start = pointer / page_bytes * page_bytes;
  /* Only a hint: without room for it the pages come when they are touched. */
  madvise ((void *) start, pointer + bytes - start, MADV_POPULATE_WRITE);
  return CUDA_SUCCESS;
}

static CUresult
check_location (const CUmemLocation *location)
{
  if (location->type == CU_MEM_LOCATION_TYPE_DEVICE)
    return location->id == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  return location->type >= CU_MEM_LOCATION_TYPE_HOST && location->type <= CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_VALUE;
}

CUresult
cuMemPrefetchAsync (CUdeviceptr pointer, size_t bytes, CUdevice device, CUstream stream)
{
  if (device != 0 && device != ON_CPU)
    return CUDA_ERROR_INVALID_DEVICE;
  return prefetch (pointer, bytes, stream);
}
SIM_ALSO (cuMemPrefetchAsync_ptsz, cuMemPrefetchAsync);

CUresult
cuMemPrefetchAsync_v2 (CUdeviceptr pointer, size_t bytes, CUmemLocation location, unsigned int flags, CUstream stream)
{
  CUresult result = check_location (&location);
  if (result == CUDA_SUCCESS && flags != 0)
    result = CUDA_ERROR_INVALID_VALUE;
  return result != CUDA_SUCCESS ? result : prefetch (pointer, bytes, stream);
}
SIM_ALSO (cuMemPrefetchAsync_v2_ptsz, cuMemPrefetchAsync_v2);

/* Each location is for the ranges from its index up to the next one's. */
CUresult
cuMemPrefetchBatchAsync (CUdeviceptr *pointers, size_t *sizes, size_t count, CUmemLocation *locations, size_t *indices,
                         size_t location_count, unsigned long long flags, CUstream stream)
{
  if (pointers == NULL || sizes == NULL || count == 0 || locations == NULL || indices == NULL || location_count == 0
      || location_count > count || flags != 0 || indices[0] != 0)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = CUDA_SUCCESS;
  for (size_t i = 0; i < location_count && result == CUDA_SUCCESS; i++)
    result = i > 0 && (indices[i] <= indices[i - 1] || indices[i] >= count) ? CUDA_ERROR_INVALID_VALUE
                                                                            : check_location (&locations[i]);
  for (size_t i = 0; i < count && result == CUDA_SUCCESS; i++)
    result = prefetch (pointers[i], sizes[i], stream);
  return result;
}
SIM_ALSO (cuMemPrefetchBatchAsync_ptsz, cuMemPrefetchBatchAsync);

/* What a discarded range holds is nobody's to rely on: here, what it held. */
CUresult
cuMemDiscardBatchAsync (CUdeviceptr *pointers, size_t *sizes, size_t count, unsigned long long flags, CUstream stream)
{
  if (pointers == NULL || sizes == NULL || count == 0 || flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = cuStreamQuery (stream);
  for (size_t i = 0; i < count && result == CUDA_SUCCESS; i++)
    result = check (pointers[i], sizes[i]);
  return result;
}
SIM_ALSO (cuMemDiscardBatchAsync_ptsz, cuMemDiscardBatchAsync);

CUresult
cuMemDiscardAndPrefetchBatchAsync (CUdeviceptr *pointers, size_t *sizes, size_t count, CUmemLocation *locations, size_t *indices,
                                   size_t location_count, unsigned long long flags, CUstream stream)
{
  return cuMemPrefetchBatchAsync (pointers, sizes, count, locations, indices, location_count, flags, stream);
}
SIM_ALSO (cuMemDiscardAndPrefetchBatchAsync_ptsz, cuMemDiscardAndPrefetchBatchAsync);

CUresult
cuMemAdvise (CUdeviceptr pointer, size_t bytes, int advice, CUdevice device)
{
  enum { SET_READ_MOSTLY = 1, UNSET_ACCESSED_BY = 6 };
  CUresult result = check (pointer, bytes);
  if (result != CUDA_SUCCESS)
    return result;
  if (advice < SET_READ_MOSTLY || advice > UNSET_ACCESSED_BY)
    return CUDA_ERROR_INVALID_VALUE;
  return device == 0 || device == ON_CPU ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult
cuMemAdvise_v2 (CUdeviceptr pointer, size_t bytes, int advice, CUmemLocation location)
{
  CUresult result = check_location (&location);
  return result != CUDA_SUCCESS ? result : cuMemAdvise (pointer, bytes, advice, 0);
}

/* Which stream may use it: every one may. */
CUresult
cuStreamAttachMemAsync (CUstream stream, CUdeviceptr pointer, size_t bytes, unsigned int flags)
{
  (void) bytes, (void) flags;
  CUresult result = cuStreamQuery (stream);
  return result != CUDA_SUCCESS ? result : check (pointer, 1);
}
SIM_ALSO (cuStreamAttachMemAsync_ptsz, cuStreamAttachMemAsync);

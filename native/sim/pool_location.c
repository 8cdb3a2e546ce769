/* The pools of a place, as CUDA 13 asks for them: the device's are those of cuDeviceGetMemPool; there is none of the host's. */
#include "driver.h"
#include "memory.h"

static CUresult
check (const CUmemLocation *location, int allocation_type)
{
  if (location == NULL || allocation_type != CU_MEM_ALLOCATION_TYPE_PINNED)
    return CUDA_ERROR_INVALID_VALUE;
  if (location->type != CU_MEM_LOCATION_TYPE_DEVICE)
    return CUDA_ERROR_NOT_SUPPORTED;
  return location->id == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult
cuMemGetDefaultMemPool (CUmemoryPool *pool, CUmemLocation *location, int allocation_type)
{
  SIM_ENTER ();
  CUresult result = check (location, allocation_type);
  return result != CUDA_SUCCESS ? result : cuDeviceGetDefaultMemPool (pool, location->id);
}

CUresult
cuMemGetMemPool (CUmemoryPool *pool, CUmemLocation *location, int allocation_type)
{
  SIM_ENTER ();
  CUresult result = check (location, allocation_type);
  return result != CUDA_SUCCESS ? result : cuDeviceGetMemPool (pool, location->id);
}

CUresult
cuMemSetMemPool (CUmemLocation *location, int allocation_type, CUmemoryPool pool)
{
  SIM_ENTER ();
  CUresult result = check (location, allocation_type);
  return result != CUDA_SUCCESS ? result : cuDeviceSetMemPool (location->id, pool);
}

/* Memory pools and stream-ordered allocation. A pool keeps nothing back: what is freed goes to the machine at once, as
   with the driver's default release threshold of 0 at the next synchronisation. */
#include "driver.h"
#include "memory.h"

struct pool {
  uint64_t used_bytes;
  uint64_t high_bytes;
  uint64_t threshold_bytes; /* kept and told, not acted on */
};

static struct pool *default_pool; /* under sim_lock */
static CUmemoryPool device_pool;  /* what cuDeviceSetMemPool chose, or NULL */

static struct pool *
pool_default (void)
{
  sim_lock ();
  if (default_pool == NULL)
    default_pool = sim_handle_new (SIM_POOL, sizeof *default_pool);
  sim_unlock ();
  return default_pool;
}

static struct pool *
pool_current (void)
{
  return device_pool != NULL && sim_handle_is (SIM_POOL, device_pool) ? device_pool : pool_default ();
}

static CUresult
answer_pool (CUmemoryPool *pool, CUdevice device, struct pool *answer)
{
  if (pool == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  if (answer == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *pool = answer;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGetDefaultMemPool (CUmemoryPool *pool, CUdevice device)
{
  SIM_ENTER ();
  return answer_pool (pool, device, pool_default ());
}

CUresult
cuDeviceGetMemPool (CUmemoryPool *pool, CUdevice device)
{
  SIM_ENTER ();
  return answer_pool (pool, device, pool_current ());
}

CUresult
cuDeviceSetMemPool (CUdevice device, CUmemoryPool pool)
{
  SIM_ENTER ();
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  if (!sim_handle_is (SIM_POOL, pool))
    return CUDA_ERROR_INVALID_VALUE;
  device_pool = pool;
  return CUDA_SUCCESS;
}

CUresult
cuMemPoolCreate (CUmemoryPool *pool, const void *properties)
{
  SIM_ENTER ();
  if (properties == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  return answer_pool (pool, 0, sim_handle_new (SIM_POOL, sizeof (struct pool)));
}

CUresult
cuMemPoolDestroy (CUmemoryPool pool)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_POOL, pool) || pool == default_pool || ((struct pool *) pool)->used_bytes > 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (device_pool == pool)
    device_pool = NULL;
  sim_handle_free (pool);
  return CUDA_SUCCESS;
}

CUresult
cuMemPoolTrimTo (CUmemoryPool pool, size_t keep_bytes)
{
  (void) keep_bytes;
  SIM_ENTER ();
  return sim_handle_is (SIM_POOL, pool) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
cuMemPoolSetAccess (CUmemoryPool pool, const CUmemAccessDesc *access, size_t count)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_POOL, pool) || (access == NULL && count > 0))
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; i++)
    if (access[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE || access[i].location.id != 0)
      return CUDA_ERROR_INVALID_DEVICE;
  return CUDA_SUCCESS;
}

CUresult
cuMemPoolGetAttribute (CUmemoryPool handle, int attribute, void *value)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_POOL, handle) || value == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  const struct pool *pool = handle;
  switch (attribute)
    {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      *(uint64_t *) value = pool->threshold_bytes;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
      *(uint64_t *) value = pool->used_bytes;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      *(uint64_t *) value = pool->high_bytes;
      return CUDA_SUCCESS;
    case 1: /* the three rules for reuse: on, as by default */
    case 2:
    case 3:
      *(int *) value = 1;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult
cuMemPoolSetAttribute (CUmemoryPool handle, int attribute, void *value)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_POOL, handle) || value == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  struct pool *pool = handle;
  switch (attribute)
    {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      pool->threshold_bytes = *(uint64_t *) value;
      return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      pool->high_bytes = pool->used_bytes;
      return CUDA_SUCCESS;
    case 1:
    case 2:
    case 3:
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
    }
}

void
sim_pool_freed (void *handle, uint64_t bytes)
{
  struct pool *pool = handle;
  sim_lock ();
  pool->used_bytes -= bytes;
  sim_unlock ();
}

CUresult
cuMemAllocFromPoolAsync (CUdeviceptr *pointer, size_t bytes, CUmemoryPool handle, CUstream stream)
{
  CUresult result = cuStreamQuery (stream);
  if (result != CUDA_SUCCESS)
    return result;
  if (pointer == NULL || bytes == 0 || !sim_handle_is (SIM_POOL, handle))
    return CUDA_ERROR_INVALID_VALUE;
  struct pool *pool = handle;
  result = sim_memory_take (bytes, SIM_POOL_MEMORY, pool, pointer);
  if (result != CUDA_SUCCESS)
    return result;
  sim_lock ();
  pool->used_bytes += bytes;
  if (pool->high_bytes < pool->used_bytes)
    pool->high_bytes = pool->used_bytes;
  sim_unlock ();
  return CUDA_SUCCESS;
}
SIM_ALSO (cuMemAllocFromPoolAsync_ptsz, cuMemAllocFromPoolAsync);

CUresult
cuMemAllocAsync (CUdeviceptr *pointer, size_t bytes, CUstream stream)
{
  SIM_ENTER_CONTEXT (NULL);
  return cuMemAllocFromPoolAsync (pointer, bytes, pool_current (), stream);
}
SIM_ALSO (cuMemAllocAsync_ptsz, cuMemAllocAsync);

CUresult
cuMemFreeAsync (CUdeviceptr pointer, CUstream stream)
{
  CUresult result = cuStreamQuery (stream);
  if (result != CUDA_SUCCESS)
    return result;
  return sim_memory_give (pointer);
}
SIM_ALSO (cuMemFreeAsync_ptsz, cuMemFreeAsync);

/* Memory pools and stream-ordered allocation. As with the driver a free leaves the pages with the pool, where the next
   allocation finds them; a synchronisation gives back what is beyond the pool's release threshold, 0 at first. Unlike the driver's
   a pool reserves no more than it is asked for, in whole pages. */
#include "pool.h"

#include "driver.h"
#include "machine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct sim_pool *all_pools;    /* under sim_lock */
static struct sim_pool *default_pool;
static CUmemoryPool device_pool; /* what cuDeviceSetMemPool chose, or NULL */

struct sim_pool *
sim_pool_new (const CUmemPoolProps *properties)
{
  struct sim_pool *pool = sim_handle_new (SIM_POOL, sizeof *pool);
  if (pool == NULL)
    return NULL;
  if (properties != NULL)
    {
      pool->shareable = properties->handleTypes != 0;
      pool->largest_bytes = properties->maxSize;
    }
  sim_lock ();
  pool->next = all_pools;
  all_pools = pool;
  sim_unlock ();
  return pool;
}

static struct sim_pool *
pool_default (void)
{
  sim_lock ();
  struct sim_pool *found = default_pool;
  sim_unlock ();
  if (found != NULL)
    return found;
  struct sim_pool *made = sim_pool_new (NULL);
  sim_lock ();
  if (default_pool == NULL)
    default_pool = made;
  found = default_pool;
  sim_unlock ();
  return found; /* of two threads at the same first call one leaves an empty pool behind */
}

static struct sim_pool *
pool_current (void)
{
  return device_pool != NULL && sim_handle_is (SIM_POOL, device_pool) ? device_pool : pool_default ();
}

/* Gives free pages back to the machine until the pool holds no more than `keep_bytes`. Under sim_lock. */
static void
let_go (struct sim_pool *pool, uint64_t keep_bytes)
{
  while (pool->free != NULL && pool->reserved_bytes > keep_bytes)
    {
      struct sim_pool_block *block = pool->free;
      pool->free = block->next;
      pool->reserved_bytes -= block->pages.bytes;
      munmap ((void *) block->base, block->pages.bytes);
      sim_pages_give (&block->pages);
      free (block);
    }
}

void
sim_pools_settle (void)
{
  sim_lock ();
  for (struct sim_pool *pool = all_pools; pool != NULL; pool = pool->next)
    let_go (pool, pool->threshold_bytes);
  sim_unlock ();
}

static CUresult
answer_pool (CUmemoryPool *pool, CUdevice device, struct sim_pool *answer)
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
  if (!sim_handle_is (SIM_POOL, pool) || ((struct sim_pool *) pool)->imported)
    return CUDA_ERROR_INVALID_VALUE;
  device_pool = pool;
  return CUDA_SUCCESS;
}

CUresult
cuMemPoolCreate (CUmemoryPool *pool, const CUmemPoolProps *properties)
{
  enum { POSIX_FILE_DESCRIPTOR = 1 };
  SIM_ENTER ();
  if (pool == NULL || properties == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (properties->handleTypes != 0 && properties->handleTypes != POSIX_FILE_DESCRIPTOR)
    return CUDA_ERROR_NOT_SUPPORTED;
  return answer_pool (pool, 0, sim_pool_new (properties));
}

CUresult
cuMemPoolDestroy (CUmemoryPool handle)
{
  SIM_ENTER ();
  struct sim_pool *pool = handle;
  if (!sim_handle_is (SIM_POOL, pool) || pool == default_pool)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  bool empty = pool->used_bytes == 0;
  if (empty)
    {
      let_go (pool, 0);
      struct sim_pool **at = &all_pools;
      while (*at != pool)
        at = &(*at)->next;
      *at = pool->next;
    }
  sim_unlock ();
  if (!empty)
    return CUDA_ERROR_INVALID_VALUE;
  if (device_pool == pool)
    device_pool = NULL;
  sim_handle_free (pool);
  return CUDA_SUCCESS;
}

CUresult
cuMemPoolTrimTo (CUmemoryPool pool, size_t keep_bytes)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_POOL, pool))
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  let_go (pool, keep_bytes);
  sim_unlock ();
  return CUDA_SUCCESS;
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
cuMemPoolGetAccess (int *flags, CUmemoryPool pool, const CUmemLocation *location)
{
  SIM_ENTER ();
  if (flags == NULL || location == NULL || !sim_handle_is (SIM_POOL, pool))
    return CUDA_ERROR_INVALID_VALUE;
  if (location->type != CU_MEM_LOCATION_TYPE_DEVICE || location->id != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return CUDA_SUCCESS;
}

/* Where an attribute of 64 bits lives; NULL for any other. */
static uint64_t *
figure (struct sim_pool *pool, int attribute)
{
  switch (attribute)
    {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      return &pool->threshold_bytes;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
      return &pool->reserved_bytes;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
      return &pool->used_bytes;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
      return &pool->reserved_high_bytes;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return &pool->used_high_bytes;
    default:
      return NULL;
    }
}

/* The three rules for reuse: on, as by default. */
static bool
is_rule (int attribute)
{
  return attribute >= 1 && attribute <= 3;
}

CUresult
cuMemPoolGetAttribute (CUmemoryPool pool, int attribute, void *value)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_POOL, pool) || value == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (is_rule (attribute))
    {
      *(int *) value = 1;
      return CUDA_SUCCESS;
    }
  sim_lock ();
  const uint64_t *from = figure (pool, attribute);
  if (from != NULL)
    *(uint64_t *) value = *from;
  sim_unlock ();
  return from != NULL ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

CUresult
cuMemPoolSetAttribute (CUmemoryPool handle, int attribute, void *value)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_POOL, handle) || value == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_pool *pool = handle;
  CUresult result = CUDA_SUCCESS;
  sim_lock ();
  if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
    pool->threshold_bytes = *(uint64_t *) value;
  else if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH || attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH)
    {
      /* A high-water mark can only be started again. */
      if (*(uint64_t *) value != 0)
        result = CUDA_ERROR_INVALID_VALUE;
      else if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH)
        pool->reserved_high_bytes = pool->reserved_bytes;
      else
        pool->used_high_bytes = pool->used_bytes;
    }
  else if (!is_rule (attribute))
    result = CUDA_ERROR_NOT_SUPPORTED;
  sim_unlock ();
  return result;
}

void
sim_pool_freed (const struct sim_range *range)
{
  struct sim_pool *pool = range->owner;
  struct sim_pool_block *block = malloc (sizeof *block);
  struct sim_pages pages = { .offset = range->pages_offset, .bytes = range->pages_bytes };
  sim_lock ();
  pool->used_bytes -= range->bytes;
  if (block != NULL)
    {
      *block = (struct sim_pool_block){ .next = pool->free, .base = range->base, .pages = pages };
      pool->free = block;
    }
  else
    {
      pool->reserved_bytes -= pages.bytes;
      munmap ((void *) range->base, pages.bytes);
      sim_pages_give (&pages);
    }
  sim_unlock ();
}

/* Free pages of the pool for `bytes`: the smallest block that is large enough, cut to size. Under sim_lock. */
static bool
reuse (struct sim_pool *pool, uint64_t bytes, struct sim_range *range)
{
  struct sim_pool_block **best = NULL;
  const uint64_t page_bytes = sim_machine ()->page_bytes;
  for (struct sim_pool_block **at = &pool->free; *at != NULL; at = &(*at)->next)
    if ((*at)->pages.bytes >= bytes && (best == NULL || (*at)->pages.bytes < (*best)->pages.bytes))
      best = at;
  if (best == NULL)
    return false;
  struct sim_pool_block *block = *best;
  range->base = block->base;
  range->pages_offset = block->pages.offset;
  range->pages_bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  block->base += range->pages_bytes;
  block->pages.offset += range->pages_bytes;
  block->pages.bytes -= range->pages_bytes;
  if (block->pages.bytes == 0)
    {
      *best = block->next;
      free (block);
    }
  return true;
}

/* New pages for the pool, mapped. Under sim_lock. */
static CUresult
grow (struct sim_pool *pool, uint64_t bytes, struct sim_range *range)
{
  struct sim_pages pages;
  if (pool->largest_bytes > 0
      && (pool->reserved_bytes > pool->largest_bytes || bytes > pool->largest_bytes - pool->reserved_bytes))
    return CUDA_ERROR_OUT_OF_MEMORY;
  if (sim_pages_take (bytes, &pages) != 0)
    {
      /* Free blocks of another size may be in the way. */
      let_go (pool, 0);
      if (sim_pages_take (bytes, &pages) != 0)
        return sim_memory_error (errno);
    }
  void *at = sim_pages_map (&pages, pages.bytes, NULL, PROT_READ | PROT_WRITE);
  if (at == NULL)
    {
      int status = errno;
      sim_pages_give (&pages);
      return sim_memory_error (status);
    }
  range->base = (uintptr_t) at;
  range->pages_offset = pages.offset;
  range->pages_bytes = pages.bytes;
  pool->reserved_bytes += pages.bytes;
  if (pool->reserved_high_bytes < pool->reserved_bytes)
    pool->reserved_high_bytes = pool->reserved_bytes;
  return CUDA_SUCCESS;
}

CUresult
cuMemAllocFromPoolAsync (CUdeviceptr *pointer, size_t bytes, CUmemoryPool handle, CUstream stream)
{
  CUgraph graph = sim_stream_capture (stream);
  CUresult result = graph != NULL ? CUDA_SUCCESS : cuStreamQuery (stream);
  if (result != CUDA_SUCCESS)
    return result;
  struct sim_pool *pool = handle;
  if (pointer == NULL || bytes == 0 || !sim_handle_is (SIM_POOL, handle) || pool->imported)
    return CUDA_ERROR_INVALID_VALUE;
  if (graph != NULL)
    return sim_graph_allocate (graph, bytes, pointer);
  struct sim_range range = { .bytes = bytes, .kind = SIM_POOL_MEMORY, .owner = pool };
  sim_lock ();
  result = reuse (pool, bytes, &range) ? CUDA_SUCCESS : grow (pool, bytes, &range);
  if (result == CUDA_SUCCESS)
    {
      pool->used_bytes += bytes;
      if (pool->used_high_bytes < pool->used_bytes)
        pool->used_high_bytes = pool->used_bytes;
    }
  sim_unlock ();
  if (result != CUDA_SUCCESS)
    return result;
  if (!sim_memory_add (&range))
    {
      sim_pool_freed (&range);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  *pointer = range.base;
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
  CUgraph graph = sim_stream_capture (stream);
  if (graph != NULL)
    return sim_graph_free (graph, pointer);
  CUresult result = cuStreamQuery (stream);
  return result != CUDA_SUCCESS ? result : sim_memory_give (pointer);
}
SIM_ALSO (cuMemFreeAsync_ptsz, cuMemFreeAsync);

/* Stream-ordered memory. A pool takes memory in large steps and keeps what is freed: until the next synchronisation, or longer where
   its release threshold says so. So the ledger holds what a pool has reserved, not what its pointers add up to.

   With NVIDIA's kernel module a pool's growth is seen and refused as it is asked for (rm_ioctl.c), and all that is done here is to trim
   idle pools before the program is told. Elsewhere, before a call the least that the pool can grow by is reserved; after it the pool is
   asked, and the ledger follows. Where the pool has grown by more than fits the new memory goes back and the call is refused. The lock
   is not held while the driver allocates: estimates of calls on their way keep what they have reserved until their own settling.

   A pool is the device's: it stays when a context ends and can be used from the next one (measured, driver 580 on H200: after
   cuDevicePrimaryCtxReset, the last cuDevicePrimaryCtxRelease and cuCtxDestroy). */
#include "cuda_pool.h"

#include "cuda_graph.h"
#include "cuda_held.h"
#include "cuda_room.h"

enum { RESERVED_MEM_CURRENT = 5, USED_MEM_CURRENT = 7 }; /* CUmemPool_attribute */

static bool
ask (CUmemoryPool pool, int attribute, uint64_t *bytes)
{
  __typeof__ (&cuMemPoolGetAttribute) get = SPARK_DRIVER (cuMemPoolGetAttribute);
  return get != NULL && pool != NULL && get (pool, attribute, bytes) == SPARK_CUDA_SUCCESS;
}

/* The pool that cuMemAllocAsync takes from in this thread's context. Of a stream on another device it is not: a unified-memory machine
   has one. */
static CUmemoryPool
current_pool (void)
{
  __typeof__ (&cuCtxGetDevice) get_device = SPARK_DRIVER (cuCtxGetDevice);
  __typeof__ (&cuDeviceGetMemPool) get_pool = SPARK_DRIVER (cuDeviceGetMemPool);
  CUdevice device = 0;
  CUmemoryPool pool = NULL;
  if (get_device == NULL || get_pool == NULL || get_device (&device) != SPARK_CUDA_SUCCESS
      || get_pool (&pool, device) != SPARK_CUDA_SUCCESS)
    return NULL;
  return pool;
}

/* ---- the ledger follows a pool; all of these with the lock held ---- */

static struct spark_track_entry *
entry_of (struct spark_process *process, CUmemoryPool pool)
{
  uint64_t key = (uint64_t) (uintptr_t) pool;
  struct spark_track_entry *entry = spark_track_find (&process->pools, key), replaced;
  if (entry == NULL && spark_track_put (&process->pools, (struct spark_track_entry){ key, 0, 0 }, &replaced))
    entry = spark_track_find (&process->pools, key);
  return entry;
}

/* Gives back what the pool has not reserved and no call on its way may need. False where it has reserved more than fits. */
static bool
follow (struct spark_process *process, struct spark_track_entry *entry, uint64_t *given_back)
{
  uint64_t reserved = 0;
  if (!ask ((CUmemoryPool) (uintptr_t) entry->key, RESERVED_MEM_CURRENT, &reserved))
    return true;
  uint64_t keep = reserved + entry->extra;
  if (entry->bytes > keep)
    {
      *given_back += entry->bytes - keep;
      spark_budget_release (&process->budget, entry->bytes - keep);
      entry->bytes = keep;
    }
  else if (entry->bytes < reserved)
    {
      if (!spark_budget_try (&process->budget, reserved - entry->bytes))
        return false;
      entry->bytes = reserved;
    }
  return true;
}

static uint64_t
follow_all (struct spark_process *process, bool trim)
{
  uint64_t given_back = 0;
  spark_lock_take (&process->pools_lock);
  /* Not looked up in vain: programs without a driver come here too, to ask for /proc/meminfo, and so do children that were forked while
     another thread held the loader's lock. */
  __typeof__ (&cuMemPoolTrimTo) trim_to = trim && process->pools.count > 0 ? SPARK_REAL (cuMemPoolTrimTo) : NULL;
  for (size_t i = 0; i < process->pools.capacity; i++)
    {
      struct spark_track_entry *entry = &process->pools.entries[i];
      if (entry->key == 0)
        continue;
      if (trim_to != NULL)
        trim_to ((CUmemoryPool) (uintptr_t) entry->key, 0);
      if (!spark_kernel_tells (process))
        follow (process, entry, &given_back);
      else if (trim)
        given_back = 1;
    }
  spark_lock_give (&process->pools_lock);
  return given_back;
}

uint64_t
spark_pools_settle (struct spark_process *process)
{
  return follow_all (process, false);
}

uint64_t
spark_pools_trim (struct spark_process *process)
{
  return follow_all (process, true);
}

/* ---- allocating ---- */

static void
change_estimate (struct spark_process *process, CUmemoryPool pool, uint64_t reserved, uint64_t done)
{
  spark_lock_take (&process->pools_lock);
  struct spark_track_entry *entry = entry_of (process, pool);
  if (entry != NULL)
    {
      entry->bytes += reserved;
      entry->extra += reserved - done;
    }
  spark_lock_give (&process->pools_lock);
}

/* The least that a request of `need` bytes makes the pool grow by, with what it has grown by uncounted. False where it tells nothing. */
static bool
least_growth (struct spark_process *process, CUmemoryPool pool, uint64_t need, uint64_t *growth)
{
  uint64_t reserved = 0, used = 0, counted = 0;
  if (!ask (pool, RESERVED_MEM_CURRENT, &reserved) || !ask (pool, USED_MEM_CURRENT, &used))
    return false;
  spark_lock_take (&process->pools_lock);
  struct spark_track_entry *entry = spark_track_find (&process->pools, (uint64_t) (uintptr_t) pool);
  if (entry != NULL)
    counted = entry->bytes - (entry->extra < entry->bytes ? entry->extra : entry->bytes);
  spark_lock_give (&process->pools_lock);
  uint64_t idle = reserved > used ? reserved - used : 0, owed = reserved > counted ? reserved - counted : 0;
  *growth = need > idle ? need - idle : 0;
  *growth = *growth > UINT64_MAX - owed ? UINT64_MAX : *growth + owed;
  return true;
}

/* What a pointer takes of its pool: pools align by 512 bytes. */
static uint64_t
pooled_bytes (uint64_t bytes)
{
  return spark_rounded_up (bytes, 512);
}

/* After the driver has allocated: true where the pool's growth stands in the ledger. */
static bool
settle_growth (struct spark_process *process, CUmemoryPool pool, uint64_t estimate)
{
  uint64_t given_back = 0;
  spark_lock_take (&process->pools_lock);
  struct spark_track_entry *entry = entry_of (process, pool);
  if (entry != NULL)
    entry->extra -= estimate;
  bool stands = entry == NULL || follow (process, entry, &given_back);
  spark_lock_give (&process->pools_lock);
  return stands;
}

/* With the kernel module: the driver's call, once more after a refusal if there are pools or graphs to trim. A pool is remembered for
   that, with no bytes. */
#define GROW(pool, per_thread, output, ...)                                                                             \
  do                                                                                                                   \
    {                                                                                                                  \
      change_estimate (process, (pool), 0, 0);                                                                         \
      CUdeviceptr taken = 0;                                                                                           \
      CUresult result;                                                                                                 \
      SPARK_GROW (process, result, real (&taken, __VA_ARGS__));                                                        \
      if (result != SPARK_CUDA_SUCCESS)                                                                                \
        return result;                                                                                                 \
      if (spark_stream_is_capturing (stream, (per_thread)))                                                            \
        spark_graph_allocates (process);                                                                               \
      *(output) = taken;                                                                                               \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

/* The body of a function that allocates from `pool` by the driver's `free_async`, with its arguments after the output. */
#define ALLOCATE(pool_expression, free_async, per_thread, output, size, ...)                                                      \
  do                                                                                                                   \
    {                                                                                                                  \
      struct spark_process *process = call->process;                                                                   \
      __typeof__ (&free_async) give_back = SPARK_REAL (free_async);                                                    \
      call->bytes = (size);                                                                                            \
      if ((output) == NULL || (size) == 0 || give_back == NULL)                                                        \
        return real ((output), __VA_ARGS__);                                                                           \
      CUmemoryPool from = (pool_expression);                                                                           \
      if (spark_kernel_tells (process))                                                                                \
        GROW (from, (per_thread), (output), __VA_ARGS__);                                                              \
      uint64_t estimate = 0, handle = (uint64_t) (uintptr_t) from;                                                     \
      bool by_pool = least_growth (process, from, pooled_bytes (size), &estimate);                                     \
      if (!by_pool)                                                                                                    \
        estimate = spark_budget_charge (size);                                                                         \
      if (estimate > 0 && !spark_take_room (call, estimate))                                                           \
        return SPARK_CUDA_ERROR_OUT_OF_MEMORY;                                                                         \
      if (by_pool)                                                                                                     \
        change_estimate (process, from, estimate, 0);                                                                  \
      CUdeviceptr taken = 0;                                                                                           \
      CUresult result = real (&taken, __VA_ARGS__);                                                                    \
      bool in_graph = result == SPARK_CUDA_SUCCESS && spark_stream_is_capturing (stream, (per_thread));                 \
      if (!by_pool && (result != SPARK_CUDA_SUCCESS || in_graph))                                                      \
        spark_budget_release (&process->budget, estimate);                                                             \
      if (by_pool && !settle_growth (process, from, estimate) && result == SPARK_CUDA_SUCCESS)                         \
        {                                                                                                              \
          give_back (taken, stream);                                                                                   \
          spark_pools_trim (process);                                                                                  \
          return spark_no_room (call);                                                                                 \
        }                                                                                                              \
      if (result != SPARK_CUDA_SUCCESS)                                                                                \
        return result;                                                                                                 \
      if (in_graph)                                                                                                    \
        spark_graph_allocates (process); /* a node of the graph: the pool has no part in it */                         \
      else                                                                                                             \
        spark_held_remember (process, taken, by_pool ? pooled_bytes (size) : estimate,                                 \
                             by_pool ? handle | SPARK_HELD_BY_POOL : 0);                                               \
      *(output) = taken;                                                                                               \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

SPARK_CUDA_HOOK (cuMemAllocAsync, (CUdeviceptr *pointer, size_t bytes, CUstream stream), (pointer, bytes, stream))
{
  ALLOCATE (current_pool (), cuMemFreeAsync, false, pointer, bytes, bytes, stream);
}

SPARK_CUDA_HOOK (cuMemAllocAsync_ptsz, (CUdeviceptr *pointer, size_t bytes, CUstream stream), (pointer, bytes, stream))
{
  ALLOCATE (current_pool (), cuMemFreeAsync_ptsz, true, pointer, bytes, bytes, stream);
}

SPARK_CUDA_HOOK (cuMemAllocFromPoolAsync, (CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream),
                 (pointer, bytes, pool, stream))
{
  ALLOCATE (pool, cuMemFreeAsync, false, pointer, bytes, bytes, pool, stream);
}

SPARK_CUDA_HOOK (cuMemAllocFromPoolAsync_ptsz, (CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream),
                 (pointer, bytes, pool, stream))
{
  ALLOCATE (pool, cuMemFreeAsync_ptsz, true, pointer, bytes, bytes, pool, stream);
}

SPARK_CUDA_HOOK (cuMemFreeAsync, (CUdeviceptr pointer, CUstream stream), (pointer, stream))
{
  SPARK_FREE (pointer, pointer, stream);
}

SPARK_CUDA_HOOK (cuMemFreeAsync_ptsz, (CUdeviceptr pointer, CUstream stream), (pointer, stream))
{
  SPARK_FREE (pointer, pointer, stream);
}

/* ---- the pools themselves ---- */

SPARK_CUDA_HOOK (cuMemPoolTrimTo, (CUmemoryPool pool, size_t keep_bytes), (pool, keep_bytes))
{
  CUresult result = real (pool, keep_bytes);
  spark_pools_settle (call->process);
  return result;
}

/* What its live pointers hold outlives a destroyed pool, until each is freed: from here on they are counted one by one. The lock is held,
   as in cuda_context.c: the driver may give the handle out again at once. */
SPARK_CUDA_HOOK (cuMemPoolDestroy, (CUmemoryPool pool), (pool))
{
  struct spark_process *process = call->process;
  struct spark_track_entry entry = { 0 };
  spark_lock_take (&process->pools_lock);
  CUresult result = real (pool);
  uint64_t key = (uint64_t) (uintptr_t) pool, orphans = 0;
  if (result == SPARK_CUDA_SUCCESS && spark_track_take (&process->pools, key, &entry))
    {
      spark_lock_take (&process->allocations_lock);
      orphans = spark_track_change_all (&process->allocations, key | SPARK_HELD_BY_POOL, 0);
      spark_lock_give (&process->allocations_lock);
    }
  spark_lock_give (&process->pools_lock);
  /* Its pointers together take at most what it had reserved. */
  spark_budget_release (&process->budget, entry.bytes > orphans ? entry.bytes - orphans : 0);
  return result;
}

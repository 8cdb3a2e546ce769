/* Limits of a context that take memory, where the kernel module does not tell (rm_ioctl.c): stack for every thread that the device can
   run at once (measured, driver 580 on H100: 64 KiB take 16.2 GiB, at once), and the heap of malloc in kernels (taken by the first
   kernel that needs it; counted from now on). */
#include "cuda_held.h"
#include "cuda_room.h"

enum { LIMIT_STACK_SIZE = 0, LIMIT_MALLOC_HEAP_SIZE = 2 };                        /* CUlimit */
enum { MULTIPROCESSOR_COUNT = 16, MAX_THREADS_PER_MULTIPROCESSOR = 39 };         /* CUdevice_attribute */

static uint64_t
attribute (int which)
{
  __typeof__ (&cuCtxGetDevice) get_device = SPARK_DRIVER (cuCtxGetDevice);
  __typeof__ (&cuDeviceGetAttribute) get = SPARK_DRIVER (cuDeviceGetAttribute);
  CUdevice device = 0;
  int value = 0;
  return get_device != NULL && get != NULL && get_device (&device) == SPARK_CUDA_SUCCESS
             && get (&value, which, device) == SPARK_CUDA_SUCCESS && value > 0
           ? (uint64_t) value
           : 0;
}

/* What a limit of `value` takes. */
static uint64_t
takes (int limit, uint64_t value)
{
  uint64_t threads = limit == LIMIT_STACK_SIZE ? attribute (MULTIPROCESSOR_COUNT) * attribute (MAX_THREADS_PER_MULTIPROCESSOR) : 1;
  uint64_t bytes;
  return __builtin_mul_overflow (value, threads, &bytes) ? UINT64_MAX : bytes;
}

/* One entry for each limit of a context, beside its memory; it ends with the context. Contexts are aligned, so the keys are free. */
static uint64_t
key_of (uint64_t context, int limit)
{
  return context + 1 + (uint64_t) limit;
}

/* What the context had by itself, which is not counted, here as elsewhere: what it has when it is first asked to change. With the lock. */
static uint64_t
own_bytes (struct spark_process *process, uint64_t key, uint64_t now_bytes)
{
  struct spark_track_entry *entry = spark_track_find (&process->own_limits, key), replaced;
  if (entry != NULL)
    return entry->bytes;
  spark_track_put (&process->own_limits, (struct spark_track_entry){ .key = key, .bytes = now_bytes }, &replaced);
  return now_bytes;
}

static CUresult
set_limit (struct spark_call *call, __typeof__ (&cuCtxSetLimit) real, uint64_t context, int limit, size_t before, size_t value)
{
  struct spark_process *process = call->process;
  uint64_t key = key_of (context, limit);
  uint64_t own = own_bytes (process, key, takes (limit, before)), whole = takes (limit, value);
  uint64_t wanted = whole > own ? whole - own : 0;
  struct spark_track_entry counted = spark_held_forget (process, key);
  uint64_t more = wanted > counted.bytes ? wanted - counted.bytes : 0;
  call->bytes = more;
  bool fits = more == 0 || spark_take_room (call, more);
  CUresult result = fits ? real (limit, value) : SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  if (result == SPARK_CUDA_SUCCESS)
    spark_budget_release (&process->budget, wanted < counted.bytes ? counted.bytes - wanted : 0);
  else if (fits)
    spark_budget_release (&process->budget, more);
  uint64_t holds = result == SPARK_CUDA_SUCCESS ? wanted : counted.bytes;
  if (holds != 0)
    spark_held_remember (process, key, holds, context);
  return result;
}

SPARK_CUDA_HOOK (cuCtxSetLimit, (int limit, size_t value), (limit, value))
{
  if (spark_kernel_tells (call->process))
    {
      CUresult result;
      SPARK_COUNTED_BELOW (result = real (limit, value));
      return result;
    }
  __typeof__ (&cuCtxGetLimit) get = SPARK_DRIVER (cuCtxGetLimit);
  uint64_t context = spark_current_context ();
  size_t before = 0;
  if ((limit != LIMIT_STACK_SIZE && limit != LIMIT_MALLOC_HEAP_SIZE) || context == 0 || get == NULL
      || get (&before, limit) != SPARK_CUDA_SUCCESS)
    return real (limit, value);
  spark_lock_take (&call->process->limits_lock);
  CUresult result = set_limit (call, real, context, limit, before, value);
  spark_lock_give (&call->process->limits_lock);
  return result;
}

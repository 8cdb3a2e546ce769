/* The end of a context frees what was allocated in it, without a call for each pointer (cudaDeviceReset, numba's close): the ledger
   has to give it back too. What came from cuMemCreate or from a pool belongs to no context and stays (measured, driver 580 on H200).

   The calls that may end a context are made with the lock of the table held, as in cuda_vmm.c: the driver may give out the same
   context and the same pointers at once again, and what is remembered of those then comes after what is forgotten here. */
#include "call.h"
#include "cuda_abi.h"

/* Gives back what ended with `context`. Called with the lock held; releases it. */
static void
settle_end (struct spark_process *process, CUcontext context, bool ended)
{
  uint64_t freed
    = ended && context != NULL ? spark_track_take_all (&process->allocations, (uint64_t) (uintptr_t) context) : 0;
  spark_lock_give (&process->allocations_lock);
  spark_budget_release (&process->budget, freed);
}

static bool
primary_is_active (CUdevice device)
{
  __typeof__ (&cuDevicePrimaryCtxGetState) get_state = SPARK_DRIVER (cuDevicePrimaryCtxGetState);
  unsigned flags = 0;
  int active = 0;
  return get_state != NULL && get_state (device, &flags, &active) == SPARK_CUDA_SUCCESS && active != 0;
}

/* The primary context of `device`, NULL where it is not active. The driver names it only to who takes a reference, which goes back at
   once by `release`, the driver's own. */
static CUcontext
primary_of (CUdevice device, CUresult (*release) (CUdevice))
{
  __typeof__ (&cuDevicePrimaryCtxRetain) retain = SPARK_DRIVER (cuDevicePrimaryCtxRetain);
  CUcontext context = NULL;
  if (retain == NULL || release == NULL || !primary_is_active (device) || retain (&context, device) != SPARK_CUDA_SUCCESS)
    return NULL;
  release (device);
  return context;
}

/* The body of a function that destroys `context`. */
#define DESTROY(context)                                                                                                \
  do                                                                                                                   \
    {                                                                                                                  \
      spark_lock_take (&call->process->allocations_lock);                                                              \
      CUresult result = real (context);                                                                                \
      settle_end (call->process, (context), result == SPARK_CUDA_SUCCESS);                                             \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

/* The body of a function that ends the primary context of `device`, now or (`counts`) with its last reference. */
#define END_PRIMARY(release, device, counts)                                                                            \
  do                                                                                                                   \
    {                                                                                                                  \
      spark_lock_take (&call->process->allocations_lock);                                                              \
      CUcontext context = primary_of ((device), SPARK_REAL (release));                                                 \
      CUresult result = real (device);                                                                                 \
      settle_end (call->process, context,                                                                              \
                  result == SPARK_CUDA_SUCCESS && !((counts) && primary_is_active (device)));                          \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

SPARK_CUDA_HOOK (cuCtxDestroy_v2, (CUcontext context), (context))
{
  DESTROY (context);
}

SPARK_CUDA_HOOK (cuCtxDestroy, (CUcontext context), (context))
{
  DESTROY (context);
}

SPARK_CUDA_HOOK (cuDevicePrimaryCtxRelease_v2, (CUdevice device), (device))
{
  END_PRIMARY (cuDevicePrimaryCtxRelease_v2, device, true);
}

SPARK_CUDA_HOOK (cuDevicePrimaryCtxRelease, (CUdevice device), (device))
{
  END_PRIMARY (cuDevicePrimaryCtxRelease, device, true);
}

SPARK_CUDA_HOOK (cuDevicePrimaryCtxReset_v2, (CUdevice device), (device))
{
  END_PRIMARY (cuDevicePrimaryCtxRelease_v2, device, false);
}

SPARK_CUDA_HOOK (cuDevicePrimaryCtxReset, (CUdevice device), (device))
{
  END_PRIMARY (cuDevicePrimaryCtxRelease, device, false);
}

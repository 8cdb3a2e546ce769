/* The driver's own way of handing out its functions. Names that we hook get ours; everything else is the driver's pointer, so that
   calls which do not allocate cost nothing. Without a ledger all answers are the driver's. */
#include "call.h"
#include "cuda_abi.h"

static void
give_ours (struct spark_call *call, const char *symbol, void **function, int cuda_version, uint64_t flags)
{
  void *ours = spark_hook_for (symbol, *function, cuda_version, (flags & SPARK_CUDA_PER_THREAD_STREAM) != 0);
  if (ours == *function)
    return;
  *function = ours;
  call->by = SPARK_BY_SHIM;
}

SPARK_LOADER_HOOK (cuGetProcAddress_v2,
                   (const char *symbol, void **function, int cuda_version, uint64_t flags,
                    CUdriverProcAddressQueryResult *status),
                   (symbol, function, cuda_version, flags, status))
{
  call->detail = symbol;
  CUresult result = real (symbol, function, cuda_version, flags, status);
  if (result == SPARK_CUDA_SUCCESS && function != NULL)
    give_ours (call, symbol, function, cuda_version, flags);
  return result;
}

SPARK_LOADER_HOOK (cuGetProcAddress, (const char *symbol, void **function, int cuda_version, uint64_t flags),
                   (symbol, function, cuda_version, flags))
{
  call->detail = symbol;
  CUresult result = real (symbol, function, cuda_version, flags);
  if (result == SPARK_CUDA_SUCCESS && function != NULL)
    give_ours (call, symbol, function, cuda_version, flags);
  return result;
}

/* The driver's own way of handing out its functions. Names that we hook get ours; everything else is the driver's pointer, so that
   calls which do not allocate cost nothing. Without a ledger all answers are the driver's. */
#include "cuda_abi.h"
#include "hooks.h"
#include "process.h"

CUresult
cuGetProcAddress_v2 (const char *symbol, void **function, int cuda_version, uint64_t flags,
                     CUdriverProcAddressQueryResult *status)
{
  __typeof__ (&cuGetProcAddress_v2) real = SPARK_REAL (cuGetProcAddress_v2);
  if (real == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  CUresult result = real (symbol, function, cuda_version, flags, status);
  if (result == SPARK_CUDA_SUCCESS && function != NULL && spark_process () != NULL)
    *function = spark_hook_for (symbol, *function, cuda_version, (flags & SPARK_CUDA_PER_THREAD_STREAM) != 0);
  return result;
}

CUresult
cuGetProcAddress (const char *symbol, void **function, int cuda_version, uint64_t flags)
{
  __typeof__ (&cuGetProcAddress) real = SPARK_REAL (cuGetProcAddress);
  if (real == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  CUresult result = real (symbol, function, cuda_version, flags);
  if (result == SPARK_CUDA_SUCCESS && function != NULL && spark_process () != NULL)
    *function = spark_hook_for (symbol, *function, cuda_version, (flags & SPARK_CUDA_PER_THREAD_STREAM) != 0);
  return result;
}

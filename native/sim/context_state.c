/* What a context can be asked and told. */
#include "context.h"

#include "driver.h"
#include "memory.h"

CUresult
cuCtxGetDevice (CUdevice *device)
{
  SIM_ENTER_CONTEXT (NULL);
  if (device == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *device = 0;
  return CUDA_SUCCESS;
}

CUresult
cuCtxGetFlags (unsigned int *flags)
{
  CUcontext context;
  SIM_ENTER_CONTEXT (&context);
  if (flags == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *flags = ((struct context *) context)->flags;
  return CUDA_SUCCESS;
}

CUresult
cuCtxGetId (CUcontext context, unsigned long long *id)
{
  SIM_ENTER ();
  if (id == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (context == NULL)
    SIM_ENTER_CONTEXT (&context);
  if (!sim_handle_is (SIM_CONTEXT, context))
    return CUDA_ERROR_INVALID_CONTEXT;
  *id = ((struct context *) context)->id;
  return CUDA_SUCCESS;
}

CUresult
cuCtxGetApiVersion (CUcontext context, unsigned int *version)
{
  SIM_ENTER ();
  if (version == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (context != NULL && !sim_handle_is (SIM_CONTEXT, context))
    return CUDA_ERROR_INVALID_CONTEXT;
  *version = 3020;
  return CUDA_SUCCESS;
}

/* Work is done when its call returns; there is never anything to wait for. */
CUresult
cuCtxSynchronize (void)
{
  SIM_ENTER_CONTEXT (NULL);
  sim_pools_settle ();
  return CUDA_SUCCESS;
}

/* Limits are kept and told; their memory would be taken by code, and none runs here. */
CUresult
cuCtxSetLimit (int limit, size_t value)
{
  CUcontext context;
  SIM_ENTER_CONTEXT (&context);
  if (limit < 0 || limit >= SIM_CONTEXT_LIMITS)
    return CUDA_ERROR_INVALID_VALUE;
  ((struct context *) context)->limits[limit] = value;
  return CUDA_SUCCESS;
}

CUresult
cuCtxGetLimit (size_t *value, int limit)
{
  CUcontext context;
  SIM_ENTER_CONTEXT (&context);
  if (value == NULL || limit < 0 || limit >= SIM_CONTEXT_LIMITS)
    return CUDA_ERROR_INVALID_VALUE;
  *value = ((struct context *) context)->limits[limit];
  return CUDA_SUCCESS;
}

CUresult
cuCtxGetStreamPriorityRange (int *least, int *greatest)
{
  SIM_ENTER_CONTEXT (NULL);
  if (least != NULL)
    *least = 0;
  if (greatest != NULL)
    *greatest = -5;
  return CUDA_SUCCESS;
}

CUresult
cuCtxEnablePeerAccess (CUcontext peer, unsigned int flags)
{
  (void) peer, (void) flags;
  SIM_ENTER_CONTEXT (NULL);
  return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
}

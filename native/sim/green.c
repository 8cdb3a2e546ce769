/* Green contexts: a part of the processors. They share the primary context's memory and hold a reference of it. */
#include "context.h"
#include "driver.h"

enum { PROCESSORS = 16 }; /* the device attribute that counts them */
enum { SMALLEST_PART = 8 }; /* and what parts are multiples of, from compute capability 9.0 on */
enum { DEFAULT_STREAM = 1 }; /* CU_GREEN_CTX_DEFAULT_STREAM, which must be asked for */

struct green {
  CUcontext context;
};

struct resources {
  unsigned processors;
};

CUresult
cuDeviceGetDevResource (CUdevice device, CUdevResource *resource, int type)
{
  int processors = 0;
  SIM_ENTER ();
  if (resource == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = cuDeviceGetAttribute (&processors, PROCESSORS, device);
  if (result != CUDA_SUCCESS)
    return result;
  if (type != CU_DEV_RESOURCE_TYPE_SM)
    return CUDA_ERROR_NOT_SUPPORTED;
  *resource = (CUdevResource){ .type = type, .sm_count = (unsigned) processors };
  return CUDA_SUCCESS;
}

/* Into parts of at least `least` processors, and what is left; without `groups` it only says how many there would be. */
CUresult
cuDevSmResourceSplitByCount (CUdevResource *groups, unsigned int *count, const CUdevResource *from, CUdevResource *rest,
                             unsigned int flags, unsigned int least)
{
  SIM_ENTER ();
  if (count == NULL || from == NULL || from->type != CU_DEV_RESOURCE_TYPE_SM || flags != 0 || least > from->sm_count)
    return CUDA_ERROR_INVALID_VALUE;
  unsigned part = least == 0 ? SMALLEST_PART : (least + SMALLEST_PART - 1) / SMALLEST_PART * SMALLEST_PART;
  unsigned possible = from->sm_count / part;
  if (groups == NULL)
    {
      *count = possible;
      return CUDA_SUCCESS;
    }
  *count = *count < possible ? *count : possible;
  unsigned left = from->sm_count - *count * part;
  for (unsigned i = 0; i < *count; i++)
    groups[i] = (CUdevResource){ .type = CU_DEV_RESOURCE_TYPE_SM, .sm_count = part };
  if (rest != NULL)
    *rest = left > 0 ? (CUdevResource){ .type = CU_DEV_RESOURCE_TYPE_SM, .sm_count = left } : (CUdevResource){ 0 };
  return CUDA_SUCCESS;
}

/* A description has no end in the driver's interface either. */
CUresult
cuDevResourceGenerateDesc (CUdevResourceDesc *description, CUdevResource *resources, unsigned int count)
{
  unsigned processors = 0;
  SIM_ENTER ();
  if (description == NULL || resources == NULL || count == 0)
    return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; i++)
    {
      if (resources[i].type != CU_DEV_RESOURCE_TYPE_SM || resources[i].sm_count == 0)
        return CUDA_ERROR_INVALID_VALUE;
      processors += resources[i].sm_count;
    }
  struct resources *made = sim_handle_new (SIM_RESOURCES, sizeof *made);
  if (made == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  made->processors = processors;
  *description = made;
  return CUDA_SUCCESS;
}

CUresult
cuGreenCtxCreate (CUgreenCtx *green, CUdevResourceDesc description, CUdevice device, unsigned int flags)
{
  CUcontext primary;
  SIM_ENTER ();
  if (green == NULL || !sim_handle_is (SIM_RESOURCES, description) || flags != DEFAULT_STREAM)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = cuDevicePrimaryCtxRetain (&primary, device);
  if (result != CUDA_SUCCESS)
    return result;
  struct green *made = sim_handle_new (SIM_GREEN_CONTEXT, sizeof *made);
  result = made != NULL ? sim_context_new_green (&made->context) : CUDA_ERROR_OUT_OF_MEMORY;
  if (result != CUDA_SUCCESS)
    {
      if (made != NULL)
        sim_handle_free (made);
      cuDevicePrimaryCtxRelease_v2 (device);
      return result;
    }
  *green = made;
  return CUDA_SUCCESS;
}

CUresult
cuGreenCtxDestroy (CUgreenCtx handle)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_GREEN_CONTEXT, handle))
    return CUDA_ERROR_INVALID_HANDLE;
  sim_handle_free (((struct green *) handle)->context);
  sim_handle_free (handle);
  return cuDevicePrimaryCtxRelease_v2 (0);
}

CUresult
cuCtxFromGreenCtx (CUcontext *context, CUgreenCtx handle)
{
  SIM_ENTER ();
  if (context == NULL || !sim_handle_is (SIM_GREEN_CONTEXT, handle))
    return CUDA_ERROR_INVALID_VALUE;
  *context = ((struct green *) handle)->context;
  return CUDA_SUCCESS;
}

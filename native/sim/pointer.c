/* What a pointer is. */
#include "driver.h"
#include "memory.h"

/* Writes one attribute of `range` (NULL: not the driver's). Returns false for an attribute we do not know. */
static bool
answer (const struct sim_range *range, int attribute, CUdeviceptr pointer, void *data)
{
  bool host = range != NULL && (range->kind == SIM_HOST_MEMORY || range->kind == SIM_REGISTERED_MEMORY);
  bool managed = range != NULL && range->kind == SIM_MANAGED_MEMORY;
  switch (attribute)
    {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      *(CUcontext *) data = range != NULL && range->kind == SIM_DEVICE_MEMORY ? range->owner : NULL;
      return true;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      *(unsigned *) data = range == NULL ? 0 : host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
      return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      *(CUdeviceptr *) data = range != NULL ? pointer : 0;
      return true;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      *(void **) data = host || managed ? (void *) (uintptr_t) pointer : NULL;
      return true;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
      *(unsigned *) data = range != NULL;
      return true;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
      *(unsigned long long *) data = range != NULL ? range->base : 0;
      return true;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      *(unsigned *) data = managed;
      return true;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      *(int *) data = range != NULL ? 0 : -2;
      return true;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
      *(CUdeviceptr *) data = range != NULL ? range->base : 0;
      return true;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
      *(size_t *) data = range != NULL ? range->bytes : 0;
      return true;
    case CU_POINTER_ATTRIBUTE_MAPPED:
      *(unsigned *) data = range != NULL;
      return true;
    default:
      return false;
    }
}

static CUresult
ask (unsigned count, const int *attributes, void **data, CUdeviceptr pointer, bool must_be_ours)
{
  CUresult result = CUDA_SUCCESS;
  sim_lock ();
  const struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
  if (range == NULL && must_be_ours)
    result = CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; result == CUDA_SUCCESS && i < count; i++)
    if (data[i] == NULL || !answer (range, attributes[i], pointer, data[i]))
      result = CUDA_ERROR_NOT_SUPPORTED;
  sim_unlock ();
  return result;
}

CUresult
cuPointerGetAttribute (void *data, int attribute, CUdeviceptr pointer)
{
  SIM_ENTER_CONTEXT (NULL);
  return ask (1, &attribute, &data, pointer, true);
}

CUresult
cuPointerGetAttributes (unsigned int count, int *attributes, void **data, CUdeviceptr pointer)
{
  SIM_ENTER_CONTEXT (NULL);
  if (attributes == NULL || data == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  return ask (count, attributes, data, pointer, false);
}

/* Only one can be set, SYNC_MEMOPS, and it always holds here. */
CUresult
cuPointerSetAttribute (const void *value, int attribute, CUdeviceptr pointer)
{
  (void) pointer;
  SIM_ENTER_CONTEXT (NULL);
  if (value == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  return attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

/* How much memory the device says it has. Total and free change together, or an engine that computes "used" gets nonsense. */
#include "cuda_abi.h"
#include "hooks.h"
#include "report.h"

static uint32_t
in_32_bits (uint64_t bytes)
{
  return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t) bytes;
}

CUresult
cuMemGetInfo_v2 (size_t *free_bytes, size_t *total_bytes)
{
  __typeof__ (&cuMemGetInfo_v2) real = SPARK_REAL (cuMemGetInfo_v2);
  if (real == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  struct spark_process *process = spark_process ();
  if (process == NULL || free_bytes == NULL || total_bytes == NULL)
    return real (free_bytes, total_bytes);
  size_t real_free = 0, real_total = 0;
  CUresult result = real (&real_free, &real_total);
  if (result != SPARK_CUDA_SUCCESS)
    return result;
  struct spark_room room = spark_report_room (process, real_total);
  *free_bytes = room.free_bytes;
  *total_bytes = room.total_bytes;
  return result;
}

CUresult
cuMemGetInfo (uint32_t *free_bytes, uint32_t *total_bytes)
{
  __typeof__ (&cuMemGetInfo) real = SPARK_REAL (cuMemGetInfo);
  if (real == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  struct spark_process *process = spark_process ();
  if (process == NULL || free_bytes == NULL || total_bytes == NULL)
    return real (free_bytes, total_bytes);
  uint32_t real_free = 0, real_total = 0;
  CUresult result = real (&real_free, &real_total);
  if (result != SPARK_CUDA_SUCCESS)
    return result;
  struct spark_room room = spark_report_room (process, real_total);
  *free_bytes = in_32_bits (room.free_bytes);
  *total_bytes = in_32_bits (room.total_bytes);
  return result;
}

CUresult
cuDeviceTotalMem_v2 (size_t *bytes, CUdevice device)
{
  __typeof__ (&cuDeviceTotalMem_v2) real = SPARK_REAL (cuDeviceTotalMem_v2);
  if (real == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  CUresult result = real (bytes, device);
  struct spark_process *process = spark_process ();
  if (result == SPARK_CUDA_SUCCESS && process != NULL)
    *bytes = spark_report_total (process, *bytes);
  return result;
}

CUresult
cuDeviceTotalMem (uint32_t *bytes, CUdevice device)
{
  __typeof__ (&cuDeviceTotalMem) real = SPARK_REAL (cuDeviceTotalMem);
  if (real == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  CUresult result = real (bytes, device);
  struct spark_process *process = spark_process ();
  if (result == SPARK_CUDA_SUCCESS && process != NULL)
    *bytes = in_32_bits (spark_report_total (process, *bytes));
  return result;
}

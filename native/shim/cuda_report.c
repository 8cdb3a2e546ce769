/* How much memory the device says it has. Total and free change together, or an engine that computes "used" gets nonsense. */
#include "call.h"
#include "cuda_abi.h"
#include "report.h"

static uint32_t
in_32_bits (uint64_t bytes)
{
  return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t) bytes;
}

SPARK_CUDA_HOOK (cuMemGetInfo_v2, (size_t *free_bytes, size_t *total_bytes), (free_bytes, total_bytes))
{
  if (free_bytes == NULL || total_bytes == NULL)
    return real (free_bytes, total_bytes);
  size_t real_free = 0, real_total = 0;
  CUresult result = real (&real_free, &real_total);
  if (result != SPARK_CUDA_SUCCESS)
    return result;
  struct spark_room room = spark_reported (call, spark_report_room (call->process, real_total));
  *free_bytes = room.free_bytes;
  *total_bytes = room.total_bytes;
  return result;
}

SPARK_CUDA_HOOK (cuMemGetInfo, (uint32_t *free_bytes, uint32_t *total_bytes), (free_bytes, total_bytes))
{
  if (free_bytes == NULL || total_bytes == NULL)
    return real (free_bytes, total_bytes);
  uint32_t real_free = 0, real_total = 0;
  CUresult result = real (&real_free, &real_total);
  if (result != SPARK_CUDA_SUCCESS)
    return result;
  struct spark_room room = spark_reported (call, spark_report_room (call->process, real_total));
  *free_bytes = in_32_bits (room.free_bytes);
  *total_bytes = in_32_bits (room.total_bytes);
  return result;
}

SPARK_CUDA_HOOK (cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device), (bytes, device))
{
  CUresult result = real (bytes, device);
  if (result == SPARK_CUDA_SUCCESS)
    {
      *bytes = spark_report_total (call->process, *bytes);
      spark_reported_total (call, *bytes);
    }
  return result;
}

SPARK_CUDA_HOOK (cuDeviceTotalMem, (uint32_t *bytes, CUdevice device), (bytes, device))
{
  CUresult result = real (bytes, device);
  if (result == SPARK_CUDA_SUCCESS)
    {
      *bytes = in_32_bits (spark_report_total (call->process, *bytes));
      spark_reported_total (call, *bytes);
    }
  return result;
}

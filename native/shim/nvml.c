/* NVML's memory figures. A GB10 has no framebuffer and answers NOT_SUPPORTED (driver 580), whereupon engines fall back to the whole
   machine's memory or give up; the container's budget is the answer that they need. */
#include "nvml_abi.h"

#include "call.h"
#include "report.h"

/* A library that lacks the function is answered for as one that says NOT_SUPPORTED is. */
static nvmlReturn_t
answer_missing (struct spark_call *call, nvmlMemory_t *memory)
{
  if (call->process == NULL || memory == NULL)
    return SPARK_NVML_ERROR_FUNCTION_NOT_FOUND;
  struct spark_room room = spark_reported (call, spark_report_room (call->process, 0));
  *memory = (nvmlMemory_t){ room.total_bytes, room.free_bytes, room.total_bytes - room.free_bytes };
  return SPARK_NVML_SUCCESS;
}

static nvmlReturn_t
answer_missing_v2 (struct spark_call *call, nvmlMemory_v2_t *memory)
{
  nvmlMemory_t seen;
  if (memory == NULL || memory->version != SPARK_NVML_MEMORY_V2)
    return SPARK_NVML_ERROR_FUNCTION_NOT_FOUND;
  nvmlReturn_t result = answer_missing (call, &seen);
  if (result == SPARK_NVML_SUCCESS)
    *memory = (nvmlMemory_v2_t){ SPARK_NVML_MEMORY_V2, seen.total, 0, seen.free, seen.used };
  return result;
}

SPARK_HOOK_OF ("nvml", answer_missing (&call, memory), nvmlDeviceGetMemoryInfo, (nvmlDevice_t device, nvmlMemory_t *memory),
               (device, memory))
{
  if (memory == NULL)
    return real (device, memory);
  nvmlMemory_t seen = { 0 };
  nvmlReturn_t result = real (device, &seen);
  if (result != SPARK_NVML_SUCCESS && result != SPARK_NVML_ERROR_NOT_SUPPORTED)
    return result;
  uint64_t real_total = result == SPARK_NVML_SUCCESS ? seen.total : 0;
  struct spark_room room = spark_reported (call, spark_report_room (call->process, real_total));
  memory->total = room.total_bytes;
  memory->free = room.free_bytes;
  memory->used = room.total_bytes - room.free_bytes;
  return SPARK_NVML_SUCCESS;
}

SPARK_HOOK_OF ("nvml", answer_missing_v2 (&call, memory), nvmlDeviceGetMemoryInfo_v2,
               (nvmlDevice_t device, nvmlMemory_v2_t *memory), (device, memory))
{
  if (memory == NULL)
    return real (device, memory);
  nvmlMemory_v2_t seen = { .version = memory->version };
  nvmlReturn_t result = real (device, &seen);
  if (result != SPARK_NVML_SUCCESS && result != SPARK_NVML_ERROR_NOT_SUPPORTED)
    return result;
  /* Where the device has no figures NVML may say so before it looks at the version. */
  if (memory->version != SPARK_NVML_MEMORY_V2)
    return SPARK_NVML_ERROR_FUNCTION_NOT_FOUND;
  uint64_t real_total = result == SPARK_NVML_SUCCESS ? seen.total : 0;
  struct spark_room room = spark_reported (call, spark_report_room (call->process, real_total));
  memory->total = room.total_bytes;
  memory->free = room.free_bytes;
  memory->used = room.total_bytes - room.free_bytes;
  memory->reserved = 0;
  return SPARK_NVML_SUCCESS;
}

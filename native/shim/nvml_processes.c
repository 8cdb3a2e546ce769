/* NVML's lists of processes, and the window of the bus onto the device's memory. The lists are the driver's own; no process of a container
   is said to hold more than the container's budget, since tools add these up and compare them with the total that we tell. */
#include "call.h"
#include "nvml_abi.h"
#include "report.h"

static bool
cap (unsigned long long *bytes, uint64_t budget_bytes)
{
  if (*bytes == SPARK_NVML_VALUE_NOT_AVAILABLE || *bytes <= budget_bytes)
    return false;
  *bytes = budget_bytes;
  return true;
}

/* All of a list's forms differ in their element alone. Only what was written is looked at. */
#define SPARK_LIST_HOOK(symbol, element)                                                                               \
  SPARK_NVML_HOOK (symbol, (nvmlDevice_t device, unsigned *count, element *processes), (device, count, processes))     \
  {                                                                                                                    \
    nvmlReturn_t result = real (device, count, processes);                                                             \
    uint64_t budget = spark_report_total (call->process, 0);                                                           \
    for (unsigned i = 0; result == SPARK_NVML_SUCCESS && count != NULL && processes != NULL && i < *count; i++)        \
      if (cap (&processes[i].usedGpuMemory, budget))                                                                   \
        call->by = SPARK_BY_SHIM;                                                                                      \
    return result;                                                                                                     \
  }

SPARK_LIST_HOOK (nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t)
SPARK_LIST_HOOK (nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t)
SPARK_LIST_HOOK (nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_v2_t)
SPARK_LIST_HOOK (nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t)
SPARK_LIST_HOOK (nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t)
SPARK_LIST_HOOK (nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_v2_t)
SPARK_LIST_HOOK (nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t)
SPARK_LIST_HOOK (nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t)
SPARK_LIST_HOOK (nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_v2_t)

/* As wide as the memory behind it at most. Where the device has no such window the driver says so. */
SPARK_NVML_HOOK (nvmlDeviceGetBAR1MemoryInfo, (nvmlDevice_t device, nvmlBAR1Memory_t *memory), (device, memory))
{
  nvmlReturn_t result = real (device, memory);
  if (result != SPARK_NVML_SUCCESS || memory == NULL)
    return result;
  if (cap (&memory->bar1Total, spark_report_total (call->process, 0)))
    {
      cap (&memory->bar1Used, memory->bar1Total);
      memory->bar1Free = memory->bar1Total - memory->bar1Used;
      call->by = SPARK_BY_SHIM;
    }
  return result;
}

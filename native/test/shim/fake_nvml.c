/* A fake libnvidia-ml.so.1 for the shim's tests. `fake_nvml_answer` is what the memory functions return; 0 gives 128 GiB, and
   `fake_nvml_total` another total. */
#include "shim/nvml_abi.h"

SPARK_EXPORT nvmlReturn_t fake_nvml_answer;
SPARK_EXPORT unsigned long long fake_nvml_total = 128ull << 30;

SPARK_EXPORT nvmlReturn_t nvmlInit_v2 (void);
nvmlReturn_t nvmlInit_v2 (void) { return 0; }

nvmlReturn_t
nvmlDeviceGetMemoryInfo (nvmlDevice_t device, nvmlMemory_t *memory)
{
  (void) device;
  if (memory == NULL)
    return SPARK_NVML_ERROR_INVALID_ARGUMENT;
  if (fake_nvml_answer != 0)
    return fake_nvml_answer;
  *memory = (nvmlMemory_t){ .total = fake_nvml_total, .free = fake_nvml_total };
  return 0;
}

nvmlReturn_t
nvmlDeviceGetMemoryInfo_v2 (nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
  (void) device;
  if (fake_nvml_answer != 0)
    return fake_nvml_answer;
  if (memory->version != SPARK_NVML_MEMORY_V2)
    return SPARK_NVML_ERROR_FUNCTION_NOT_FOUND;
  memory->total = memory->free = fake_nvml_total;
  memory->used = memory->reserved = 0;
  return 0;
}

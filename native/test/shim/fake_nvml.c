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

/* Three processes: of 1 MiB, of 200 GiB, and of unknown size; the place after them must stay as it is. */
#define LIST(count, processes)                                                                                         \
  do                                                                                                                   \
    {                                                                                                                  \
      if (fake_nvml_answer != 0)                                                                                       \
        return fake_nvml_answer;                                                                                       \
      unsigned room = *(count);                                                                                        \
      *(count) = 3;                                                                                                    \
      if (room < 3)                                                                                                    \
        return 7; /* NVML_ERROR_INSUFFICIENT_SIZE */                                                                   \
      static const unsigned long long sizes[] = { 1 << 20, 200ull << 30, SPARK_NVML_VALUE_NOT_AVAILABLE };             \
      for (unsigned i = 0; i < 3; i++)                                                                                 \
        (processes)[i].pid = 10 + i, (processes)[i].usedGpuMemory = sizes[i];                                          \
      return 0;                                                                                                        \
    }                                                                                                                  \
  while (0)

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v1_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2 (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v2_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3 (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v2_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v1_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2 (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v2_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3 (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v2_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v1_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v2 (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v2_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3 (nvmlDevice_t d, unsigned *n, nvmlProcessInfo_v2_t *p) { (void) d; LIST (n, p); }
nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo (nvmlDevice_t d, nvmlBAR1Memory_t *m) { (void) d; return fake_nvml_answer != 0 ? fake_nvml_answer : (*m = (nvmlBAR1Memory_t){ 256ull << 30, 255ull << 30, 1ull << 30 }, 0); }

/* NVML's lists of processes, the bus window, and a library that lacks the memory functions. */
#include "harness.h"
#include <stdbool.h>

#define BUDGET (4 * GIB)

static void *nvml;
static nvmlReturn_t *answer;
#define NVML(symbol) ((__typeof__ (&symbol)) dlsym (nvml, #symbol))

#define LIST(symbol, type)                                                                                             \
  do                                                                                                                   \
    {                                                                                                                  \
      type list[4] = { [3] = { .pid = 99, .usedGpuMemory = 9 * GIB } };                                                \
      unsigned count = 4, none = 0;                                                                                    \
      CHECK (is_ours (dlsym (nvml, #symbol)));                                                                         \
      CHECK (NVML (symbol) (NULL, &count, list) == 0 && count == 3);                                                   \
      CHECK (list[0].usedGpuMemory == MIB && list[1].pid == 11 && list[1].usedGpuMemory == BUDGET);                    \
      CHECK (list[2].usedGpuMemory == SPARK_NVML_VALUE_NOT_AVAILABLE && list[3].usedGpuMemory == 9 * GIB);             \
      CHECK (NVML (symbol) (NULL, &none, NULL) == 7 && none == 3);                                                     \
      *answer = SPARK_NVML_ERROR_NOT_SUPPORTED;                                                                        \
      CHECK (NVML (symbol) (NULL, &count, list) == SPARK_NVML_ERROR_NOT_SUPPORTED);                                    \
      *answer = 0;                                                                                                     \
    }                                                                                                                  \
  while (0)

static int
old_library (void)
{
  nvml = dlopen (in_build ("test/shim/old/libnvidia-ml.so.1"), RTLD_NOW);
  if (nvml == NULL)
    return 1;
  nvmlMemory_t memory = { 0 };
  nvmlMemory_v2_t memory_2 = { .version = SPARK_NVML_MEMORY_V2 }, wrong = { .version = 1, .total = 7 };
  unsigned count = 0;
  if (NVML (nvmlDeviceGetMemoryInfo) (NULL, &memory) != 0 || memory.total != BUDGET || memory.free > BUDGET)
    return 2;
  if (NVML (nvmlDeviceGetMemoryInfo_v2) (NULL, &memory_2) != 0 || memory_2.total != BUDGET || memory_2.version != SPARK_NVML_MEMORY_V2)
    return 3;
  if (NVML (nvmlDeviceGetMemoryInfo_v2) (NULL, &wrong) != SPARK_NVML_ERROR_FUNCTION_NOT_FOUND || wrong.total != 7)
    return 4;
  if (NVML (nvmlDeviceGetMemoryInfo) (NULL, NULL) != SPARK_NVML_ERROR_FUNCTION_NOT_FOUND)
    return 5;
  return NVML (nvmlDeviceGetComputeRunningProcesses_v3) (NULL, &count, NULL) == SPARK_NVML_ERROR_FUNCTION_NOT_FOUND ? 0 : 6;
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  CHECK (child_agrees (old_library));
  test_done ("a library without the memory functions is answered for by the budget");
  nvml = dlopen ("libnvidia-ml.so.1", RTLD_NOW);
  if (nvml == NULL)
    return 1;
  answer = dlsym (nvml, "fake_nvml_answer");
  LIST (nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t);
  LIST (nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t);
  LIST (nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_v2_t);
  LIST (nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t);
  LIST (nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t);
  LIST (nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_v2_t);
  LIST (nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t);
  LIST (nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t);
  LIST (nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_v2_t);
  test_done ("no process is said to hold more than the budget; unknown sizes and errors stay");
  nvmlBAR1Memory_t bar = { 0 };
  CHECK (NVML (nvmlDeviceGetBAR1MemoryInfo) (NULL, &bar) == 0);
  CHECK (bar.bar1Total == BUDGET && bar.bar1Used == GIB && bar.bar1Free == 3 * GIB);
  *answer = SPARK_NVML_ERROR_NOT_SUPPORTED;
  bar.bar1Total = 7;
  CHECK (NVML (nvmlDeviceGetBAR1MemoryInfo) (NULL, &bar) == SPARK_NVML_ERROR_NOT_SUPPORTED && bar.bar1Total == 7);
  test_done ("the bus window is no wider than the budget; where there is none the driver says so");
  return check_done ();
}

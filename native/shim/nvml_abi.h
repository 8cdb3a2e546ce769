/* The part of NVML that the shim hooks. Shapes as published in the NVML API reference (docs.nvidia.com/deploy/nvml-api). */
#ifndef SPARK_SHIM_NVML_ABI_H
#define SPARK_SHIM_NVML_ABI_H

#include "cuda_abi.h"

typedef int nvmlReturn_t;
typedef struct nvmlDevice_st *nvmlDevice_t;

typedef struct {
  unsigned long long total, free, used;
} nvmlMemory_t;

typedef struct {
  unsigned version; /* SPARK_NVML_MEMORY_V2, set by the caller */
  unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;

typedef struct {
  unsigned pid;
  unsigned long long usedGpuMemory; /* SPARK_NVML_VALUE_NOT_AVAILABLE where the driver does not know */
} nvmlProcessInfo_v1_t;

/* Of the functions _v2 and _v3. */
typedef struct {
  unsigned pid;
  unsigned long long usedGpuMemory;
  unsigned gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_v2_t;

typedef struct {
  unsigned long long bar1Total, bar1Free, bar1Used;
} nvmlBAR1Memory_t;

#define SPARK_NVML_VALUE_NOT_AVAILABLE (~0ull)

_Static_assert (sizeof (nvmlProcessInfo_v1_t) == 16 && sizeof (nvmlProcessInfo_v2_t) == 24, "nvmlProcessInfo_t");
_Static_assert (sizeof (nvmlMemory_t) == 24, "nvmlMemory_t");
_Static_assert (sizeof (nvmlMemory_v2_t) == 40, "nvmlMemory_v2_t");

/* NVML_STRUCT_VERSION: size of the structure, its version in the top byte. */
enum { SPARK_NVML_MEMORY_V2 = 40 | 2 << 24 };

enum {
  SPARK_NVML_SUCCESS = 0,
  SPARK_NVML_ERROR_INVALID_ARGUMENT = 2,
  SPARK_NVML_ERROR_NOT_SUPPORTED = 3,
  SPARK_NVML_ERROR_FUNCTION_NOT_FOUND = 13 /* also what driver 580 answers to a structure version that it does not know (measured) */
};

SPARK_EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo (nvmlDevice_t device, nvmlMemory_t *memory);
SPARK_EXPORT nvmlReturn_t nvmlDeviceGetMemoryInfo_v2 (nvmlDevice_t device, nvmlMemory_v2_t *memory);

SPARK_EXPORT nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo (nvmlDevice_t device, nvmlBAR1Memory_t *memory);

#define SPARK_LIST(symbol, element)                                                                                    \
  SPARK_EXPORT nvmlReturn_t symbol (nvmlDevice_t device, unsigned *count, element *processes)
SPARK_LIST (nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t);
SPARK_LIST (nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t);
SPARK_LIST (nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_v2_t);
SPARK_LIST (nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t);
SPARK_LIST (nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t);
SPARK_LIST (nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_v2_t);
SPARK_LIST (nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t);
SPARK_LIST (nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t);
SPARK_LIST (nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_v2_t);
#undef SPARK_LIST

#endif

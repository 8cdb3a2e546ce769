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

#endif

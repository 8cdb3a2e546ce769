/* The part of NVML's binary interface that the simulator speaks. Layouts and numbers as documented in NVIDIA's NVML reference. */
#ifndef SPARK_SIM_NVML_H
#define SPARK_SIM_NVML_H

#include "machine.h"

typedef int nvmlReturn_t;
enum {
  NVML_SUCCESS = 0,
  NVML_ERROR_UNINITIALIZED = 1,
  NVML_ERROR_INVALID_ARGUMENT = 2,
  NVML_ERROR_NOT_SUPPORTED = 3,
  NVML_ERROR_INSUFFICIENT_SIZE = 7,
  NVML_ERROR_DRIVER_NOT_LOADED = 9,
  NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
};

typedef void *nvmlDevice_t;

typedef struct {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
} nvmlMemory_t;

typedef struct {
  unsigned int version;
  unsigned long long total;
  unsigned long long reserved;
  unsigned long long free;
  unsigned long long used;
} nvmlMemory_v2_t;

typedef struct {
  char busIdLegacy[16];
  unsigned int domain;
  unsigned int bus;
  unsigned int device;
  unsigned int pciDeviceId;
  unsigned int pciSubSystemId;
  char busId[32];
} nvmlPciInfo_t;

#define EXPORT __attribute__ ((visibility ("default"))) nvmlReturn_t

/* Is the library up; and is that the one device? */
nvmlReturn_t sim_nvml_enter (void);
nvmlReturn_t sim_nvml_enter_device (nvmlDevice_t device);

#define ENTER()                                                                                                        \
  do                                                                                                                   \
    {                                                                                                                  \
      nvmlReturn_t entered = sim_nvml_enter ();                                                                        \
      if (entered != NVML_SUCCESS)                                                                                     \
        return entered;                                                                                                \
    }                                                                                                                  \
  while (0)

#define ENTER_DEVICE(device)                                                                                           \
  do                                                                                                                   \
    {                                                                                                                  \
      nvmlReturn_t entered = sim_nvml_enter_device (device);                                                           \
      if (entered != NVML_SUCCESS)                                                                                     \
        return entered;                                                                                                \
    }                                                                                                                  \
  while (0)

#endif

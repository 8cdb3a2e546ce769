/* The one device: a GB10. Figures: NVIDIA's published ones for GB10 and compute capability 12.1, and facts measured with
   MAX about which of them an engine insists on. */
#include "driver.h"
#include "machine.h"

#include <stdio.h>
#include <string.h>

static const char DEVICE_NAME[] = "NVIDIA GB10";
static const char PCI_BUS_ID[] = "000F:01:00.0";
static const CUuuid DEVICE_UUID = { "SPARK-RUN-SIM-GB" };

static const struct {
  int attribute;
  int value;
} attributes[] = {
  { 1, 1024 },       /* threads per block */
  { 2, 1024 },       /* block x, y, z */
  { 3, 1024 },
  { 4, 64 },
  { 5, 2147483647 }, /* grid x, y, z */
  { 6, 65535 },
  { 7, 65535 },
  { 8, 49152 },      /* shared memory per block */
  { 9, 65536 },      /* constant memory */
  { 10, 32 },        /* warp */
  { 11, 2147483647 }, /* pitch */
  { 12, 65536 },     /* registers per block */
  { 13, 2418000 },   /* clock, kHz */
  { 14, 512 },       /* texture alignment */
  { 15, 1 },         /* overlap */
  { 16, 48 },        /* multiprocessors */
  { 18, 1 },         /* integrated: one memory for CPU and GPU */
  { 19, 1 },         /* can map host memory */
  { 30, 512 },       /* surface alignment */
  { 31, 1 },         /* concurrent kernels */
  { 33, 1 },         /* PCI bus */
  { 36, 8533000 },   /* memory clock, kHz */
  { 37, 256 },       /* bus width, bits */
  { 38, 25165824 },  /* L2 cache */
  { 39, 1536 },      /* threads per multiprocessor */
  { 40, 2 },         /* copy engines */
  { 41, 1 },         /* unified addressing */
  { 50, 15 },        /* PCI domain */
  { 51, 32 },        /* texture pitch alignment */
  { 75, 12 },        /* compute capability 12.1 */
  { 76, 1 },
  { 78, 1 },         /* stream priorities */
  { 79, 1 },         /* L1 caches */
  { 80, 1 },
  { 81, 102400 },    /* shared memory per multiprocessor */
  { 82, 65536 },     /* registers per multiprocessor */
  { 83, 1 },         /* managed memory */
  { 86, 1 },         /* host native atomics */
  { 87, 64 },        /* single to double ratio */
  { 88, 1 },         /* pageable memory access */
  { 89, 1 },         /* concurrent managed access */
  { 90, 1 },         /* compute preemption */
  { 91, 1 },         /* host pointer for registered memory */
  { 95, 1 },         /* cooperative launch */
  { 97, 101376 },    /* shared memory per block, opt-in */
  { 99, 1 },         /* host register */
  { 100, 1 },        /* pageable access by the host's page tables */
  { 102, 1 },        /* virtual memory management */
  { 103, 1 },        /* memory can be shared as a file descriptor */
  { 106, 24 },       /* blocks per multiprocessor */
  { 111, 1024 },     /* reserved shared memory per block */
  { 115, 1 },        /* memory pools */
  { 119, 1 },        /* and so can pools */
  { 120, 1 },        /* cluster launch */
  { 127, 1 },        /* tensor maps */
};

/* Attributes beyond this one are unknown to a 13.0 driver. */
enum { LAST_ATTRIBUTE = 148 };

CUresult
cuDriverGetVersion (int *version)
{
  if (version == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *version = SIM_CUDA_VERSION;
  return CUDA_SUCCESS;
}

/* Lazy, the default; there is no code here that could be loaded either way. */
CUresult
cuModuleGetLoadingMode (int *mode)
{
  enum { LAZY = 2 };
  SIM_ENTER ();
  if (mode == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *mode = LAZY;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGetCount (int *count)
{
  SIM_ENTER ();
  if (count == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *count = 1;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGet (CUdevice *device, int ordinal)
{
  SIM_ENTER ();
  if (device == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (ordinal != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *device = 0;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGetName (char *name, int length, CUdevice device)
{
  SIM_ENTER ();
  if (name == NULL || length <= 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  snprintf (name, (size_t) length, "%s", DEVICE_NAME);
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGetUuid_v2 (CUuuid *uuid, CUdevice device)
{
  SIM_ENTER ();
  if (uuid == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *uuid = DEVICE_UUID;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuDeviceGetUuid, cuDeviceGetUuid_v2);

CUresult
cuDeviceGetPCIBusId (char *text, int length, CUdevice device)
{
  SIM_ENTER ();
  if (text == NULL || length <= 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  snprintf (text, (size_t) length, "%s", PCI_BUS_ID);
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGetByPCIBusId (CUdevice *device, const char *text)
{
  SIM_ENTER ();
  if (device == NULL || text == NULL || strcasecmp (text, PCI_BUS_ID) != 0)
    return CUDA_ERROR_INVALID_VALUE;
  *device = 0;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceTotalMem_v2 (size_t *bytes, CUdevice device)
{
  SIM_ENTER ();
  if (bytes == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *bytes = sim_machine ()->total_bytes;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGetAttribute (int *value, int attribute, CUdevice device)
{
  SIM_ENTER ();
  if (value == NULL || attribute < 1 || attribute > LAST_ATTRIBUTE)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *value = 0;
  for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
    if (attributes[i].attribute == attribute)
      *value = attributes[i].value;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceCanAccessPeer (int *can, CUdevice device, CUdevice peer)
{
  SIM_ENTER ();
  if (can == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0 || peer != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *can = 0;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGetP2PAttribute (int *value, int attribute, CUdevice source, CUdevice destination)
{
  (void) value, (void) attribute, (void) source, (void) destination;
  SIM_ENTER ();
  /* There is only one device, and a device is no peer of itself. */
  return CUDA_ERROR_INVALID_DEVICE;
}

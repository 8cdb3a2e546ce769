/* libnvidia-ml.so.1: what engines ask about the one GB10. Layouts and numbers as documented in NVIDIA's NVML reference.
   The real GB10 answers NOT_SUPPORTED to both memory questions; MAX needs an answer, so that is SPARK_SIM_NVML=not-supported. */
#include "nvml.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned references;
static char the_device; /* its address is the handle */

nvmlReturn_t
sim_nvml_enter (void)
{
  return __atomic_load_n (&references, __ATOMIC_RELAXED) == 0 ? NVML_ERROR_UNINITIALIZED : NVML_SUCCESS;
}

nvmlReturn_t
sim_nvml_enter_device (nvmlDevice_t device)
{
  nvmlReturn_t result = sim_nvml_enter ();
  return result == NVML_SUCCESS && device != (nvmlDevice_t) &the_device ? NVML_ERROR_INVALID_ARGUMENT : result;
}

/* Prototypes of what libnvidia-ml.so.1 exports. */
EXPORT nvmlInitWithFlags (unsigned int flags);
EXPORT nvmlInit_v2 (void);
EXPORT nvmlInit (void);
EXPORT nvmlShutdown (void);
EXPORT nvmlSystemGetDriverVersion (char *text, unsigned int length);
EXPORT nvmlSystemGetNVMLVersion (char *text, unsigned int length);
EXPORT nvmlSystemGetCudaDriverVersion (int *version);
EXPORT nvmlSystemGetCudaDriverVersion_v2 (int *version);
EXPORT nvmlDeviceGetCount_v2 (unsigned int *count);
EXPORT nvmlDeviceGetCount (unsigned int *count);
EXPORT nvmlDeviceGetHandleByIndex_v2 (unsigned int index, nvmlDevice_t *device);
EXPORT nvmlDeviceGetHandleByIndex (unsigned int index, nvmlDevice_t *device);
EXPORT nvmlDeviceGetIndex (nvmlDevice_t device, unsigned int *index);
EXPORT nvmlDeviceGetMinorNumber (nvmlDevice_t device, unsigned int *minor);
EXPORT nvmlDeviceGetName (nvmlDevice_t device, char *text, unsigned int length);
EXPORT nvmlDeviceGetUUID (nvmlDevice_t device, char *text, unsigned int length);
EXPORT nvmlDeviceGetPciInfo_v3 (nvmlDevice_t device, nvmlPciInfo_t *info);
EXPORT nvmlDeviceGetCudaComputeCapability (nvmlDevice_t device, int *major, int *minor);
EXPORT nvmlDeviceGetMemoryInfo (nvmlDevice_t device, nvmlMemory_t *memory);
EXPORT nvmlDeviceGetMemoryInfo_v2 (nvmlDevice_t device, nvmlMemory_v2_t *memory);
EXPORT nvmlDeviceGetBAR1MemoryInfo (nvmlDevice_t device, nvmlMemory_t *memory);
EXPORT nvmlDeviceGetDisplayActive (nvmlDevice_t device, unsigned int *active);
EXPORT nvmlDeviceGetCurrentClocksThrottleReasons (nvmlDevice_t device, unsigned long long *reasons);
EXPORT nvmlInternalGetExportTable (const void **table, const void *id);
__attribute__ ((visibility ("default"))) const char *nvmlErrorString (nvmlReturn_t result);

static nvmlReturn_t
answer_text (char *text, unsigned int length, const char *answer)
{
  if (text == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  if (strlen (answer) >= length)
    return NVML_ERROR_INSUFFICIENT_SIZE;
  strcpy (text, answer);
  return NVML_SUCCESS;
}

EXPORT
nvmlInitWithFlags (unsigned int flags)
{
  (void) flags;
  if (!sim_machine ()->ready)
    return NVML_ERROR_DRIVER_NOT_LOADED;
  __atomic_add_fetch (&references, 1, __ATOMIC_RELAXED);
  return NVML_SUCCESS;
}

EXPORT
nvmlInit_v2 (void)
{
  return nvmlInitWithFlags (0);
}

EXPORT
nvmlInit (void)
{
  return nvmlInitWithFlags (0);
}

EXPORT
nvmlShutdown (void)
{
  ENTER ();
  __atomic_sub_fetch (&references, 1, __ATOMIC_RELAXED);
  return NVML_SUCCESS;
}

__attribute__ ((visibility ("default"))) const char *
nvmlErrorString (nvmlReturn_t result)
{
  switch (result)
    {
    case NVML_SUCCESS:
      return "The operation was successful";
    case NVML_ERROR_UNINITIALIZED:
      return "NVML was not first initialized with nvmlInit()";
    case NVML_ERROR_INVALID_ARGUMENT:
      return "A supplied argument is invalid";
    case NVML_ERROR_NOT_SUPPORTED:
      return "The requested operation is not available on target device";
    case NVML_ERROR_INSUFFICIENT_SIZE:
      return "An input argument is not large enough";
    case NVML_ERROR_DRIVER_NOT_LOADED:
      return "NVIDIA driver is not loaded";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
      return "The version of an argument is not supported";
    default:
      return "Unknown error";
    }
}

EXPORT
nvmlSystemGetDriverVersion (char *text, unsigned int length)
{
  ENTER ();
  return answer_text (text, length, "580.95.05");
}

EXPORT
nvmlSystemGetNVMLVersion (char *text, unsigned int length)
{
  ENTER ();
  return answer_text (text, length, "13.580.95.05");
}

EXPORT
nvmlSystemGetCudaDriverVersion (int *version)
{
  ENTER ();
  if (version == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  *version = 13000;
  return NVML_SUCCESS;
}

EXPORT
nvmlSystemGetCudaDriverVersion_v2 (int *version)
{
  return nvmlSystemGetCudaDriverVersion (version);
}

EXPORT
nvmlDeviceGetCount_v2 (unsigned int *count)
{
  ENTER ();
  if (count == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  *count = 1;
  return NVML_SUCCESS;
}

EXPORT
nvmlDeviceGetCount (unsigned int *count)
{
  return nvmlDeviceGetCount_v2 (count);
}

EXPORT
nvmlDeviceGetHandleByIndex_v2 (unsigned int index, nvmlDevice_t *device)
{
  ENTER ();
  if (index != 0 || device == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  *device = &the_device;
  return NVML_SUCCESS;
}

EXPORT
nvmlDeviceGetHandleByIndex (unsigned int index, nvmlDevice_t *device)
{
  return nvmlDeviceGetHandleByIndex_v2 (index, device);
}

EXPORT
nvmlDeviceGetIndex (nvmlDevice_t device, unsigned int *index)
{
  ENTER_DEVICE (device);
  if (index == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  *index = 0;
  return NVML_SUCCESS;
}

EXPORT
nvmlDeviceGetMinorNumber (nvmlDevice_t device, unsigned int *minor)
{
  return nvmlDeviceGetIndex (device, minor);
}

EXPORT
nvmlDeviceGetName (nvmlDevice_t device, char *text, unsigned int length)
{
  ENTER_DEVICE (device);
  return answer_text (text, length, "NVIDIA GB10");
}

/* The same bytes as cuDeviceGetUuid's, "SPARK-RUN-SIM-GB". */
EXPORT
nvmlDeviceGetUUID (nvmlDevice_t device, char *text, unsigned int length)
{
  ENTER_DEVICE (device);
  return answer_text (text, length, "GPU-53504152-4b2d-5255-4e2d-53494d2d4742");
}

EXPORT
nvmlDeviceGetPciInfo_v3 (nvmlDevice_t device, nvmlPciInfo_t *info)
{
  ENTER_DEVICE (device);
  if (info == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  *info = (nvmlPciInfo_t){ .busIdLegacy = "000F:01:00.0",
                           .domain = 15,
                           .bus = 1,
                           .pciDeviceId = 0x2e1210de,
                           .busId = "0000000F:01:00.0" };
  return NVML_SUCCESS;
}

EXPORT
nvmlDeviceGetCudaComputeCapability (nvmlDevice_t device, int *major, int *minor)
{
  ENTER_DEVICE (device);
  if (major == NULL || minor == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  *major = 12;
  *minor = 1;
  return NVML_SUCCESS;
}

/* False where this machine is to answer as the real GB10 does. */
static bool
tells_memory (void)
{
  const char *text = getenv ("SPARK_SIM_NVML");
  return text == NULL || strcmp (text, "not-supported") != 0;
}

/* NVML knows nothing of its caller's own pages where each process counts for itself; free is all of it then. */
EXPORT
nvmlDeviceGetMemoryInfo (nvmlDevice_t device, nvmlMemory_t *memory)
{
  ENTER_DEVICE (device);
  if (memory == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  if (!tells_memory ())
    return NVML_ERROR_NOT_SUPPORTED;
  memory->total = sim_machine ()->total_bytes;
  memory->free = sim_machine_free (0);
  memory->used = memory->total - memory->free;
  return NVML_SUCCESS;
}

EXPORT
nvmlDeviceGetMemoryInfo_v2 (nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
  ENTER_DEVICE (device);
  if (memory == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  /* The version holds the size of the structure and, in the top byte, the number 2. */
  if (memory->version != (sizeof *memory | 2U << 24))
    return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (!tells_memory ())
    return NVML_ERROR_NOT_SUPPORTED;
  nvmlMemory_t now;
  nvmlReturn_t result = nvmlDeviceGetMemoryInfo (device, &now);
  memory->total = now.total;
  memory->reserved = 0;
  memory->free = now.free;
  memory->used = now.used;
  return result;
}

/* The window onto the device's memory for others; where there is but one memory, that is all of it. */
EXPORT
nvmlDeviceGetBAR1MemoryInfo (nvmlDevice_t device, nvmlMemory_t *memory)
{
  return nvmlDeviceGetMemoryInfo (device, memory);
}

EXPORT
nvmlDeviceGetDisplayActive (nvmlDevice_t device, unsigned int *active)
{
  return nvmlDeviceGetIndex (device, active); /* 0: no display */
}

EXPORT
nvmlDeviceGetCurrentClocksThrottleReasons (nvmlDevice_t device, unsigned long long *reasons)
{
  ENTER_DEVICE (device);
  if (reasons == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  *reasons = 0;
  return NVML_SUCCESS;
}

EXPORT
nvmlInternalGetExportTable (const void **table, const void *id)
{
  (void) id;
  if (table != NULL)
    *table = NULL;
  return NVML_ERROR_NOT_SUPPORTED;
}

/* What a GB10 has not, or the simulator does not know. */
static nvmlReturn_t
lacks (void)
{
  return NVML_ERROR_NOT_SUPPORTED;
}
#define LACKS(symbol) nvmlReturn_t symbol (void) __attribute__ ((alias ("lacks"), visibility ("default")));
LACKS (nvmlDeviceGetBoardPartNumber)
LACKS (nvmlDeviceGetEnforcedPowerLimit)
LACKS (nvmlDeviceGetGpuOperationMode)
LACKS (nvmlDeviceGetMigMode)
LACKS (nvmlDeviceGetNvLinkState)
LACKS (nvmlDeviceGetPowerManagementDefaultLimit)
LACKS (nvmlDeviceGetPowerManagementLimit)
LACKS (nvmlDeviceGetPowerManagementLimitConstraints)
LACKS (nvmlDeviceGetPowerUsage)
LACKS (nvmlDeviceGetTemperature)
LACKS (nvmlDeviceGetTotalEccErrors)
LACKS (nvmlDeviceGetUtilizationRates)
LACKS (nvmlDeviceSetGpuOperationMode)
LACKS (nvmlDeviceSetPowerManagementLimit)

#include "driver.h"

#include "tell.h"

#include <dlfcn.h>
#include <string.h>

struct cuda cuda;

static const struct {
  const char *name;
  size_t offset;
} cuda_names[] = {
#define FIELD(field, name) { name, offsetof (struct cuda, field) }
  FIELD (init, "cuInit"),
  FIELD (device_get, "cuDeviceGet"),
  FIELD (context_retain, "cuDevicePrimaryCtxRetain"),
  FIELD (context_set, "cuCtxSetCurrent"),
  FIELD (context_release, "cuDevicePrimaryCtxRelease_v2"),
  FIELD (info, "cuMemGetInfo_v2"),
  FIELD (alloc, "cuMemAlloc_v2"),
  FIELD (free, "cuMemFree_v2"),
  FIELD (fill, "cuMemsetD8_v2"),
  FIELD (error_name, "cuGetErrorName"),
  FIELD (reserve, "cuMemAddressReserve"),
  FIELD (unreserve, "cuMemAddressFree"),
  FIELD (create, "cuMemCreate"),
  FIELD (release, "cuMemRelease"),
  FIELD (map, "cuMemMap"),
  FIELD (unmap, "cuMemUnmap"),
  FIELD (set_access, "cuMemSetAccess"),
#undef FIELD
};

const char *
cuda_error_name (int error)
{
  const char *name = NULL;
  return cuda.error_name (error, &name) == CUDA_SUCCESS && name != NULL ? name : "unknown";
}

void
cuda_must (int result, const char *what)
{
  if (result != CUDA_SUCCESS)
    give_up (EXIT_NO_DRIVER, "%s failed with %s (%d): this driver cannot be used", what, cuda_error_name (result), result);
}

void
cuda_open (void)
{
  void *library = dlopen ("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == NULL)
    give_up (EXIT_NO_DRIVER,
             "no CUDA driver: libcuda.so.1 cannot be opened (%s); give the container a GPU, or mount the simulator and "
             "set LD_LIBRARY_PATH", dlerror ());
  for (size_t i = 0; i < sizeof cuda_names / sizeof cuda_names[0]; i++)
    {
      void *function = dlsym (library, cuda_names[i].name);
      if (function == NULL)
        give_up (EXIT_NO_DRIVER, "libcuda.so.1 has no %s: this driver is too old, 11.0 or later is needed",
                 cuda_names[i].name);
      memcpy ((char *) &cuda + cuda_names[i].offset, &function, sizeof function);
    }
  int device;
  void *context;
  cuda_must (cuda.init (0), "cuInit");
  cuda_must (cuda.device_get (&device, 0), "cuDeviceGet");
  cuda_must (cuda.context_retain (&context, device), "cuDevicePrimaryCtxRetain");
  cuda_must (cuda.context_set (context), "cuCtxSetCurrent");
}

bool
nvml_memory (uint64_t *total_bytes, uint64_t *free_bytes)
{
  struct {
    unsigned long long total, free, used;
  } memory;
  void *library = dlopen ("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL), *device;
  if (library == NULL)
    return false;
  int (*init) (void), (*shutdown) (void), (*handle) (unsigned, void **), (*info) (void *, void *);
  *(void **) &init = dlsym (library, "nvmlInit_v2");
  *(void **) &shutdown = dlsym (library, "nvmlShutdown");
  *(void **) &handle = dlsym (library, "nvmlDeviceGetHandleByIndex_v2");
  *(void **) &info = dlsym (library, "nvmlDeviceGetMemoryInfo");
  if (init == NULL || shutdown == NULL || handle == NULL || info == NULL || init () != 0)
    return false;
  bool told = handle (0, &device) == 0 && info (device, &memory) == 0;
  shutdown ();
  if (told)
    {
      *total_bytes = memory.total;
      *free_bytes = memory.free;
    }
  return told;
}

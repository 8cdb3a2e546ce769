/* What contexts and code take themselves, where the machine is told that they do. */
#include "on_machine.h"

static const char IMAGE[] = "an image";

static void
nothing_by_default (void)
{
  driver_up ();
  CUcontext created = NULL;
  CUmodule module = NULL;
  CHECK (cuCtxCreate_v2 (&created, 0, 0) == CUDA_SUCCESS && cuModuleLoadData (&module, IMAGE) == CUDA_SUCCESS && module != NULL);
  CHECK (free_bytes () == 64 * MIB);
  CHECK (cuModuleUnload (module) == CUDA_SUCCESS && cuModuleUnload (module) == CUDA_ERROR_INVALID_HANDLE);
}

static void
contexts_take (void)
{
  CUcontext primary = NULL, created = NULL, again = NULL;
  setenv ("SPARK_SIM_CONTEXT", "19m", 1); /* in whole pages: 20 */
  CHECK (cuInit (0) == CUDA_SUCCESS && cuCtxCreate_v2 (&created, 0, 0) == CUDA_SUCCESS && free_bytes () == 44 * MIB);
  CHECK (cuDevicePrimaryCtxRetain (&primary, 0) == CUDA_SUCCESS && free_bytes () == 24 * MIB);
  CHECK (cuDevicePrimaryCtxRetain (&again, 0) == CUDA_SUCCESS && again == primary && free_bytes () == 24 * MIB);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_SUCCESS && free_bytes () == 24 * MIB);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_SUCCESS && free_bytes () == 44 * MIB);
  CHECK (cuDevicePrimaryCtxRetain (&primary, 0) == CUDA_SUCCESS && free_bytes () == 24 * MIB);
  CHECK (cuDevicePrimaryCtxReset_v2 (0) == CUDA_SUCCESS && free_bytes () == 44 * MIB);
  CHECK (cuCtxDestroy_v2 (created) == CUDA_SUCCESS && cuDevicePrimaryCtxRetain (&primary, 0) == CUDA_SUCCESS);
  CHECK (cuCtxSetCurrent (primary) == CUDA_SUCCESS && free_bytes () == 44 * MIB);
}

static void
contexts_refused (void)
{
  CUcontext first = NULL, untouched = (CUcontext) 42;
  CUdeviceptr pointer = 0;
  int active = 1;
  unsigned flags = 0;
  setenv ("SPARK_SIM_CONTEXT", "30m", 1);
  CHECK (cuInit (0) == CUDA_SUCCESS && cuCtxCreate_v2 (&first, 0, 0) == CUDA_SUCCESS);
  CHECK (cuMemAlloc_v2 (&pointer, 6 * MIB) == CUDA_SUCCESS && free_bytes () == 28 * MIB);
  CHECK (cuDevicePrimaryCtxRetain (&untouched, 0) == CUDA_ERROR_OUT_OF_MEMORY && untouched == (CUcontext) 42);
  CHECK (cuDevicePrimaryCtxGetState (0, &flags, &active) == CUDA_SUCCESS && active == 0);
  CHECK (cuDevicePrimaryCtxRelease_v2 (0) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK (cuCtxCreate_v4 (&untouched, NULL, 0, 0) == CUDA_ERROR_OUT_OF_MEMORY && untouched == (CUcontext) 42);
  CHECK (free_bytes () == 28 * MIB); /* and the first one is current still */
  CHECK (cuMemFree_v2 (pointer) == CUDA_SUCCESS && cuDevicePrimaryCtxRetain (&untouched, 0) == CUDA_SUCCESS);
  CHECK (free_bytes () == 4 * MIB);
}

static void
modules_take (void)
{
  CUcontext created = NULL;
  CUmodule modules[3] = { NULL }, untouched = (CUmodule) 42;
  CUfunction first = NULL, second = NULL;
  setenv ("SPARK_SIM_MODULE", "10m", 1);
  driver_up ();
  CHECK (cuModuleLoadData (&modules[0], IMAGE) == CUDA_SUCCESS && free_bytes () == 54 * MIB);
  CHECK (cuCtxCreate_v2 (&created, 0, 0) == CUDA_SUCCESS);
  CHECK (cuModuleLoadDataEx (&modules[1], IMAGE, 0, NULL, NULL) == CUDA_SUCCESS && free_bytes () == 44 * MIB);
  CHECK (cuModuleLoadFatBinary (&modules[2], IMAGE) == CUDA_SUCCESS && free_bytes () == 34 * MIB);
  CHECK (cuModuleUnload (modules[2]) == CUDA_SUCCESS && free_bytes () == 44 * MIB);
  CHECK (cuModuleGetFunction (&first, modules[0], "kernel") == CUDA_SUCCESS && first != NULL);
  CHECK (cuModuleGetFunction (&second, modules[0], "kernel") == CUDA_SUCCESS && second == first);
  CHECK (cuModuleGetFunction (&second, modules[0], "other") == CUDA_SUCCESS && second != first);
  CHECK (cuModuleGetFunction (&second, modules[2], "kernel") == CUDA_ERROR_INVALID_HANDLE);
  /* The end of a context unloads what was loaded in it, and no more. */
  CHECK (cuCtxDestroy_v2 (created) == CUDA_SUCCESS && free_bytes () == 54 * MIB);
  CHECK (cuModuleUnload (modules[1]) == CUDA_ERROR_INVALID_HANDLE && cuModuleUnload (modules[0]) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB);
  CHECK (cuModuleLoad (&untouched, "/nowhere/at.all") == CUDA_ERROR_FILE_NOT_FOUND);
  CHECK (cuModuleLoad (&modules[0], "/proc/self/exe") == CUDA_SUCCESS && free_bytes () == 54 * MIB);
  CHECK (cuModuleLoadData (&untouched, NULL) == CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr pointer = 0;
  CHECK (cuMemAlloc_v2 (&pointer, 46 * MIB) == CUDA_SUCCESS && cuModuleLoadData (&untouched, IMAGE) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK (untouched == (CUmodule) 42 && free_bytes () == 8 * MIB);
}

static void
libraries_take (void)
{
  CUcontext created = NULL;
  CUlibrary early = NULL, library = NULL, file = NULL, untouched = (CUlibrary) 42;
  setenv ("SPARK_SIM_MODULE", "10m", 1);
  CHECK (cuInit (0) == CUDA_SUCCESS); /* a library needs no context */
  CHECK (cuLibraryLoadData (&early, IMAGE, NULL, NULL, 0, NULL, NULL, 0) == CUDA_SUCCESS);
  driver_up ();
  CHECK (free_bytes () == 54 * MIB && cuCtxCreate_v2 (&created, 0, 0) == CUDA_SUCCESS);
  CHECK (cuLibraryLoadData (&library, IMAGE, NULL, NULL, 0, NULL, NULL, 0) == CUDA_SUCCESS);
  CHECK (cuLibraryLoadFromFile (&untouched, "/nowhere/at.all", NULL, NULL, 0, NULL, NULL, 0) == CUDA_ERROR_FILE_NOT_FOUND);
  CHECK (cuLibraryLoadFromFile (&file, "/proc/self/exe", NULL, NULL, 0, NULL, NULL, 0) == CUDA_SUCCESS && free_bytes () == 34 * MIB);
  CHECK (cuModuleUnload (library) == CUDA_ERROR_INVALID_HANDLE && cuLibraryUnload (file) == CUDA_SUCCESS && free_bytes () == 44 * MIB);
  /* A library outlives its context, without what it took there. */
  CHECK (cuCtxDestroy_v2 (created) == CUDA_SUCCESS && free_bytes () == 54 * MIB);
  CHECK (cuLibraryUnload (library) == CUDA_SUCCESS && free_bytes () == 54 * MIB && cuLibraryUnload (early) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB && cuLibraryUnload (early) == CUDA_ERROR_INVALID_HANDLE);
}

static void
nvml_sees_them (void)
{
  void *device = NULL;
  CUmodule module = NULL;
  setenv ("SPARK_SIM_CONTEXT", "12m", 1);
  setenv ("SPARK_SIM_MODULE", "4m", 1);
  driver_up ();
  CHECK (nvmlInit_v2 () == 0 && nvmlDeviceGetHandleByIndex_v2 (0, &device) == 0);
  CHECK (nvml_bytes_of (device, getpid ()) == 12 * MIB);
  CHECK (cuModuleLoadData (&module, IMAGE) == CUDA_SUCCESS && nvml_bytes_of (device, getpid ()) == 16 * MIB);
  CHECK (free_bytes () == 48 * MIB);
  CHECK (cuDevicePrimaryCtxReset_v2 (0) == CUDA_SUCCESS && nvml_bytes_of (device, getpid ()) == 0);
}

static void
no_size (void)
{
  setenv ("SPARK_SIM_CONTEXT", "many", 1);
  fclose (stderr); /* the sentence about it */
  CHECK (cuInit (0) == CUDA_ERROR_NO_DEVICE);
}

int
main (void)
{
#define ON_64M(piece, sentence)                                                                                        \
  CHECK (on_machine ("64m", "anonymous", piece) == 0);                                                                 \
  test_done (sentence)

  ON_64M (nothing_by_default, "contexts and modules take nothing unless the machine is told that they do");
  ON_64M (contexts_take, "each context takes its part while it lives, the primary one once however often it is retained");
  ON_64M (contexts_refused, "a context that does not fit is refused and changes nothing");
  ON_64M (modules_take, "a module takes its part until it is unloaded or its context ends; one that does not fit is refused");
  ON_64M (libraries_take, "a library takes its part, and without a context too");
  ON_64M (nvml_sees_them, "NVML's list has what contexts and modules take");
  ON_64M (no_size, "a part that is no size is no machine");
  return check_done ();
}

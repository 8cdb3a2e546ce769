/* Every function the shim puts itself in front of, once. Exports, cuGetProcAddress and the tests are driven by this table: a new
   hook is one line here, its prototype in cuda_abi.h or nvml_abi.h, and its body in the file of its concept. */
#ifndef SPARK_SHIM_HOOKS_H
#define SPARK_SHIM_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SPARK_CUDA_HOOKS (X): X (base name as asked of cuGetProcAddress, exported name, CUDA version that brought it, per-thread stream).
   Of one base name the later line is the newer one. Versions as in cudaTypedefs.h up to SPARK_CUDA_VERSION_KNOWN: what a name means
   to a program that asks for a later version is not known here. */
enum { SPARK_CUDA_VERSION_KNOWN = 13000 };
#define SPARK_CUDA_HOOKS(X)                                                                                             \
  X (cuMemGetInfo, cuMemGetInfo, 2000, false)                                                                           \
  X (cuMemGetInfo, cuMemGetInfo_v2, 3020, false)                                                                        \
  X (cuDeviceTotalMem, cuDeviceTotalMem, 2000, false)                                                                   \
  X (cuDeviceTotalMem, cuDeviceTotalMem_v2, 3020, false)                                                                \
  X (cuMemAlloc, cuMemAlloc, 2000, false)                                                                               \
  X (cuMemAlloc, cuMemAlloc_v2, 3020, false)                                                                            \
  X (cuMemAllocPitch, cuMemAllocPitch, 2000, false)                                                                     \
  X (cuMemAllocPitch, cuMemAllocPitch_v2, 3020, false)                                                                  \
  X (cuMemAllocManaged, cuMemAllocManaged, 6000, false)                                                                 \
  X (cuMemFree, cuMemFree, 2000, false)                                                                                 \
  X (cuMemFree, cuMemFree_v2, 3020, false)                                                                              \
  X (cuMemAllocAsync, cuMemAllocAsync, 11020, false)                                                                    \
  X (cuMemAllocAsync, cuMemAllocAsync_ptsz, 11020, true)                                                                \
  X (cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync, 11020, false)                                                    \
  X (cuMemAllocFromPoolAsync, cuMemAllocFromPoolAsync_ptsz, 11020, true)                                                \
  X (cuMemFreeAsync, cuMemFreeAsync, 11020, false)                                                                      \
  X (cuMemFreeAsync, cuMemFreeAsync_ptsz, 11020, true)                                                                  \
  X (cuMemCreate, cuMemCreate, 10020, false)                                                                            \
  X (cuMemRelease, cuMemRelease, 10020, false)                                                                          \
  X (cuMemMap, cuMemMap, 10020, false)                                                                                  \
  X (cuMemUnmap, cuMemUnmap, 10020, false)                                                                              \
  X (cuMemRetainAllocationHandle, cuMemRetainAllocationHandle, 11000, false)                                            \
  X (cuMemMapArrayAsync, cuMemMapArrayAsync, 11010, false)                                                              \
  X (cuMemMapArrayAsync, cuMemMapArrayAsync_ptsz, 11010, true)                                                          \
  X (cuCtxSetLimit, cuCtxSetLimit, 3010, false)                                                                         \
  X (cuMemAllocHost, cuMemAllocHost, 2000, false)                                                                       \
  X (cuMemAllocHost, cuMemAllocHost_v2, 3020, false)                                                                    \
  X (cuMemHostAlloc, cuMemHostAlloc, 2020, false)                                                                       \
  X (cuMemFreeHost, cuMemFreeHost, 2000, false)                                                                         \
  X (cuMemHostRegister, cuMemHostRegister, 4000, false)                                                                 \
  X (cuMemHostRegister, cuMemHostRegister_v2, 6050, false)                                                              \
  X (cuMemHostUnregister, cuMemHostUnregister, 4000, false)                                                             \
  X (cuMemPoolTrimTo, cuMemPoolTrimTo, 11020, false)                                                                    \
  X (cuMemPoolDestroy, cuMemPoolDestroy, 11020, false)                                                                  \
  X (cuArrayCreate, cuArrayCreate, 2000, false)                                                                         \
  X (cuArrayCreate, cuArrayCreate_v2, 3020, false)                                                                      \
  X (cuArray3DCreate, cuArray3DCreate, 2000, false)                                                                     \
  X (cuArray3DCreate, cuArray3DCreate_v2, 3020, false)                                                                  \
  X (cuArrayDestroy, cuArrayDestroy, 2000, false)                                                                       \
  X (cuMipmappedArrayCreate, cuMipmappedArrayCreate, 5000, false)                                                       \
  X (cuMipmappedArrayDestroy, cuMipmappedArrayDestroy, 5000, false)                                                     \
  X (cuGraphAddMemAllocNode, cuGraphAddMemAllocNode, 11040, false)                                                      \
  X (cuGraphAddNode, cuGraphAddNode, 12020, false)                                                                      \
  X (cuGraphAddNode, cuGraphAddNode_v2, 12030, false)                                                                   \
  X (cuGraphLaunch, cuGraphLaunch, 10000, false)                                                                        \
  X (cuGraphLaunch, cuGraphLaunch_ptsz, 10000, true)                                                                    \
  X (cuGraphUpload, cuGraphUpload, 11010, false)                                                                        \
  X (cuGraphUpload, cuGraphUpload_ptsz, 11010, true)                                                                    \
  X (cuDeviceGraphMemTrim, cuDeviceGraphMemTrim, 11040, false)                                                          \
  X (cuMemImportFromShareableHandle, cuMemImportFromShareableHandle, 10020, false)                                      \
  X (cuCtxDestroy, cuCtxDestroy, 2000, false)                                                                           \
  X (cuCtxDestroy, cuCtxDestroy_v2, 4000, false)                                                                        \
  X (cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease, 7000, false)                                                 \
  X (cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, 11000, false)                                             \
  X (cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset, 7000, false)                                                     \
  X (cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset_v2, 11000, false)                                                 \
  X (cuGetProcAddress, cuGetProcAddress, 11030, false)                                                                  \
  X (cuGetProcAddress, cuGetProcAddress_v2, 12000, false)

#define SPARK_NVML_HOOKS(X)                                                                                             \
  X (nvmlDeviceGetMemoryInfo)                                                                                           \
  X (nvmlDeviceGetMemoryInfo_v2)                                                                                        \
  X (nvmlDeviceGetBAR1MemoryInfo)                                                                                       \
  X (nvmlDeviceGetComputeRunningProcesses)                                                                              \
  X (nvmlDeviceGetComputeRunningProcesses_v2)                                                                           \
  X (nvmlDeviceGetComputeRunningProcesses_v3)                                                                           \
  X (nvmlDeviceGetGraphicsRunningProcesses)                                                                             \
  X (nvmlDeviceGetGraphicsRunningProcesses_v2)                                                                          \
  X (nvmlDeviceGetGraphicsRunningProcesses_v3)                                                                          \
  X (nvmlDeviceGetMPSComputeRunningProcesses)                                                                           \
  X (nvmlDeviceGetMPSComputeRunningProcesses_v2)                                                                        \
  X (nvmlDeviceGetMPSComputeRunningProcesses_v3)

enum spark_hook {
#define X(base, symbol, since, per_thread) SPARK_HOOK_##symbol,
  SPARK_CUDA_HOOKS (X)
#undef X
  SPARK_HOOKS_OF_CUDA,
  SPARK_HOOKS_BEFORE_NVML = SPARK_HOOKS_OF_CUDA - 1,
#define X(symbol) SPARK_HOOK_##symbol,
  SPARK_NVML_HOOKS (X)
#undef X
  SPARK_HOOK_COUNT
};

/* The driver's own function behind a hook, NULL where no driver is loaded or it has no such function. Constant time. */
void *spark_real_function (enum spark_hook hook);

/* `real` becomes the driver's own `symbol`, with its type; NULL as above. */
#define SPARK_REAL(symbol) ((__typeof__ (&symbol)) spark_real_function (SPARK_HOOK_##symbol))

/* Functions of the driver that are called and not hooked; NULL as above. */
#define SPARK_DRIVER_CALLS(X)                                                                                           \
  X (cuCtxGetCurrent)                                                                                                   \
  X (cuCtxGetDevice)                                                                                                    \
  X (cuCtxGetLimit)                                                                                                     \
  X (cuDeviceGetAttribute)                                                                                              \
  X (cuDeviceGetCount)                                                                                                  \
  X (cuDeviceGetGraphMemAttribute)                                                                                      \
  X (cuDeviceGetMemPool)                                                                                                \
  X (cuDevicePrimaryCtxGetState)                                                                                        \
  X (cuDevicePrimaryCtxRetain)                                                                                          \
  X (cuMemPoolGetAttribute)                                                                                             \
  X (cuStreamIsCapturing)                                                                                               \
  X (cuThreadExchangeStreamCaptureMode)
enum spark_driver_call {
#define X(symbol) SPARK_CALL_##symbol,
  SPARK_DRIVER_CALLS (X)
#undef X
  SPARK_CALL_COUNT
};
void *spark_driver_function (enum spark_driver_call call);
#define SPARK_DRIVER(symbol) ((__typeof__ (&symbol)) spark_driver_function (SPARK_CALL_##symbol))

/* What cuGetProcAddress has to answer where the driver answered `driver_function` for `base`: our function, or the driver's. */
void *spark_hook_for (const char *base, void *driver_function, int cuda_version, bool per_thread);

#endif

/* A fake libcuda.so.1 for the shim's tests: it hands out numbers, takes no memory, and counts what it holds. */
#include "shim/cuda_abi.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#define TOTAL ((size_t) 128 << 30)

SPARK_EXPORT _Atomic long fake_cuda_calls; /* allocating calls that reached the driver */
SPARK_EXPORT int fake_cuda_fail;           /* when set, allocations fail with this */
static _Atomic uint64_t next_number = 0x10000000;

static uint64_t
take (uint64_t bytes)
{
  return atomic_fetch_add (&next_number, (bytes + 511) & ~(uint64_t) 511);
}

/* An allocating function: result to `output`, or the failure that the test asked for, with rubbish in the output. */
#define GIVE(output, bytes)                                                                                            \
  do                                                                                                                   \
    {                                                                                                                  \
      fake_cuda_calls++;                                                                                               \
      *(output) = (__typeof__ (*(output))) (fake_cuda_fail ? 0xdead : take (bytes));                                   \
      return fake_cuda_fail;                                                                                           \
    }                                                                                                                  \
  while (0)

CUresult fake_cuda_pool_free (CUdeviceptr pointer); /* fake_cuda_pools.c */
SPARK_EXPORT CUresult cuInit (unsigned flags);
CUresult cuInit (unsigned flags) { return (int) flags; }
CUresult cuMemGetInfo_v2 (size_t *f, size_t *t) { return *f = TOTAL / 2, *t = TOTAL, 0; }
CUresult cuMemGetInfo (uint32_t *f, uint32_t *t) { return *f = 1u << 31, *t = UINT32_MAX, 0; }
CUresult cuDeviceTotalMem_v2 (size_t *b, CUdevice d) { return d == 0 ? (*b = TOTAL, 0) : 101; }
CUresult cuDeviceTotalMem (uint32_t *b, CUdevice d) { return d == 0 ? (*b = UINT32_MAX, 0) : 101; }
CUresult cuMemAlloc_v2 (CUdeviceptr *p, size_t n) { if (p == NULL || n == 0) return 1; GIVE (p, n); }
CUresult cuMemAlloc (CUdeviceptr_v1 *p, uint32_t n) { GIVE (p, n); }
/* Pitches of 1024, above the least possible 512. */
CUresult cuMemAllocPitch_v2 (CUdeviceptr *p, size_t *pitch, size_t w, size_t h, unsigned e) { (void) e; *pitch = (w + 1023) & ~(size_t) 1023; GIVE (p, *pitch * h); }
CUresult cuMemAllocPitch (CUdeviceptr_v1 *p, uint32_t *pitch, uint32_t w, uint32_t h, uint32_t e) { (void) e; *pitch = (w + 511) & ~511u; GIVE (p, *pitch * h); }
CUresult cuMemAllocManaged (CUdeviceptr *p, size_t n, unsigned f) { (void) f; GIVE (p, n); }
CUresult cuMemFree_v2 (CUdeviceptr p) { return p == 0xbad ? 1 : fake_cuda_fail ? fake_cuda_fail : fake_cuda_pool_free (p); }
CUresult cuMemFree (CUdeviceptr_v1 p) { return cuMemFree_v2 (p); }
CUresult cuMemCreate (CUmemGenericAllocationHandle *h, size_t n, const CUmemAllocationProp *p, unsigned long long f) { (void) p, (void) f; GIVE (h, n); }
CUresult cuMemRelease (CUmemGenericAllocationHandle h) { return h == 0xbad; }
CUresult cuMemMap (CUdeviceptr p, size_t n, size_t o, CUmemGenericAllocationHandle h, unsigned long long f) { (void) p, (void) n, (void) o, (void) f; return h == 0xbad; }
CUresult cuMemUnmap (CUdeviceptr p, size_t n) { (void) n; return p == 0xbad; }
/* The address is the handle, as the tests map them so. */
CUresult cuMemRetainAllocationHandle (CUmemGenericAllocationHandle *h, void *a) { return *h = (uintptr_t) a, 0; }

/* One device, one primary context with references; a reset ends it and leaves them. Other contexts are numbers. */
SPARK_EXPORT CUcontext fake_cuda_current;
static int primary_references, primary_active;
CUresult cuMemImportFromShareableHandle (CUmemGenericAllocationHandle *h, void *o, int t) { return (void) t, *h = (uintptr_t) o, 0; }
SPARK_EXPORT CUresult cuCtxGetDevice (CUdevice *d) { return *d = 0, 0; }
SPARK_EXPORT CUresult cuDeviceGetCount (int *n) { return *n = 1, 0; }
SPARK_EXPORT CUresult cuCtxGetCurrent (CUcontext *c) { return *c = fake_cuda_current, 0; }
CUresult cuCtxDestroy_v2 (CUcontext c) { return (uintptr_t) c == 0xbad ? 201 : 0; }
CUresult cuCtxDestroy (CUcontext c) { return cuCtxDestroy_v2 (c); }
SPARK_EXPORT CUresult cuDevicePrimaryCtxRetain (CUcontext *c, CUdevice d) { return d != 0 ? 101 : (primary_references++, primary_active = 1, *c = (CUcontext) 0x9000, 0); }
SPARK_EXPORT CUresult cuDevicePrimaryCtxGetState (CUdevice d, unsigned *f, int *a) { return *f = 0, *a = primary_active, d != 0 ? 101 : 0; }
CUresult cuDevicePrimaryCtxReset_v2 (CUdevice d) { return d != 0 ? 101 : (primary_active = 0, fake_cuda_fail); }
CUresult cuDevicePrimaryCtxReset (CUdevice d) { return cuDevicePrimaryCtxReset_v2 (d); }
CUresult cuDevicePrimaryCtxRelease_v2 (CUdevice d) { return d != 0 ? 101 : primary_references == 0 ? 201 : (primary_active &= --primary_references > 0, 0); }
CUresult cuDevicePrimaryCtxRelease (CUdevice d) { return cuDevicePrimaryCtxRelease_v2 (d); }

/* What a driver may hand out beside its exports: the same function elsewhere, and one of a form that nobody knows yet. */
static CUresult free_elsewhere (CUdeviceptr p) { return p == 0xbad ? 1 : cuMemFree_v2 (p); }
static CUresult free_of_the_future (CUdeviceptr p, CUstream s) { return (void) s, cuMemFree_v2 (p); }

/* Versions, flags and status as the real one gives them (cuda_abi.h). */
CUresult
cuGetProcAddress_v2 (const char *symbol, void **function, int version, uint64_t flags, CUdriverProcAddressQueryResult *status)
{
  static const struct { const char *base; void *function; int since; uint64_t flags; } all[] = {
    { "cuInit", (void *) cuInit, 2000, 0 },
    { "cuMemAlloc", (void *) cuMemAlloc, 2000, 0 },
    { "cuMemAlloc", (void *) cuMemAlloc_v2, 3020, 0 },
    { "cuMemFree", (void *) free_elsewhere, 3020, 0 },
    { "cuMemFree", (void *) free_of_the_future, 14000, 0 },
    { "cuMemGetInfo", (void *) cuMemGetInfo, 2000, 0 },
    { "cuMemGetInfo", (void *) cuMemGetInfo_v2, 3020, 0 },
    { "cuMemAllocAsync", (void *) cuMemAllocAsync, 11020, 0 },
    { "cuMemAllocAsync", (void *) cuMemAllocAsync_ptsz, 11020, SPARK_CUDA_PER_THREAD_STREAM },
    { "cuMemCreate", (void *) cuMemCreate, 10020, 0 },
    { "cuMemAllocHost", (void *) cuMemAllocHost, 2000, 0 },
    { "cuMemAllocHost", (void *) cuMemAllocHost_v2, 3020, 0 },
    { "cuMemHostAlloc", (void *) cuMemHostAlloc, 2020, 0 },
    { "cuMemHostRegister", (void *) cuMemHostRegister, 4000, 0 },
    { "cuMemHostRegister", (void *) cuMemHostRegister_v2, 6050, 0 },
    { "cuArray3DCreate", (void *) cuArray3DCreate_v2, 3020, 0 },
    { "cuGraphAddNode", (void *) cuGraphAddNode, 12020, 0 },
    { "cuGraphAddNode", (void *) cuGraphAddNode_v2, 12030, 0 },
    { "cuGraphLaunch", (void *) cuGraphLaunch, 10000, 0 },
    { "cuGraphLaunch", (void *) cuGraphLaunch_ptsz, 10000, SPARK_CUDA_PER_THREAD_STREAM },
    { "cuMemPoolTrimTo", (void *) cuMemPoolTrimTo, 11020, 0 },
    { "cuGetProcAddress", (void *) cuGetProcAddress, 11030, 0 },
    { "cuGetProcAddress", (void *) cuGetProcAddress_v2, 12000, 0 },
  };
  int known = 0;
  *function = NULL;
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp (all[i].base, symbol) == 0)
      {
        known = 1;
        if (all[i].since <= version && (all[i].flags & ~flags) == 0)
          *function = all[i].function;
      }
  if (status != NULL)
    *status = *function != NULL ? 0 : known ? 2 : 1;
  return *function != NULL ? 0 : 500;
}

CUresult
cuGetProcAddress (const char *symbol, void **function, int version, uint64_t flags)
{
  return cuGetProcAddress_v2 (symbol, function, version, flags, NULL);
}

/* The driver opens its sister library itself; it must get that and not a redirect. */
SPARK_EXPORT void *fake_cuda_open_nvml (void);
void *fake_cuda_open_nvml (void) { void *volatile handle = dlopen ("libnvidia-ml.so.1", RTLD_NOW); return handle; }

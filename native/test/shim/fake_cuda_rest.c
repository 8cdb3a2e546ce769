/* Host memory and arrays of the fake driver. Host memory is real: its pages come as the driver's do, within the call. */
#include "shim/cuda_abi.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

SPARK_EXPORT extern int fake_cuda_fail;
SPARK_EXPORT extern _Atomic long fake_cuda_calls;
static _Atomic uintptr_t next_array = 0x5000;

/* Pages at two ends only: a test that asks for gigabytes must not take them. */
static CUresult
host (void **pointer, size_t bytes)
{
  fake_cuda_calls++;
  *pointer = (void *) 0xdead;
  if (fake_cuda_fail)
    return fake_cuda_fail;
  char *memory = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return 2;
  memory[0] = memory[bytes - 1] = 1;
  *pointer = memory;
  return 0;
}

CUresult cuMemAllocHost_v2 (void **p, size_t n) { return host (p, n); }
CUresult cuMemAllocHost (void **p, uint32_t n) { return host (p, n); }
CUresult cuMemHostAlloc (void **p, size_t n, unsigned f) { return (void) f, host (p, n); }
CUresult cuMemFreeHost (void *p) { return p == (void *) 0xbad ? 1 : fake_cuda_fail; }
CUresult cuMemHostRegister_v2 (void *p, size_t n, unsigned f) { (void) p, (void) n, (void) f; fake_cuda_calls++; return fake_cuda_fail; }
CUresult cuMemHostRegister (void *p, size_t n, unsigned f) { return cuMemHostRegister_v2 (p, n, f); }
CUresult cuMemHostUnregister (void *p) { return (void) p, fake_cuda_fail; }

static CUresult
array (void **made)
{
  fake_cuda_calls++;
  *made = fake_cuda_fail ? (void *) 0xdead : (void *) (next_array += 16);
  return fake_cuda_fail;
}
CUresult cuArrayCreate_v2 (CUarray *a, const CUDA_ARRAY_DESCRIPTOR *d) { return d == NULL ? 1 : array ((void **) a); }
CUresult cuArrayCreate (CUarray *a, const CUDA_ARRAY_DESCRIPTOR_v1 *d) { return d == NULL ? 1 : array ((void **) a); }
CUresult cuArray3DCreate_v2 (CUarray *a, const CUDA_ARRAY3D_DESCRIPTOR *d) { return d == NULL ? 1 : array ((void **) a); }
CUresult cuArray3DCreate (CUarray *a, const CUDA_ARRAY3D_DESCRIPTOR_v1 *d) { return d == NULL ? 1 : array ((void **) a); }
CUresult cuMipmappedArrayCreate (CUmipmappedArray *a, const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned n) { return (void) n, d == NULL ? 1 : array ((void **) a); }
CUresult cuArrayDestroy (CUarray a) { return a == (CUarray) 0xbad ? 1 : fake_cuda_fail; }
CUresult cuMipmappedArrayDestroy (CUmipmappedArray a) { return (void) a, fake_cuda_fail; }

/* Pools and graphs' memory of the fake driver. A pool grows by whole steps of `fake_cuda_pool_step`, and keeps what is freed until
   fake_cuda_sync (down to its threshold) or a trim. A pointer freed in the order of its stream is in use until the synchronisation. */
#include "shim/cuda_abi.h"
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define MIB ((uint64_t) 1 << 20)

struct CUmemPoolHandle_st {
  uint64_t reserved, used, pending, threshold;
  bool destroyed;
};

SPARK_EXPORT extern int fake_cuda_fail;
SPARK_EXPORT uint64_t fake_cuda_pool_step = 2 * MIB;
SPARK_EXPORT bool fake_cuda_pools_silent; /* as a driver whose pools tell nothing */
SPARK_EXPORT bool fake_cuda_capturing;
SPARK_EXPORT uint64_t fake_cuda_graph_reserved, fake_cuda_graph_launch_takes, fake_cuda_graph_busy;
SPARK_EXPORT int fake_cuda_mode = 0, fake_cuda_trims_unrelaxed;
SPARK_EXPORT extern _Atomic long fake_cuda_calls;
SPARK_EXPORT struct CUmemPoolHandle_st fake_cuda_pools[3];

enum { POINTERS = 4096 };
static struct { CUdeviceptr pointer; uint64_t bytes; CUmemoryPool pool; } live[POINTERS];
static uint64_t next_pointer = (uint64_t) 1 << 44;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static CUresult
take (CUdeviceptr *pointer, uint64_t bytes, CUmemoryPool pool)
{
  fake_cuda_calls++;
  *pointer = 0xdead;
  if (fake_cuda_fail)
    return fake_cuda_fail;
  pthread_mutex_lock (&lock);
  *pointer = next_pointer += (bytes + 511) & ~(uint64_t) 511;
  for (int i = 0; !fake_cuda_capturing && i < POINTERS; i++)
    if (live[i].pointer == 0)
      {
        live[i].pointer = *pointer, live[i].bytes = (bytes + 511) & ~(uint64_t) 511, live[i].pool = pool;
        pool->used += live[i].bytes;
        while (pool->reserved < pool->used + pool->pending)
          pool->reserved += fake_cuda_pool_step;
        break;
      }
  pthread_mutex_unlock (&lock);
  return 0;
}

static void
shrink (CUmemoryPool pool, uint64_t keep)
{
  uint64_t least = (pool->used + pool->pending + fake_cuda_pool_step - 1) / fake_cuda_pool_step * fake_cuda_pool_step;
  if (pool->reserved > keep)
    pool->reserved = least > keep ? least : pool->reserved < keep ? pool->reserved : keep;
}

SPARK_EXPORT void fake_cuda_sync (void);
void
fake_cuda_sync (void)
{
  pthread_mutex_lock (&lock);
  for (int i = 0; i < 3; i++)
    {
      fake_cuda_pools[i].pending = 0;
      shrink (&fake_cuda_pools[i], fake_cuda_pools[i].threshold);
    }
  pthread_mutex_unlock (&lock);
}

static CUresult
give (CUdeviceptr pointer, bool pending)
{
  if (fake_cuda_fail || pointer == 0xbad)
    return pointer == 0xbad ? 1 : fake_cuda_fail;
  pthread_mutex_lock (&lock);
  for (int i = 0; i < POINTERS; i++)
    if (pointer != 0 && live[i].pointer == pointer)
      {
        live[i].pool->used -= live[i].bytes;
        live[i].pool->pending += pending ? live[i].bytes : 0;
        live[i].pointer = 0;
      }
  pthread_mutex_unlock (&lock);
  return 0;
}

CUresult fake_cuda_pool_free (CUdeviceptr pointer);
CUresult fake_cuda_pool_free (CUdeviceptr pointer) { return pointer < (uint64_t) 1 << 44 ? 0 : give (pointer, false); }

static CUmemoryPool usual (CUmemoryPool pool) { return pool != NULL ? pool : &fake_cuda_pools[0]; }
CUresult cuMemAllocAsync (CUdeviceptr *p, size_t n, CUstream s) { return (void) s, take (p, n, usual (NULL)); }
CUresult cuMemAllocAsync_ptsz (CUdeviceptr *p, size_t n, CUstream s) { return (void) s, take (p, n, usual (NULL)); }
CUresult cuMemAllocFromPoolAsync (CUdeviceptr *p, size_t n, CUmemoryPool m, CUstream s) { return (void) s, take (p, n, usual (m)); }
CUresult cuMemAllocFromPoolAsync_ptsz (CUdeviceptr *p, size_t n, CUmemoryPool m, CUstream s) { return (void) s, take (p, n, usual (m)); }
CUresult cuMemFreeAsync (CUdeviceptr p, CUstream s) { return (void) s, give (p, true); }
CUresult cuMemFreeAsync_ptsz (CUdeviceptr p, CUstream s) { return (void) s, give (p, true); }
SPARK_EXPORT CUresult cuDeviceGetMemPool (CUmemoryPool *p, CUdevice d) { return *p = &fake_cuda_pools[0], d != 0 ? 101 : 0; }
SPARK_EXPORT CUresult cuMemPoolSetAttribute (CUmemoryPool p, int a, void *v);
CUresult cuMemPoolSetAttribute (CUmemoryPool p, int a, void *v) { return a == 4 ? (p->threshold = *(uint64_t *) v, 0) : 1; }

SPARK_EXPORT CUresult
cuMemPoolGetAttribute (CUmemoryPool pool, int attribute, void *value)
{
  if (fake_cuda_pools_silent || pool->destroyed)
    return 801;
  pthread_mutex_lock (&lock);
  *(uint64_t *) value = attribute == 5 ? pool->reserved : attribute == 7 ? pool->used + pool->pending : 0;
  pthread_mutex_unlock (&lock);
  return attribute == 5 || attribute == 7 ? 0 : 1;
}

CUresult
cuMemPoolTrimTo (CUmemoryPool pool, size_t keep)
{
  fake_cuda_trims_unrelaxed += fake_cuda_mode != 2;
  pthread_mutex_lock (&lock);
  shrink (pool, keep);
  pthread_mutex_unlock (&lock);
  return 0;
}

CUresult cuMemPoolDestroy (CUmemoryPool p) { return p == &fake_cuda_pools[0] ? 1 : (p->destroyed = true, 0); }

SPARK_EXPORT CUresult cuThreadExchangeStreamCaptureMode (int *m) { int old = fake_cuda_mode; return fake_cuda_mode = *m, *m = old, 0; }
SPARK_EXPORT CUresult cuStreamIsCapturing (CUstream s, int *status) { return (void) s, *status = fake_cuda_capturing, 0; }
SPARK_EXPORT CUresult cuDeviceGetGraphMemAttribute (CUdevice d, int a, void *v) { return (void) d, *(uint64_t *) v = fake_cuda_graph_reserved, a != 2; }
CUresult cuDeviceGraphMemTrim (CUdevice d) { return (void) d, fake_cuda_graph_reserved = fake_cuda_graph_busy, 0; }
CUresult cuGraphAddMemAllocNode (CUgraphNode *n, CUgraph g, const CUgraphNode *d, size_t c, CUDA_MEM_ALLOC_NODE_PARAMS *p) { (void) g, (void) d, (void) c, (void) p; return *n = (CUgraphNode) 0x77, 0; }
CUresult cuGraphAddNode (CUgraphNode *n, CUgraph g, const CUgraphNode *d, size_t c, CUgraphNodeParams *p) { (void) g, (void) d, (void) c, (void) p; return *n = (CUgraphNode) 0x77, 0; }
CUresult cuGraphAddNode_v2 (CUgraphNode *n, CUgraph g, const CUgraphNode *d, const void *e, size_t c, CUgraphNodeParams *p) { return (void) e, cuGraphAddNode (n, g, d, c, p); }
CUresult cuGraphLaunch (CUgraphExec g, CUstream s) { (void) g, (void) s; fake_cuda_calls++; fake_cuda_graph_reserved += fake_cuda_graph_launch_takes; return 0; }
CUresult cuGraphLaunch_ptsz (CUgraphExec g, CUstream s) { return cuGraphLaunch (g, s); }
CUresult cuGraphUpload (CUgraphExec g, CUstream s) { return cuGraphLaunch (g, s); }
CUresult cuGraphUpload_ptsz (CUgraphExec g, CUstream s) { return cuGraphLaunch (g, s); }

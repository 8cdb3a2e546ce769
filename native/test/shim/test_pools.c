/* Memory that the driver keeps in stores of its own: pools and graphs. The ledger follows what they have reserved. */
#include "harness.h"
#include <pthread.h>
#include <stdbool.h>

#define BUDGET (1 * GIB)

struct CUmemPoolHandle_st {
  uint64_t reserved, used, pending, threshold;
  bool destroyed;
};

static void *cuda;
static struct CUmemPoolHandle_st *pools;
static uint64_t *pool_step, *graph_takes;
static bool *silent, *capturing;
static int *driver_fails, *trims_unrelaxed;
static _Atomic long *driver_calls;
static void (*sync_fake) (void);

#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static uint64_t
used (void)
{
  return look ().used_bytes;
}

/* What the program sees after asking: the ledger follows the pools then. */
static uint64_t
used_after_report (void)
{
  size_t free_bytes = 0, total_bytes = 0;
  CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0);
  return used ();
}

static void
test_growth (void)
{
  CUdeviceptr a = 0, b = 0, c = 7;
  *pool_step = 32 * MIB;
  CHECK (CALL (cuMemAllocAsync) (&a, MIB, NULL) == 0 && used () == 32 * MIB && pools[0].reserved == 32 * MIB);
  CHECK (CALL (cuMemAllocAsync_ptsz) (&b, 31 * MIB, NULL) == 0 && used () == 32 * MIB);
  CHECK (CALL (cuMemFreeAsync) (a, NULL) == 0 && CALL (cuMemFreeAsync_ptsz) (b, NULL) == 0);
  CHECK (used_after_report () == 32 * MIB);
  sync_fake ();
  CHECK (used_after_report () == 0);
  test_done ("a pool counts by what it has reserved; a free gives nothing back before the driver does");
  pools[0].threshold = UINT64_MAX;
  CHECK (CALL (cuMemAllocAsync) (&a, 640 * MIB, NULL) == 0 && CALL (cuMemFreeAsync) (a, NULL) == 0);
  sync_fake ();
  CHECK (used_after_report () == 640 * MIB);
  CHECK (CALL (cuMemAllocAsync) (&a, 640 * MIB, NULL) == 0 && used () == 640 * MIB && CALL (cuMemFreeAsync) (a, NULL) == 0);
  test_done ("memory that lies idle in a pool is used again without counting twice");
  /* In the order of the stream it is still in use: no trim can give that back. */
  CHECK (CALL (cuMemAlloc_v2) (&c, 640 * MIB) == 2 && c == 7);
  sync_fake ();
  CHECK (CALL (cuMemAlloc_v2) (&c, 640 * MIB) == 0 && used () == 640 * MIB && pools[0].reserved == 0);
  CHECK (*trims_unrelaxed == 0);
  CHECK (CALL (cuMemFree_v2) (c) == 0 && used () == 0);
  test_done ("before a refusal idle memory of the own pools is given back, out of any capture's way");
}

static void
test_edge (void)
{
  CUdeviceptr a = 0, b = 7;
  *pool_step = 32 * MIB;
  CHECK (CALL (cuMemAlloc_v2) (&a, BUDGET - 20 * MIB) == 0);
  /* 8 MiB would fit, the step of 32 MiB that the pool takes for it does not. */
  CHECK (CALL (cuMemAllocAsync) (&b, 8 * MIB, NULL) == 2 && b == 7);
  CHECK (pools[0].used == 0);
  sync_fake ();
  CHECK (used_after_report () <= BUDGET);
  CHECK (CALL (cuMemFree_v2) (a) == 0);
  CHECK (CALL (cuMemAllocAsync) (&b, 8 * MIB, NULL) == 0 && used () == pools[0].reserved && CALL (cuMemFreeAsync) (b, NULL) == 0);
  sync_fake ();
  CHECK (CALL (cuMemPoolTrimTo) (&pools[0], 0) == 0 && used () == 0);
  test_done ("where the pool's growth does not fit the new memory goes back, and nothing sticks");
  long calls = *driver_calls;
  CHECK (CALL (cuMemAllocAsync) (&b, SIZE_MAX, NULL) == 2 && CALL (cuMemAllocFromPoolAsync) (&b, BUDGET + 1, &pools[1], NULL) == 2);
  CHECK (*driver_calls == calls && used () == 0);
  *driver_fails = 3;
  CHECK (CALL (cuMemAllocAsync) (&a, MIB, NULL) == 3 && CALL (cuMemAllocFromPoolAsync_ptsz) (&a, MIB, &pools[1], NULL) == 3);
  *driver_fails = 0;
  CHECK (used () == 0);
  test_done ("what cannot fit never reaches the driver, and its failures count nothing");
}

static void
test_destroyed (void)
{
  CUdeviceptr a = 0, b = 0;
  *pool_step = 2 * MIB;
  pools[1].threshold = UINT64_MAX;
  CHECK (CALL (cuMemAllocFromPoolAsync) (&a, 64 * MIB, &pools[1], NULL) == 0);
  CHECK (CALL (cuMemAllocFromPoolAsync) (&b, 32 * MIB, &pools[1], NULL) == 0 && used () == 96 * MIB);
  CHECK (CALL (cuMemFreeAsync) (b, NULL) == 0 && used_after_report () == 96 * MIB);
  CHECK (CALL (cuMemPoolDestroy) (&pools[0]) == 1 && used () == 96 * MIB);
  CHECK (CALL (cuMemPoolDestroy) (&pools[1]) == 0 && used () == 64 * MIB);
  CHECK (CALL (cuMemFreeAsync) (a, NULL) == 0 && used () == 0);
  test_done ("what lives on after its pool was destroyed counts until it is freed");
  *silent = true;
  CHECK (CALL (cuMemAllocAsync) (&a, 64 * MIB, NULL) == 0 && used () == 64 * MIB);
  CHECK (CALL (cuMemAllocAsync) (&b, BUDGET, NULL) == 2);
  CHECK (CALL (cuMemFreeAsync) (a, NULL) == 0 && used () == 0);
  *silent = false;
  sync_fake ();
  CHECK (CALL (cuMemPoolTrimTo) (&pools[0], 0) == 0 && used_after_report () == 0);
  test_done ("a pool that tells nothing is counted by its pointers");
}

static void *
allocate_and_free (void *failed)
{
  for (int i = 0; i < 2000; i++)
    {
      CUdeviceptr pointer = 0;
      CUresult result = CALL (cuMemAllocAsync) (&pointer, (size_t) (i % 7 + 1) * 8 * MIB, NULL);
      if ((result != 0 && result != 2) || used () > BUDGET)
        *(int *) failed = 1;
      if (result == 0)
        CALL (cuMemFreeAsync) (pointer, NULL);
      if (i % 16 == 0)
        sync_fake ();
    }
  return NULL;
}

static void
test_threads (void)
{
  pthread_t threads[8];
  int failed = 0;
  *pool_step = 4 * MIB;
  pools[0].threshold = 0;
  for (int i = 0; i < 8; i++)
    pthread_create (&threads[i], NULL, allocate_and_free, &failed);
  for (int i = 0; i < 8; i++)
    pthread_join (threads[i], NULL);
  sync_fake ();
  CHECK (!failed && used_after_report () == 0);
  test_done ("eight threads on one pool never count above the budget and leave nothing behind");
}

static void
test_graphs (void)
{
  CUgraphNode node = NULL;
  CUdeviceptr pointer = 7;
  CUDA_MEM_ALLOC_NODE_PARAMS parameters = { .bytesize = 512 * MIB };
  CUgraphNodeParams any = { .type = 10, .alloc.bytesize = 2 * GIB };
  uint64_t *busy = dlsym (cuda, "fake_cuda_graph_busy");
  long calls = *driver_calls;
  *graph_takes = 512 * MIB;
  CHECK (CALL (cuGraphLaunch) (NULL, NULL) == 0 && *driver_calls == calls + 1 && used () == 0);
  *(uint64_t *) dlsym (cuda, "fake_cuda_graph_reserved") = 0;
  CHECK (CALL (cuGraphAddNode) (&node, NULL, NULL, 0, &any) == 2 && CALL (cuGraphAddNode_v2) (&node, NULL, NULL, NULL, 0, &any) == 2);
  any.type = 0;
  CHECK (node == NULL && CALL (cuGraphAddNode) (&node, NULL, NULL, 0, &any) == 0);
  CHECK (CALL (cuGraphAddMemAllocNode) (&node, NULL, NULL, 0, &parameters) == 0 && used () == 0);
  parameters.bytesize = 2 * GIB;
  CHECK (CALL (cuGraphAddMemAllocNode) (&node, NULL, NULL, 0, &parameters) == 2);
  test_done ("a memory node that cannot fit is refused when it is added, one that can takes nothing yet");
  CHECK (CALL (cuGraphLaunch) (NULL, NULL) == 0 && used () == 512 * MIB);
  CHECK (CALL (cuGraphUpload) (NULL, NULL) == 0 && used () == GIB);
  *graph_takes = 0;
  CHECK (CALL (cuGraphLaunch_ptsz) (NULL, NULL) == 0 && CALL (cuDeviceGraphMemTrim) (0) == 0 && used () == 0);
  test_done ("a launch counts by what the store for graphs has grown, a trim gives it back");
  *graph_takes = 2 * GIB;
  CHECK (CALL (cuGraphLaunch) (NULL, NULL) == 0 && used () <= BUDGET);
  CHECK (CALL (cuMemAlloc_v2) (&pointer, GIB) == 0 && used () == GIB);
  CHECK (CALL (cuGraphLaunch) (NULL, NULL) == 0);
  *(uint64_t *) dlsym (cuda, "fake_cuda_graph_reserved") = 3 * GIB;
  calls = *driver_calls;
  *graph_takes = 0;
  CHECK (CALL (cuGraphLaunch) (NULL, NULL) == 0 && *driver_calls == calls + 1);
  *busy = *(uint64_t *) dlsym (cuda, "fake_cuda_graph_reserved") = 3 * GIB;
  CHECK (CALL (cuGraphLaunch) (NULL, NULL) == 2 && *driver_calls == calls + 1);
  *busy = 0;
  CHECK (CALL (cuMemFree_v2) (pointer) == 0 && CALL (cuDeviceGraphMemTrim) (0) == 0 && used () == 0);
  test_done ("growth over the budget makes the store give back before the next launch, or that is refused");
  *capturing = true;
  CHECK (CALL (cuMemAllocAsync) (&pointer, 64 * MIB, NULL) == 0 && used () == 0);
  CHECK (CALL (cuMemFreeAsync) (pointer, NULL) == 0 && used () == 0);
  *capturing = false;
  test_done ("an allocation that a capture turns into a node takes nothing from its pool");
}

static int
sim_body (void)
{
  cuda = start_simulator ("16g");
  if (cuda == NULL || simulated_context (cuda) == NULL)
    return 1;
  CUdeviceptr a = 0, b = 7;
  if (CALL (cuMemAllocAsync) (&a, 64 * MIB, NULL) != 0 || used () != 64 * MIB)
    return 3;
  if (CALL (cuMemAllocAsync) (&b, BUDGET, NULL) != 2 || b != 7)
    return 4;
  /* The pool gives back when its stream is waited for, as on the driver. */
  if (CALL (cuMemFreeAsync) (a, NULL) != 0 || used_after_report () != 64 * MIB)
    return 5;
  CUresult (*wait) (CUstream) = (__typeof__ (wait)) dlsym (cuda, "cuStreamSynchronize");
  if (wait (NULL) != 0 || used_after_report () != 0)
    return 6;
  return 0;
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  CHECK (child_agrees (sim_body));
  test_done ("on the simulator a pool's memory is counted, refused and given back");
  cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  if (cuda == NULL)
    return 1;
  pools = dlsym (cuda, "fake_cuda_pools");
  pool_step = dlsym (cuda, "fake_cuda_pool_step");
  graph_takes = dlsym (cuda, "fake_cuda_graph_launch_takes");
  silent = dlsym (cuda, "fake_cuda_pools_silent");
  capturing = dlsym (cuda, "fake_cuda_capturing");
  driver_fails = dlsym (cuda, "fake_cuda_fail");
  trims_unrelaxed = dlsym (cuda, "fake_cuda_trims_unrelaxed");
  driver_calls = dlsym (cuda, "fake_cuda_calls");
  sync_fake = (__typeof__ (sync_fake)) dlsym (cuda, "fake_cuda_sync");
  test_growth ();
  test_edge ();
  test_destroyed ();
  test_threads ();
  test_graphs ();
  return check_done ();
}

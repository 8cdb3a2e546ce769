/* What the driver takes from its kernel module by itself: contexts, code, the growth of pools and graphs. On the simulated driver, which
   asks for its pages as the real one does (SPARK_SIM_RM). Only the kernel module's answer is made up. */
#include "common/rm_abi.h"
#include "harness.h"
#include <pthread.h>
#include <sys/ioctl.h>

#define BUDGET (1 * GIB)
#define CONTEXT (100 * MIB)
#define MODULE (30 * MIB)

typedef void *CUmodule;
CUresult cuCtxCreate_v2 (CUcontext *context, unsigned flags, CUdevice device);
CUresult cuCtxSetCurrent (CUcontext context);
CUresult cuModuleLoadData (CUmodule *module, const void *image);
CUresult cuModuleUnload (CUmodule module);
CUresult cuGraphCreate (CUgraph *graph, unsigned flags);
CUresult cuGraphDestroy (CUgraph graph);
CUresult cuGraphInstantiateWithFlags (CUgraphExec *exec, CUgraph graph, unsigned long long flags);
CUresult cuGraphExecDestroy (CUgraphExec exec);
CUresult cuStreamSynchronize (CUstream stream);
CUresult cuMemPoolSetAttribute (CUmemoryPool pool, int attribute, void *value);

static void *cuda;
#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static uint64_t
used (void)
{
  return look ().used_bytes;
}

static uint64_t
told_free (void)
{
  size_t free_bytes = 0, total_bytes = 0;
  CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0 && total_bytes == BUDGET);
  return free_bytes;
}

static CUcontext first;

static void
test_contexts (void)
{
  CUcontext second = NULL, more[16] = { NULL };
  CHECK (CALL (cuCtxCreate_v2) (&first, 0, 0) == 0 && used () == CONTEXT && told_free () == BUDGET - CONTEXT);
  CHECK (CALL (cuCtxCreate_v2) (&second, 0, 0) == 0 && used () == 2 * CONTEXT);
  CHECK (CALL (cuCtxDestroy_v2) (second) == 0 && used () == CONTEXT);
  test_done ("a context counts by what it takes of the machine, until it ends");
  int made = 0;
  uint64_t refused = look ().refused_count;
  while (made < 16 && CALL (cuCtxCreate_v2) (&more[made], 0, 0) == 0)
    made++;
  CHECK (made == (int) (BUDGET / CONTEXT) - 1 && more[made] == NULL && used () == (BUDGET / CONTEXT) * CONTEXT);
  CHECK (look ().refused_count == refused + 1);
  for (int i = 0; i < made; i++)
    CHECK (CALL (cuCtxDestroy_v2) (more[i]) == 0);
  CHECK (used () == CONTEXT && CALL (cuCtxSetCurrent) (first) == 0);
  test_done ("one that does not fit is refused, as on a smaller machine, and nothing of it stays");
}

static void
test_code (void)
{
  CUmodule module = NULL, refused = NULL;
  CUdeviceptr rest = 0;
  CHECK (CALL (cuModuleLoadData) (&module, "code") == 0 && used () == CONTEXT + MODULE);
  CHECK (CALL (cuMemAlloc_v2) (&rest, BUDGET - CONTEXT - MODULE - 20 * MIB) == 0);
  CHECK (CALL (cuModuleLoadData) (&refused, "code") == 2 && refused == NULL);
  CHECK (CALL (cuMemFree_v2) (rest) == 0 && CALL (cuModuleLoadData) (&refused, "code") == 0);
  CHECK (CALL (cuModuleUnload) (refused) == 0 && CALL (cuModuleUnload) (module) == 0 && used () == CONTEXT);
  test_done ("code counts while it is loaded, and is refused where it does not fit");
}

/* What is counted by the call that asks is not counted once more. */
static void
test_once (void)
{
  CUdeviceptr pointer = 0;
  CUarray array = NULL;
  CUDA_ARRAY_DESCRIPTOR floats = { .Width = 1024, .Height = 1024, .Format = 0x20, .NumChannels = 1 };
  CHECK (CALL (cuMemAlloc_v2) (&pointer, 64 * MIB) == 0 && used () == CONTEXT + 64 * MIB);
  CHECK (CALL (cuArrayCreate_v2) (&array, &floats) == 0 && used () == CONTEXT + 68 * MIB);
  CHECK (CALL (cuArrayDestroy) (array) == 0 && CALL (cuMemFree_v2) (pointer) == 0 && used () == CONTEXT);
  test_done ("what a hooked call counts is counted once");
}

static void
test_pools (void)
{
  enum { RELEASE_THRESHOLD = 4 };
  CUmemoryPool pool = NULL;
  CUdeviceptr a = 0, b = 7, c = 0;
  uint64_t keep = UINT64_MAX;
  CHECK (CALL (cuDeviceGetMemPool) (&pool, 0) == 0 && CALL (cuMemPoolSetAttribute) (pool, RELEASE_THRESHOLD, &keep) == 0);
  CHECK (CALL (cuMemAllocAsync) (&a, 600 * MIB, NULL) == 0 && used () == CONTEXT + 600 * MIB);
  CHECK (CALL (cuMemAllocAsync) (&b, 600 * MIB, NULL) == 2 && b == 7 && used () == CONTEXT + 600 * MIB);
  CHECK (CALL (cuMemFreeAsync) (a, NULL) == 0 && used () == CONTEXT + 600 * MIB);
  CHECK (CALL (cuMemAllocAsync) (&a, 500 * MIB, NULL) == 0 && used () == CONTEXT + 600 * MIB);
  CHECK (CALL (cuMemFreeAsync) (a, NULL) == 0 && CALL (cuStreamSynchronize) (NULL) == 0 && used () == CONTEXT + 600 * MIB);
  CHECK (CALL (cuMemAlloc_v2) (&c, 600 * MIB) == 0 && used () == CONTEXT + 600 * MIB);
  CHECK (CALL (cuMemFree_v2) (c) == 0 && used () == CONTEXT);
  test_done ("a pool counts by what it grew, to the page, and gives up what is idle before others are refused");
}

static void
test_graphs (void)
{
  CUgraph graph = NULL;
  CUgraphNode node = NULL;
  CUgraphExec exec = NULL;
  CUdeviceptr rest = 0;
  CUDA_MEM_ALLOC_NODE_PARAMS parameters = { .bytesize = 200 * MIB };
  ((int *) &parameters)[0] = 1; /* poolProps.allocType: pinned */
  ((int *) &parameters)[2] = 1; /* poolProps.location.type: a device */
  CHECK (CALL (cuGraphCreate) (&graph, 0) == 0);
  CHECK (CALL (cuGraphAddMemAllocNode) (&node, graph, NULL, 0, &parameters) == 0);
  CHECK (CALL (cuGraphInstantiateWithFlags) (&exec, graph, 0) == 0 && used () == CONTEXT);
  CHECK (CALL (cuMemAlloc_v2) (&rest, BUDGET - CONTEXT - 150 * MIB) == 0);
  uint64_t before = used ();
  CHECK (CALL (cuGraphLaunch) (exec, NULL) == 2 && used () == before && look ().peak_bytes <= BUDGET);
  CHECK (CALL (cuMemFree_v2) (rest) == 0);
  test_done ("a graph's first launch that does not fit is refused, with nothing taken");
  CHECK (CALL (cuGraphLaunch) (exec, NULL) == 0 && used () == CONTEXT + 200 * MIB);
  CHECK (CALL (cuGraphExecDestroy) (exec) == 0 && CALL (cuGraphDestroy) (graph) == 0 && used () == CONTEXT + 200 * MIB);
  CHECK (CALL (cuMemFree_v2) (parameters.dptr) == 0 && CALL (cuDeviceGraphMemTrim) (0) == 0 && used () == CONTEXT);
  test_done ("one that fits is counted until the store for graphs is trimmed");
}

/* The requests by themselves: here the filter answers for the kernel module and the simulator plays no part. */
static int
ask (uint32_t object, uint32_t class_number, uint64_t bytes, bool old, bool wrapped, uint32_t *status)
{
  struct {
    struct rm_memory read;
    uint8_t rest[56];
  } memory = { .read.bytes = bytes };
  struct rm_alloc new_form = { 0xc1d00009, 1, object, class_number, (uintptr_t) &memory, 0, sizeof memory, 0, 0, 0 };
  struct rm_alloc_old old_form = { 0xc1d00009, 1, object, class_number, (uintptr_t) &memory, sizeof memory, 0 };
  struct rm_wrapped wrapper = { 0x2b, old ? sizeof old_form : sizeof new_form, old ? (uintptr_t) &old_form : (uintptr_t) &new_form };
  unsigned long request = wrapped ? RM_REQUEST_WRAPPED : old ? RM_REQUEST_ALLOC_OLD : RM_REQUEST_ALLOC;
  int result = ioctl (-1, request, wrapped ? (void *) &wrapper : old ? (void *) &old_form : (void *) &new_form);
  *status = old ? old_form.status : new_form.status;
  return result;
}

static void
test_requests (void)
{
  uint32_t status = 0;
  uint64_t before = used ();
  CHECK (ask (1, 0x3e, 8 * MIB, false, false, &status) == 0 && status == 0 && used () == before + 8 * MIB);
  CHECK (ask (2, 0x40, 4097, false, false, &status) == 0 && used () == before + 8 * MIB + 8192);
  CHECK (ask (3, 0x70, 64 * MIB, false, false, &status) == 0 && used () == before + 8 * MIB + 8192);
  test_done ("memory of the machine and of a GPU counts in whole pages, an address range does not");
  CHECK (ask (1, 0x3e, 2 * MIB, false, false, &status) == 0 && used () == before + 2 * MIB + 8192);
  test_done ("a name given out anew stands for its last memory");
  errno = 77;
  CHECK (ask (9, 0x3e, 2 * GIB, false, false, &status) == 0 && status == 0x51 && used () == before + 2 * MIB + 8192);
  CHECK (ask (9, 0x3e, UINT64_MAX, false, false, &status) == 0 && status == 0x51 && errno == 77);
  test_done ("what does not fit is answered as the kernel module answers: 0, and its status for no memory");
  /* Not answered by the filter: the kernel knows no such file, and nothing may be counted. */
  CHECK (ask (4, 0x3e, MIB, true, false, &status) == -1 && errno == EBADF && used () == before + 2 * MIB + 8192);
  CHECK (ask (4, 0x3e, MIB, false, true, &status) == -1 && errno == EBADF && used () == before + 2 * MIB + 8192);
  CHECK (ask (4, 0x3e, 2 * GIB, true, false, &status) == 0 && status == 0x51);
  CHECK (ask (4, 0x3e, 2 * GIB, false, true, &status) == 0 && status == 0x51);
  CHECK (ask (4, 0x3e, 2 * GIB, true, true, &status) == 0 && status == 0x51);
  CHECK (ioctl (-1, RM_REQUEST_WRAPPED, &(struct rm_wrapped){ 0x2b, 48, 0 }) == -1 && errno == EBADF);
  test_done ("a request that the kernel fails counts nothing; the older form and the wrapped one are understood");
  CHECK (ioctl (-1, RM_REQUEST_FREE, &(struct rm_free){ 0xc1d00009, 1, 2, 0 }) == 0 && used () == before + 2 * MIB);
  CHECK (ioctl (-1, RM_REQUEST_FREE, &(struct rm_free){ 0xc1d00009, 1, 77, 0 }) == 0 && used () == before + 2 * MIB);
  CHECK (ioctl (-1, RM_REQUEST_FREE, &(struct rm_free){ 0xc1d00009, 0, 0xc1d00009, 0 }) == 0 && used () == before);
  test_done ("a free gives back one object, the end of a client all of its own");
}

/* ---- everything at once ---- */

enum { ACTORS = 4, STEPS = 120, SLOTS = 6, ROUNDS = 3 };

/* Bytes that this process has of the simulated machine, as the kernel counts them in the simulator's files. */
static uint64_t
taken (void)
{
  uint64_t bytes = 0;
  for (int fd = 3; fd < 64; fd++)
    {
      char path[32], target[32] = "";
      struct stat status;
      snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
      if (readlink (path, target, sizeof target - 1) > 0 && strncmp (target, "/memfd:spark-sim-", 17) == 0 && fstat (fd, &status) == 0)
        bytes += (uint64_t) status.st_blocks * 512;
    }
  return bytes;
}

struct actor {
  unsigned seed;
  long granted, refused, wrong;
  CUdeviceptr plain[SLOTS], pooled[SLOTS];
  CUmodule modules[SLOTS];
  CUcontext contexts[SLOTS];
};

static void
note (struct actor *actor, CUresult result)
{
  actor->granted += result == 0;
  actor->refused += result == 2;
  actor->wrong += result != 0 && result != 2;
}

static void
step (struct actor *actor, int i, int what)
{
  size_t bytes = (size_t) (1 + rand_r (&actor->seed) % 20) * 2 * MIB;
  switch (what)
    {
    case 0:
      if (actor->plain[i] == 0)
        note (actor, CALL (cuMemAlloc_v2) (&actor->plain[i], bytes));
      else
        actor->wrong += CALL (cuMemFree_v2) (actor->plain[i]) != 0, actor->plain[i] = 0;
      break;
    case 1:
      if (actor->pooled[i] == 0)
        note (actor, CALL (cuMemAllocAsync) (&actor->pooled[i], bytes, NULL));
      else
        actor->wrong += CALL (cuMemFreeAsync) (actor->pooled[i], NULL) != 0, actor->pooled[i] = 0;
      break;
    case 2:
      if (actor->modules[i] == NULL)
        note (actor, CALL (cuModuleLoadData) (&actor->modules[i], "code"));
      else
        actor->wrong += CALL (cuModuleUnload) (actor->modules[i]) != 0, actor->modules[i] = NULL;
      break;
    default:
      if (i > 0) /* contexts are large: one for each */
        actor->wrong += CALL (cuStreamSynchronize) (NULL) != 0;
      else if (actor->contexts[i] == NULL)
        {
          note (actor, CALL (cuCtxCreate_v2) (&actor->contexts[i], 0, 0));
          actor->wrong += CALL (cuCtxSetCurrent) (first) != 0;
        }
      else
        actor->wrong += CALL (cuCtxDestroy_v2) (actor->contexts[i]) != 0, actor->contexts[i] = NULL;
    }
}

static void *
act (void *data)
{
  struct actor *actor = data;
  actor->wrong += CALL (cuCtxSetCurrent) (first) != 0;
  for (int i = 0; i < STEPS; i++)
    step (actor, rand_r (&actor->seed) % SLOTS, rand_r (&actor->seed) % 4);
  return NULL;
}

static void
test_all_at_once (void)
{
  static struct actor actors[ACTORS];
  pthread_t threads[ACTORS];
  long granted = 0, refused = 0;
  for (unsigned round = 0; round < ROUNDS; round++)
    {
      for (unsigned a = 0; a < ACTORS; a++)
        {
          actors[a].seed = round * ACTORS + a + 1;
          CHECK (pthread_create (&threads[a], NULL, act, &actors[a]) == 0);
        }
      for (unsigned a = 0; a < ACTORS; a++)
        CHECK (pthread_join (threads[a], NULL) == 0);
      /* Nobody is on the way: what is counted is what is taken. */
      uint64_t counted = used (), really = taken ();
      printf ("# counted %llu, taken %llu, peak %llu MiB\n", (unsigned long long) (counted / MIB), (unsigned long long) (really / MIB), (unsigned long long) (look ().peak_bytes / MIB));
      CHECK (counted == really && look ().peak_bytes <= BUDGET);
    }
  for (unsigned a = 0; a < ACTORS; a++)
    {
      for (int i = 0; i < SLOTS; i++)
        {
          if (actors[a].plain[i] != 0)
            step (&actors[a], i, 0);
          if (actors[a].pooled[i] != 0)
            step (&actors[a], i, 1);
          if (actors[a].modules[i] != NULL)
            step (&actors[a], i, 2);
        }
      if (actors[a].contexts[0] != NULL)
        step (&actors[a], 0, 3);
      granted += actors[a].granted, refused += actors[a].refused;
      CHECK (actors[a].wrong == 0);
    }
  CUmemoryPool pool = NULL;
  CHECK (CALL (cuStreamSynchronize) (NULL) == 0 && CALL (cuDeviceGetMemPool) (&pool, 0) == 0);
  CHECK (CALL (cuMemPoolTrimTo) (pool, 0) == 0 && used () == CONTEXT && taken () == CONTEXT);
  printf ("# %ld granted, %ld refused\n", granted, refused);
  CHECK (granted > 300 && refused > 50);
  test_done ("memory, pools, code and contexts in four threads: at rest the ledger has what the machine gave, never more than the budget");
}

int
main (int argc, char **argv)
{
  (void) argc;
  setenv ("SPARK_SIM_RM", "1", 1);
  setenv ("SPARK_SIM_CONTEXT", "100m", 1);
  setenv ("SPARK_SIM_MODULE", "30m", 1);
  begin_under_shim (argv, BUDGET);
  cuda = start_simulator ("4g");
  if (cuda == NULL)
    return 1;
  test_contexts ();
  test_code ();
  test_once ();
  test_pools ();
  test_graphs ();
  test_all_at_once ();
  test_requests ();
  return check_done ();
}

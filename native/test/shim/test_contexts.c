/* What the end of a context gives back to the ledger, and what it leaves: on the fake driver step by step, on the simulated one as
   programs do it. */
#include "harness.h"

#define BUDGET (192 * MIB)

static void *cuda;
static CUcontext *current;
static int *driver_fails;

#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static uint64_t
used (void)
{
  return look ().used_bytes;
}

/* A page of 2 MiB in `context`. */
static CUdeviceptr
page_in (CUcontext context)
{
  CUdeviceptr pointer = 0;
  *current = context;
  CHECK (CALL (cuMemAlloc_v2) (&pointer, 2 * MIB) == 0);
  return pointer;
}

static void
test_destroy (void)
{
  CUcontext one = (CUcontext) 0x1000, two = (CUcontext) 0x2000;
  for (int round = 0; round < 4; round++)
    {
      for (int i = 0; i < 40; i++)
        page_in (i % 2 ? one : two);
      CHECK (used () == 80 * MIB);
      CHECK (CALL (cuCtxDestroy_v2) (one) == 0 && used () == 40 * MIB && CALL (cuCtxDestroy) (two) == 0 && used () == 0);
    }
  CUdeviceptr pitched = 0;
  size_t pitch = 0;
  CUdeviceptr page = page_in (one);
  CHECK (CALL (cuMemAllocPitch_v2) (&pitched, &pitch, 1024, 2048, 4) == 0 && used () == 4 * MIB);
  CHECK (CALL (cuMemFree_v2) (page) == 0 && used () == 2 * MIB);
  CHECK (CALL (cuCtxDestroy_v2) (one) == 0 && used () == 0);
  CHECK (CALL (cuMemFree_v2) (pitched) == 0 && used () == 0);
  page = page_in ((CUcontext) 0xbad);
  CHECK (CALL (cuCtxDestroy_v2) ((CUcontext) 0xbad) == 201 && CALL (cuCtxDestroy_v2) (NULL) == 0 && used () == 2 * MIB);
  /* A free that the driver refuses puts the pointer back where it was. */
  *driver_fails = 2;
  CHECK (CALL (cuMemFree_v2) (page) == 2 && used () == 2 * MIB);
  *driver_fails = 0;
  CHECK (CALL (cuMemFree_v2) (page) == 0 && used () == 0);
  test_done ("cuCtxDestroy gives back what was allocated in that context, once, and only where it succeeds");
}

static void
test_primary (void)
{
  CUcontext primary = NULL;
  __typeof__ (&cuDevicePrimaryCtxRetain) retain = CALL (cuDevicePrimaryCtxRetain);
  CHECK (!is_ours ((void *) retain));
  CHECK (retain (&primary, 0) == 0 && retain (&primary, 0) == 0);
  page_in (primary);
  page_in ((CUcontext) 0x1000);
  CHECK (CALL (cuDevicePrimaryCtxRelease_v2) (0) == 0 && used () == 4 * MIB);
  CHECK (CALL (cuDevicePrimaryCtxRelease_v2) (0) == 0 && used () == 2 * MIB);
  CHECK (CALL (cuDevicePrimaryCtxRelease_v2) (0) == 201 && used () == 2 * MIB);
  CHECK (retain (&primary, 0) == 0);
  page_in (primary);
  CHECK (CALL (cuDevicePrimaryCtxRelease) (7) == 101 && used () == 4 * MIB);
  CHECK (CALL (cuDevicePrimaryCtxRelease) (0) == 0 && used () == 2 * MIB);
  test_done ("cuDevicePrimaryCtxRelease gives back with the last reference, and no other context's");
  for (int old_name = 0; old_name < 2; old_name++)
    {
      CHECK (retain (&primary, 0) == 0 && retain (&primary, 0) == 0);
      page_in (primary);
      CHECK (used () == 4 * MIB);
      CHECK (CALL (cuDevicePrimaryCtxReset_v2) (7) == 101 && used () == 4 * MIB);
      CHECK ((old_name ? CALL (cuDevicePrimaryCtxReset) : CALL (cuDevicePrimaryCtxReset_v2)) (0) == 0 && used () == 2 * MIB);
      /* Its references are left and count as ever. */
      CHECK (retain (&primary, 0) == 0);
      page_in (primary);
      CHECK (CALL (cuDevicePrimaryCtxRelease_v2) (0) == 0 && CALL (cuDevicePrimaryCtxRelease_v2) (0) == 0 && used () == 4 * MIB);
      CHECK (CALL (cuDevicePrimaryCtxRelease_v2) (0) == 0 && used () == 2 * MIB);
    }
  CHECK (CALL (cuDevicePrimaryCtxReset_v2) (0) == 0 && used () == 2 * MIB);
  CHECK (CALL (cuCtxDestroy_v2) ((CUcontext) 0x1000) == 0 && used () == 0);
  test_done ("cuDevicePrimaryCtxReset gives back at once, whatever references there are");
}

static void
test_what_stays (void)
{
  CUcontext primary = NULL;
  CUdeviceptr async = 0;
  CUmemGenericAllocationHandle handle = 0;
  CHECK (CALL (cuDevicePrimaryCtxRetain) (&primary, 0) == 0);
  *current = primary;
  CHECK (CALL (cuMemAllocAsync) (&async, 2 * MIB, NULL) == 0 && CALL (cuMemCreate) (&handle, 2 * MIB, NULL, 0) == 0);
  CHECK (CALL (cuDevicePrimaryCtxReset_v2) (0) == 0 && used () == 4 * MIB);
  CHECK (CALL (cuMemFreeAsync) (async, NULL) == 0 && CALL (cuMemRelease) (handle) == 0 && used () == 2 * MIB);
  ((void (*) (void)) dlsym (cuda, "fake_cuda_sync")) ();
  CHECK (CALL (cuMemPoolTrimTo) (((struct CUmemPoolHandle_st *) dlsym (cuda, "fake_cuda_pools")), 0) == 0 && used () == 0);
  test_done ("a pool's memory and cuMemCreate's outlive their context, as on the device");
}

/* ---- on the simulated driver ---- */

/* Three times the budget in sum, a third of it at a time. */
static int
sim_body (void)
{
  cuda = start_simulator ("1g");
  if (cuda == NULL)
    return 1;
  CUresult (*set) (CUcontext) = (__typeof__ (set)) dlsym (cuda, "cuCtxSetCurrent");
  CUresult (*create) (CUcontext *, unsigned, CUdevice) = (__typeof__ (create)) dlsym (cuda, "cuCtxCreate_v2");
  if (!is_ours (dlsym (cuda, "cuMemAlloc_v2")))
    return 2;
  for (int round = 0; round < 9; round++)
    {
      CUcontext context = NULL;
      CUdeviceptr pointer = 0;
      int way = round / 3;
      if (way == 2 ? create (&context, 0, 0) != 0 : CALL (cuDevicePrimaryCtxRetain) (&context, 0) != 0 || set (context) != 0)
        return 3;
      if (CALL (cuMemAlloc_v2) (&pointer, 128 * MIB) != 0 || used () != 128 * MIB)
        return 10 + round;
      CUresult ended = way == 0   ? CALL (cuDevicePrimaryCtxReset_v2) (0)
                       : way == 1 ? CALL (cuDevicePrimaryCtxRelease_v2) (0)
                                  : CALL (cuCtxDestroy_v2) (context);
      /* The references that the resets left. */
      for (int left = 0; round == 2 && left < 3; left++)
        CALL (cuDevicePrimaryCtxRelease_v2) (0);
      size_t free_bytes = 0, total_bytes = 0;
      CUcontext other = NULL;
      if (ended != 0 || used () != 0)
        return 20 + round;
      /* The simulator really has the pages again. */
      if (create (&other, 0, 0) != 0 || CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) != 0 || free_bytes != BUDGET
          || CALL (cuCtxDestroy_v2) (other) != 0)
        return 30 + round;
    }
  return 0;
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  /* Before the fake one: a process has one driver. */
  CHECK (child_agrees (sim_body));
  test_done ("on the simulator reset, release and destroy in a loop leave nothing counted");
  cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  if (cuda == NULL)
    return 1;
  current = dlsym (cuda, "fake_cuda_current");
  driver_fails = dlsym (cuda, "fake_cuda_fail");
  test_destroy ();
  test_primary ();
  test_what_stays ();
  return check_done ();
}

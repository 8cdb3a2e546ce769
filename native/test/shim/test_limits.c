/* Limits of a context that take memory, on the simulated driver. */
#include "harness.h"

#define BUDGET (192 * MIB)
enum { STACK = 0, PRINTF_FIFO = 1, HEAP = 2, SMS = 48, THREADS = 1536 };

static void *cuda;
#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static uint64_t
used (void)
{
  return look ().used_bytes;
}

static CUresult
set_limit (int limit, size_t value)
{
  return CALL (cuCtxSetLimit) (limit, value);
}

/* What `bytes` of stack a thread come to on a GB10. */
static uint64_t
stacks (uint64_t bytes)
{
  return bytes * SMS * THREADS;
}

static void
test_limit (void)
{
  CUcontext context = simulated_context (cuda);
  size_t own = 0;
  CHECK (context != NULL && CALL (cuCtxGetLimit) (&own, STACK) == 0 && own > 0);
  CHECK (set_limit (STACK, own) == 0 && used () == 0);
  CHECK (set_limit (STACK, own + 1024) == 0 && used () == stacks (1024));
  CHECK (set_limit (STACK, own + 512) == 0 && used () == stacks (512));
  uint64_t refused = look ().refused_count;
  CHECK (set_limit (STACK, 64 << 10) == 2 && used () == stacks (512) && look ().refused_count == refused + 1);
  size_t now = 0;
  CHECK (CALL (cuCtxGetLimit) (&now, STACK) == 0 && now == own + 512);
  CHECK (set_limit (STACK, SIZE_MAX) == 2 && used () == stacks (512));
  CHECK (set_limit (STACK, own / 2) == 0 && used () == 0 && set_limit (STACK, own) == 0 && used () == 0);
  test_done ("a larger stack counts for every thread that the device can run at once, and is refused over the budget");

  CHECK (CALL (cuCtxGetLimit) (&own, HEAP) == 0);
  CHECK (set_limit (HEAP, own + 100 * MIB) == 0 && used () == 100 * MIB && set_limit (STACK, 1024 + 512) == 0);
  CHECK (set_limit (HEAP, own + GIB) == 2 && set_limit (PRINTF_FIFO, 8 * MIB) == 0 && used () >= 100 * MIB);
  CHECK (CALL (cuCtxDestroy_v2) (context) == 0 && used () == 0);
  test_done ("so does a larger heap for malloc in kernels; both end with their context");
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  cuda = start_simulator ("1g");
  if (cuda == NULL)
    return 1;
  test_limit ();
  return check_done ();
}

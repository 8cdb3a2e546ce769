#include "host_hooks.h"

#include "resolve.h"
#include <stdatomic.h>

static const char *const names[SPARK_HOST_HOOK_COUNT] = {
#define X(symbol) #symbol,
  SPARK_HOST_HOOKS (X)
#undef X
};

static _Atomic (void *) functions[SPARK_HOST_HOOK_COUNT];

void *
spark_host_function (enum spark_host_hook hook)
{
  void *known = atomic_load_explicit (&functions[hook], memory_order_relaxed);
  if (known != NULL)
    return known;
  known = spark_next_symbol (names[hook]);
  atomic_store_explicit (&functions[hook], known, memory_order_relaxed);
  return known;
}

/* All of them now: walking the loader's list takes its lock, which the only thread of a forked child may find held for ever. */
__attribute__ ((constructor)) static void
find_all (void)
{
  for (int hook = 0; hook < SPARK_HOST_HOOK_COUNT; hook++)
    spark_host_function ((enum spark_host_hook) hook);
}

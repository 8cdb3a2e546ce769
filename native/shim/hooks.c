#include "hooks.h"

#include "cuda_abi.h"
#include "nvml_abi.h"
#include "resolve.h"
#include <stdatomic.h>
#include <string.h>

static const struct {
  const char *base;
  const char *symbol;
  void *function;
  int since;
  bool per_thread;
} cuda_hooks[] = {
#define X(base, symbol, since, per_thread) { #base, #symbol, (void *) symbol, since, per_thread },
  SPARK_CUDA_HOOKS (X)
#undef X
};

static const char *const nvml_hooks[] = {
#define X(symbol) #symbol,
  SPARK_NVML_HOOKS (X)
#undef X
};

static void *
remembered (_Atomic (void *) *known, enum spark_driver driver, const char *symbol)
{
  void *function = atomic_load_explicit (known, memory_order_acquire);
  if (function != NULL)
    return function;
  function = spark_driver_symbol (driver, symbol);
  atomic_store_explicit (known, function, memory_order_release);
  return function;
}

void *
spark_real_function (enum spark_hook hook)
{
  static _Atomic (void *) real[SPARK_HOOK_COUNT];
  return hook < SPARK_HOOKS_OF_CUDA ? remembered (&real[hook], SPARK_DRIVER_CUDA, cuda_hooks[hook].symbol)
                                    : remembered (&real[hook], SPARK_DRIVER_NVML, nvml_hooks[hook - SPARK_HOOKS_OF_CUDA]);
}

void *
spark_driver_function (enum spark_driver_call call)
{
  static const char *const names[] = {
#define X(symbol) #symbol,
    SPARK_DRIVER_CALLS (X)
#undef X
  };
  static _Atomic (void *) known[SPARK_CALL_COUNT];
  return remembered (&known[call], SPARK_DRIVER_CUDA, names[call]);
}

void *
spark_hook_for (const char *base, void *driver_function, int cuda_version, bool per_thread)
{
  if (base == NULL || driver_function == NULL)
    return driver_function;
  void *by_rule = NULL;
  for (int i = 0; i < SPARK_HOOKS_OF_CUDA; i++)
    {
      bool is_base = strcmp (cuda_hooks[i].base, base) == 0;
      /* A whole exported name is no name for this function, but a driver may know it. */
      if (!is_base && strcmp (cuda_hooks[i].symbol, base) == 0)
        return cuda_hooks[i].function;
      if (!is_base)
        continue;
      /* The driver chose by its own rules of version and flags; the address tells which one it chose. */
      if (spark_real_function ((enum spark_hook) i) == driver_function)
        return cuda_hooks[i].function;
      /* Should it hand out addresses that it does not export, its documented rule decides: the newest that is not too new. Past
         the versions we know the address may be of a form that we do not: then it is the driver's. */
      if (cuda_version <= SPARK_CUDA_VERSION_KNOWN && cuda_hooks[i].since <= cuda_version
          && (!cuda_hooks[i].per_thread || per_thread))
        by_rule = cuda_hooks[i].function;
    }
  return by_rule != NULL ? by_rule : driver_function;
}

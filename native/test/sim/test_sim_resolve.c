/* Finding functions: by cuGetProcAddress with its versions, and by name in the built libraries. */
#include "on_machine.h"

#include <dlfcn.h>

/* Reads the ELF file, not this process: the build under test. */
static void *
built (const char *name)
{
  char path[4096];
  snprintf (path, sizeof path, "%s/%s", SIM_DIR, name);
  void *library = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  CHECK (library != NULL);
  return library;
}

static void *
found (const char *name, int version, unsigned long long flags, int want_status)
{
  void *function = NULL;
  int status = -1;
  CHECK (cuGetProcAddress_v2 (name, &function, version, flags, &status) == CUDA_SUCCESS);
  CHECK (status == want_status);
  CHECK ((function != NULL) == (want_status == CU_GET_PROC_ADDRESS_SUCCESS));
  return function;
}

/* dlsym's way around ISO C, which has no cast from a function to an object pointer. */
#define IS(pointer, function_name) ((uintptr_t) (pointer) == (uintptr_t) (function_name))

static void
versions (void)
{
  CHECK (IS (found ("cuMemAlloc", 13000, 0, 0), cuMemAlloc_v2));
  CHECK (IS (found ("cuMemAlloc", 3020, 0, 0), cuMemAlloc_v2));
  CHECK (IS (found ("cuMemAlloc", 2000, 0, 0), cuMemAlloc));
  CHECK (IS (found ("cuMemGetInfo", 3010, 0, 0), cuMemGetInfo));
  found ("cuMemAllocAsync", 11010, 0, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
  CHECK (IS (found ("cuCtxCreate", 11030, 0, 0), cuCtxCreate_v2));
  CHECK (IS (found ("cuCtxCreate", 11040, 0, 0), cuCtxCreate_v3));
  CHECK (IS (found ("cuMemPrefetchAsync", 12010, 0, 0), cuMemPrefetchAsync));
  CHECK (IS (found ("cuMemPrefetchAsync", 12020, 0, 0), cuMemPrefetchAsync_v2));
  CHECK (IS (found ("cuGraphAddNode", 12030, 0, 0), cuGraphAddNode_v2));
  CHECK (IS (found ("cuCtxCreate", 13000, 0, 0), cuCtxCreate_v4));
  CHECK (IS (found ("cuGetProcAddress", 13000, 0, 0), cuGetProcAddress_v2));
  CHECK (IS (found ("cuGetProcAddress", 11030, 0, 0), cuGetProcAddress));
  CHECK (IS (found ("cuMemcpyBatchAsync", 12080, 0, 0), cuMemcpyBatchAsync));
  CHECK (IS (found ("cuMemcpyBatchAsync", 13000, 0, 0), cuMemcpyBatchAsync_v2));
  CHECK (IS (found ("cuMemAlloc_v2", 13000, 0, 0), cuMemAlloc_v2));
  found ("cuMemAllocate", 13000, 0, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  found ("", 13000, 0, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
}

static void
per_thread (void)
{
  /* Both forms are the same function here: work is done when the call returns. */
  CHECK (IS (found ("cuMemAllocAsync", 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, 0), cuMemAllocAsync));
  CHECK (IS (found ("cuMemGetInfo", 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, 0), cuMemGetInfo_v2));
}

static void
wrong_calls (void)
{
  void *function = NULL;
  CHECK (cuGetProcAddress_v2 (NULL, &function, 13000, 0, NULL) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuGetProcAddress_v2 ("cuInit", NULL, 13000, 0, NULL) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuGetProcAddress_v2 ("cuInit", &function, 13010, 0, NULL) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuGetProcAddress ("cuNothing", &function, 13000, 0) == CUDA_ERROR_NOT_FOUND);
  CHECK (cuGetProcAddress ("cuInit", &function, 13000, 0) == CUDA_SUCCESS && IS (function, cuInit));
}

/* What MAX 26.6 and 26.7 look up by dlsym, seen with a tracing stand-in. */
static const char *const max_names[] = {
#include "max_names.inc"
};

static void
names (void)
{
  void *cuda = built ("libcuda.so.1"), *nvml = built ("libnvidia-ml.so.1");
  for (size_t i = 0; i < sizeof max_names / sizeof max_names[0]; i++)
    {
      bool there = dlsym (max_names[i][0] == 'n' ? nvml : cuda, max_names[i]) != NULL;
      if (!there)
        printf ("# %s is not exported\n", max_names[i]);
      CHECK (there);
    }
  CHECK (dlsym (cuda, "cuMemAllocAsync_ptsz") != NULL);
  CHECK (dlsym (cuda, "sim_machine") == NULL);
}

static void
not_simulated (void)
{
  driver_up ();
  int (*launch) (void) = NULL;
  void *function = found ("cuLaunchKernel", 13000, 0, 0);
  memcpy (&launch, &function, sizeof launch);
  CHECK (launch () == CUDA_ERROR_NOT_SUPPORTED);
}

int
main (void)
{
#define ON_64M(piece, sentence)                                                                                        \
  CHECK (on_machine ("64m", "anonymous", piece) == 0);                                                                 \
  test_done (sentence)

  ON_64M (versions, "cuGetProcAddress gives the form that the caller's CUDA version knows");
  ON_64M (per_thread, "per-thread forms are found where wanted, the plain form where there is no other");
  ON_64M (wrong_calls, "cuGetProcAddress refuses wrong calls and newer versions than its own");
  ON_64M (names, "the libraries export every name that MAX looks up, and nothing of their inside");
  ON_64M (not_simulated, "what is not simulated says so instead of pretending");
  return check_done ();
}

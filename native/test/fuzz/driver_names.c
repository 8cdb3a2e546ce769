/* How the fuzz driver hands out its functions: any name that is there, by the rule of the newest not too new. */
#include "driver_books.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

extern void *fuzz_own_symbol (const char *name) __attribute__ ((visibility ("hidden")));
void *
fuzz_own_symbol (const char *name)
{
  static void *self;
  if (self == NULL)
    self = dlopen ("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  return strlen (name) < 100 ? dlsym (self, name) : NULL;
}

CUresult
cuGetProcAddress_v2 (const char *symbol, void **function, int version, uint64_t flags, CUdriverProcAddressQueryResult *status)
{
  char name[128];
  if (symbol == NULL || function == NULL)
    return INVALID;
  snprintf (name, sizeof name, "%.100s%s", symbol, (flags & SPARK_CUDA_PER_THREAD_STREAM) != 0 ? "_ptsz" : version >= 3020 ? "_v2" : "");
  pthread_mutex_lock (&driver_lock);
  void *found = fuzz_own_symbol (name);
  if (found == NULL)
    found = strncmp (symbol, "cu", 2) == 0 ? fuzz_own_symbol (symbol) : NULL;
  pthread_mutex_unlock (&driver_lock);
  *function = version < 2000 ? NULL : found;
  if (status != NULL)
    *status = *function != NULL ? 0 : found != NULL ? 2 : 1;
  return *function != NULL ? 0 : NOT_FOUND;
}

CUresult
cuGetProcAddress (const char *symbol, void **function, int version, uint64_t flags)
{
  return cuGetProcAddress_v2 (symbol, function, version, flags, NULL);
}

/* Nanoseconds of one cuMemAlloc + cuMemFree, and of a call that is not hooked. Prints "<pair> <other>", medians.
   cc -O2 -o alloc_pair alloc_pair.c -ldl; ./alloc_pair BYTES ROUNDS */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t
now_ns (void)
{
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec * INT64_C (1000000000) + time.tv_nsec;
}

static int
ascending (const void *a, const void *b)
{
  int64_t left = *(const int64_t *) a, right = *(const int64_t *) b;
  return (left > right) - (left < right);
}

int
main (int argc, char **argv)
{
  size_t bytes = argc > 1 ? strtoull (argv[1], NULL, 10) : 4096, rounds = argc > 2 ? strtoull (argv[2], NULL, 10) : 20000;
  void *cuda = dlopen ("libcuda.so.1", RTLD_NOW), *context = NULL;
  if (cuda == NULL)
    {
      fprintf (stderr, "alloc_pair: %s\n", dlerror ());
      return 1;
    }
  int (*init) (unsigned) = (int (*) (unsigned)) dlsym (cuda, "cuInit");
  int (*retain) (void **, int) = (int (*) (void **, int)) dlsym (cuda, "cuDevicePrimaryCtxRetain");
  int (*set_current) (void *) = (int (*) (void *)) dlsym (cuda, "cuCtxSetCurrent");
  int (*allocate) (uint64_t *, size_t) = (int (*) (uint64_t *, size_t)) dlsym (cuda, "cuMemAlloc_v2");
  int (*release) (uint64_t) = (int (*) (uint64_t)) dlsym (cuda, "cuMemFree_v2");
  int (*query) (void *) = (int (*) (void *)) dlsym (cuda, "cuStreamQuery");
  int64_t *pair_ns = calloc (rounds, sizeof *pair_ns), *other_ns = calloc (rounds, sizeof *other_ns);
  uint64_t keep, pointer;
  if (pair_ns == NULL || other_ns == NULL || init (0) != 0 || retain (&context, 0) != 0 || set_current (context) != 0
      || allocate (&keep, bytes) != 0)
    {
      fprintf (stderr, "alloc_pair: the driver does not start\n");
      return 1;
    }
  for (size_t i = 0; i < rounds; i++)
    {
      int64_t start = now_ns ();
      if (allocate (&pointer, bytes) != 0 || release (pointer) != 0)
        return 1;
      int64_t middle = now_ns ();
      query (NULL);
      pair_ns[i] = middle - start;
      other_ns[i] = now_ns () - middle;
    }
  qsort (pair_ns, rounds, sizeof *pair_ns, ascending);
  qsort (other_ns, rounds, sizeof *other_ns, ascending);
  printf ("%lld %lld\n", (long long) pair_ns[rounds / 2], (long long) other_ns[rounds / 2]);
  return 0;
}

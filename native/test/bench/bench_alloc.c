/* What a hooked allocation costs, in nanoseconds over the driver's own; both sides in turn. Prints one JSON object. The driver does
   next to nothing (test/shim/fake_cuda.c). Runs itself again under the shim. */
#include "test/shim/harness.h"
#include <time.h>

#define BUDGET (16 * GIB)

enum { ROUNDS = 301, PAIRS = 2000, MANY = 1000000, FEW = 1000 };

static __typeof__ (&cuMemAlloc_v2) take, bare_take;
static __typeof__ (&cuMemFree_v2) give, bare_give;

static uint64_t
now_ns (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static double
pair_ns (__typeof__ (&cuMemAlloc_v2) alloc, __typeof__ (&cuMemFree_v2) release)
{
  uint64_t begin = now_ns ();
  for (int i = 0; i < PAIRS; i++)
    {
      CUdeviceptr pointer = 0;
      if (alloc (&pointer, 4096) != 0 || release (pointer) != 0)
        exit (1);
    }
  return (double) (now_ns () - begin) / PAIRS;
}

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

static double
median (double *values)
{
  qsort (values, ROUNDS, sizeof *values, by_value);
  return values[ROUNDS / 2];
}

static void
hold (int count)
{
  for (CUdeviceptr pointer; count > 0; count--)
    if (take (&pointer, 512) != 0)
      exit (1);
}

static uint64_t
resident_bytes (void)
{
  char line[256];
  unsigned long long kib = 0;
  FILE *file = fopen ("/proc/self/smaps_rollup", "r");
  while (file != NULL && fgets (line, sizeof line, file) != NULL)
    if (sscanf (line, "Rss: %llu kB", &kib) == 1)
      break;
  if (file != NULL)
    fclose (file);
  return kib << 10;
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  void *cuda = dlopen ("libcuda.so.1", RTLD_NOW), *bare = dlopen ("libbare.so", RTLD_NOW);
  if (cuda == NULL || bare == NULL)
    return 1;
  take = (__typeof__ (take)) dlsym (cuda, "cuMemAlloc_v2");
  give = (__typeof__ (give)) dlsym (cuda, "cuMemFree_v2");
  bare_take = (__typeof__ (take)) dlsym (bare, "cuMemAlloc_v2");
  bare_give = (__typeof__ (give)) dlsym (bare, "cuMemFree_v2");
  if (!is_ours ((void *) take) || !is_ours ((void *) give) || is_ours ((void *) bare_take) || is_ours ((void *) bare_give))
    return 1;

  static double hooked[ROUNDS], plain[ROUNDS], difference[ROUNDS], few[ROUNDS], many[ROUNDS];
  for (int i = 0; i < ROUNDS; i++)
    {
      hooked[i] = pair_ns (take, give);
      plain[i] = pair_ns (bare_take, bare_give);
      difference[i] = hooked[i] - plain[i];
    }
  hold (FEW);
  for (int i = 0; i < ROUNDS; i++)
    few[i] = pair_ns (take, give);
  uint64_t before = resident_bytes ();
  hold (MANY - FEW);
  uint64_t grown = resident_bytes () - before;
  for (int i = 0; i < ROUNDS; i++)
    many[i] = pair_ns (take, give);
  printf ("{\"hookedNs\":%.1f,\"bareNs\":%.1f,\"differenceNs\":%.1f,\"thousandLiveNs\":%.1f,\"millionLiveNs\":%.1f,"
          "\"bytesPerLiveAllocation\":%.1f}\n",
          median (hooked), median (plain), median (difference), median (few), median (many), (double) grown / (MANY - FEW));
  return 0;
}

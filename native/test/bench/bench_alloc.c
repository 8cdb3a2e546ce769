/* What a hooked allocation costs, in nanoseconds over the driver's own; both sides in turn. Prints one JSON object. The driver does
   next to nothing (test/shim/fake_cuda.c). Runs itself again under the shim. Few and many live allocations are two processes that take
   turns on one processor; each also reads at random, one read after the other, in an array as large as its table: what memory costs here. */
#include "test/shim/harness.h"
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#define BUDGET (16 * GIB)

enum { ROUNDS = 301, WARM = 10, PAIRS = 2000, MANY = 1000000, FEW = 1000 };

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

/* The time of one read out of an array of `bytes` whose place the read before it gave. */
static double
read_ns (uint64_t bytes)
{
  static uint32_t *array, at, count;
  enum { LINE = 16 }; /* words */
  if (array == NULL)
    {
      count = (uint32_t) (bytes / LINE / sizeof *array);
      array = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      madvise (array, bytes, MADV_HUGEPAGE);
      for (uint32_t i = 0; i < count; i++)
        array[i * LINE] = i;
      for (uint32_t i = count - 1; i > 0; i--) /* one circle through all (Sattolo) */
        {
          uint32_t other = (uint32_t) rand () % i, kept = array[i * LINE];
          array[i * LINE] = array[other * LINE];
          array[other * LINE] = kept;
        }
    }
  uint64_t begin = now_ns ();
  for (int i = 0; i < PAIRS; i++)
    at = array[at * LINE];
  __asm__ volatile ("" : : "r"(at));
  return (double) (now_ns () - begin) / PAIRS;
}

struct turn { double pair, read; };

static struct turn
take_turn (uint64_t table_bytes)
{
  struct turn turn;
  /* After the other process's turn the processor knows nothing of this one's any more. */
  read_ns (table_bytes);
  turn.read = read_ns (table_bytes);
  for (int i = 0; i < WARM; i++)
    pair_ns (take, give);
  turn.pair = pair_ns (take, give);
  return turn;
}

/* The process with few: a turn for each byte that comes. In a ledger of its own: sharing one costs a little more, on both sides. */
static void
serve_turns (int asked, int told)
{
  char byte;
  strcat (ledger_path, "-few");
  setenv ("SPARK_RUN_LEDGER", ledger_path, 1);
  make_ledger (BUDGET);
  hold (FEW);
  while (read (asked, &byte, 1) == 1)
    {
      struct turn turn = take_turn (FEW * 48);
      if (write (told, &turn, sizeof turn) != sizeof turn)
        break;
    }
  unlink (ledger_path);
  _exit (0);
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

  cpu_set_t one;
  CPU_ZERO (&one);
  CPU_SET ((unsigned) sched_getcpu (), &one);
  sched_setaffinity (0, sizeof one, &one);
  int ask[2], tell[2];
  if (pipe (ask) != 0 || pipe (tell) != 0)
    return 1;
  pid_t child = fork ();
  close (ask[child == 0]);
  if (child == 0)
    serve_turns (ask[0], tell[1]);

  static double hooked[ROUNDS], plain[ROUNDS], difference[ROUNDS], few[ROUNDS], many[ROUNDS], ratio[ROUNDS];
  static double few_read[ROUNDS], many_read[ROUNDS], read_ratio[ROUNDS];
  for (int i = 0; i < ROUNDS; i++)
    {
      hooked[i] = pair_ns (take, give);
      plain[i] = pair_ns (bare_take, bare_give);
      difference[i] = hooked[i] - plain[i];
    }
  hold (FEW);
  uint64_t before = resident_bytes ();
  hold (MANY - FEW);
  uint64_t grown = resident_bytes () - before;
  for (int i = 0; i < ROUNDS; i++)
    {
      struct turn theirs, ours;
      if (write (ask[1], "", 1) != 1 || read (tell[0], &theirs, sizeof theirs) != sizeof theirs)
        return 1;
      ours = take_turn (grown);
      few[i] = theirs.pair, many[i] = ours.pair, ratio[i] = ours.pair / theirs.pair;
      few_read[i] = theirs.read, many_read[i] = ours.read, read_ratio[i] = ours.read / theirs.read;
    }
  close (ask[1]);
  waitpid (child, NULL, 0);
  printf ("{\"hookedNs\":%.1f,\"bareNs\":%.1f,\"differenceNs\":%.1f,\"thousandLiveNs\":%.1f,\"millionLiveNs\":%.1f,"
          "\"ratio\":%.2f,\"thousandReadNs\":%.1f,\"millionReadNs\":%.1f,\"readRatio\":%.1f,\"bytesPerLiveAllocation\":%.1f}\n",
          median (hooked), median (plain), median (difference), median (few), median (many), median (ratio), median (few_read),
          median (many_read), median (read_ratio), (double) grown / (MANY - FEW));
  return 0;
}

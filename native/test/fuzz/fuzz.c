/* Random interleavings of every hooked call, checked against the driver's own books: after each call where one thread runs, at rest
   where several do. The shim is linked in, with the sanitizer that the program has; the driver is driver.c.
     fuzz SEED ROUNDS    rounds of seed SEED, SEED + 1, …; a finding names its seed, and that seed alone shows it again */
#include "fuzz.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS = 2000, THREADS_MAX = 6 };

struct fuzz_truth *fuzz_truth;
unsigned fuzz_round_seed;
static int ledger_fd;
static char ledger_path[64] = "/tmp/spark-fuzz-XXXXXX";

struct spark_ledger_view
fuzz_look (void)
{
  struct spark_ledger_view view;
  MUST (spark_ledger_peek (ledger_fd, &view) == 0);
  return view;
}

static void *
act (void *data)
{
  struct actor *actor = data;
  for (int i = 0; i < STEPS; i++)
    fuzz_step (actor);
  return NULL;
}

/* A child holds nothing of ours, and what it holds goes with it. */
static void
fork_once (unsigned seed)
{
  uint64_t before = fuzz_look ().used_bytes;
  pid_t pid = fork ();
  if (pid == 0)
    {
      struct actor child = { .seed = seed, .index = 8 };
      for (int i = 0; i < 200; i++)
        fuzz_step (&child);
      _exit (0);
    }
  int status = 1;
  MUST (waitpid (pid, &status, 0) == pid && status == 0 && fuzz_look ().used_bytes == before);
}

static void
run_round (unsigned seed)
{
  static struct actor actors[THREADS_MAX];
  pthread_t threads[THREADS_MAX];
  fuzz_round_seed = seed;
  int count = seed % 2 ? 1 : 2 + (int) (seed / 2 % (THREADS_MAX - 1));
  memset (actors, 0, sizeof actors);
  fuzz_driver_begin (fuzz_truth, seed, seed % 3 ? 20 : 0);
  fuzz_truth->alone = count == 1;
  for (int i = 0; i < count; i++)
    actors[i] = (struct actor){ .seed = seed * 7919 + (unsigned) i, .index = i, .alone = count == 1 };
  if (count == 1)
    act (&actors[0]);
  else
    {
      for (int i = 0; i < count; i++)
        MUST (pthread_create (&threads[i], NULL, act, &actors[i]) == 0);
      for (int i = 0; i < count; i++)
        pthread_join (threads[i], NULL);
    }
  MUST (fuzz_truth->unseen_bytes == 0);
  fuzz_agree ();
  cuCtxSetCurrent (NULL);
  for (int i = 0; i < count; i++)
    fuzz_clear (&actors[i]);
  MUST (fuzz_look ().used_bytes == fuzz_truth->held_bytes && fuzz_truth->held_bytes == 0 && fuzz_look ().peak_bytes <= BUDGET);
  if (seed % 16 == 1)
    {
      /* The driver's books go into the child too, as they are; what it takes there is not the parent's. */
      uint64_t held = fuzz_truth->held_bytes;
      fork_once (seed);
      fuzz_truth->held_bytes = held;
      fuzz_truth->graph_bytes = fuzz_truth->stuck_bytes = 0;
    }
}

static void
remove_ledger (void)
{
  unlink (ledger_path);
}

int
main (int argc, char **argv)
{
  if (argc != 3)
    {
      fprintf (stderr, "usage: fuzz SEED ROUNDS\n");
      return 2;
    }
  unsigned seed = (unsigned) strtoul (argv[1], NULL, 10), rounds = (unsigned) strtoul (argv[2], NULL, 10);
  struct spark_error error = { 0 };
  ledger_fd = mkstemp (ledger_path);
  atexit (remove_ledger);
  setenv ("SPARK_RUN_LEDGER", ledger_path, 1);
  fuzz_truth = mmap (NULL, sizeof *fuzz_truth, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST (ledger_fd >= 0 && fuzz_truth != MAP_FAILED && spark_ledger_create (ledger_path, BUDGET, 0, 0, &error) == 0);
  fuzz_truth->limit_bytes = BUDGET;
  for (unsigned i = 0; i < rounds; i++)
    run_round (seed + i);
  printf ("fuzz: seeds %u to %u, %ld grants, %llu refusals, nothing found\n", seed, seed + rounds - 1, (long) fuzz_truth->granted,
          (unsigned long long) fuzz_look ().refused_count);
  return 0;
}

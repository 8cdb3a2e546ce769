/* One budget between threads and processes: exact at the last byte, given back by the dead, never inherited. */
#include "harness.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#define BUDGET (4 * GIB)

static void *cuda;
#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

enum { THREADS = 16, PROCESSES = 4, ROUNDS = 400, PIECE_PAGES = 256 };

/* What the racing threads hold together, counted outside the shim. */
static struct shared {
  _Atomic uint64_t held_bytes, most_bytes;
  _Atomic long granted, refused, wrong;
} *shared;

static void *
race (void *data)
{
  unsigned seed = (unsigned) (uintptr_t) data + (unsigned) getpid ();
  CUdeviceptr held[8] = { 0 };
  uint64_t sizes[8] = { 0 };
  for (int round = 0; round < ROUNDS; round++)
    {
      int i = rand_r (&seed) % 8;
      sched_yield (); /* few processors: let the others get in between */
      if (held[i] != 0)
        {
          shared->held_bytes -= sizes[i];
          shared->wrong += CALL (cuMemFree_v2) (held[i]) != 0;
          held[i] = 0;
          continue;
        }
      sizes[i] = (1 + (uint64_t) rand_r (&seed) % PIECE_PAGES) * 2 * MIB;
      CUdeviceptr pointer = 0;
      CUresult result = CALL (cuMemAlloc_v2) (&pointer, sizes[i]);
      if (result == 0)
        {
          uint64_t now = shared->held_bytes += sizes[i], most = shared->most_bytes;
          while (most < now && !__atomic_compare_exchange_n ((uint64_t *) &shared->most_bytes, &most, now, 0, 5, 5))
            ;
          held[i] = pointer;
          shared->granted++;
        }
      else
        {
          shared->refused++;
          shared->wrong += result != 2 || pointer != 0;
        }
    }
  for (int i = 0; i < 8; i++)
    if (held[i] != 0)
      {
        shared->held_bytes -= sizes[i];
        CALL (cuMemFree_v2) (held[i]);
      }
  return NULL;
}

static void
race_in_threads (void)
{
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    pthread_create (&threads[i], NULL, race, (void *) (uintptr_t) i);
  for (int i = 0; i < THREADS; i++)
    pthread_join (threads[i], NULL);
}

static void
test_race (void)
{
  fflush (stdout);
  for (int i = 0; i < PROCESSES; i++)
    if (fork () == 0)
      {
        race_in_threads ();
        _exit (0);
      }
  while (wait (NULL) > 0)
    ;
  CHECK (shared->wrong == 0);
  CHECK (shared->most_bytes <= BUDGET);
  CHECK (look ().peak_bytes <= BUDGET);
  CHECK (shared->granted > 0 && shared->refused > 0 && (uint64_t) shared->refused <= look ().refused_count);
  CHECK (look ().used_bytes == 0);
  printf ("# granted %ld, refused %ld, most held %llu of %llu MiB\n", (long) shared->granted, (long) shared->refused,
          (unsigned long long) (shared->most_bytes / MIB), (unsigned long long) (BUDGET / MIB));
  test_done ("16 threads in each of 4 processes never hold more than the budget, and leave nothing counted");
}

static void *
take_one_page (void *data)
{
  (void) data;
  CUdeviceptr pointer;
  for (;;)
    {
      CUresult result = CALL (cuMemAlloc_v2) (&pointer, 2 * MIB);
      if (result != 0)
        return (void *) (uintptr_t) result;
      shared->granted++;
    }
}

/* Everybody takes pages until refused: exactly the budget must have been given out, not a page less. */
static int
exhaust_body (void)
{
  pthread_t threads[64];
  void *result;
  int ok = 1;
  for (int i = 0; i < 64; i++)
    pthread_create (&threads[i], NULL, take_one_page, NULL);
  for (int i = 0; i < 64; i++)
    ok &= pthread_join (threads[i], &result) == 0 && result == (void *) 2;
  return ok && (uint64_t) shared->granted * 2 * MIB == BUDGET && look ().used_bytes == BUDGET ? 0 : 1;
}

static void
test_exhaust (void)
{
  shared->granted = 0;
  CHECK (child_agrees (exhaust_body));
  CHECK (look ().used_bytes == 0);
  test_done ("64 threads taking page by page get exactly the budget");
}

/* A child that takes 3 GiB and then waits to be killed. */
static pid_t
start_holder (void)
{
  int ready[2];
  char byte;
  if (pipe (ready) < 0)
    exit (1);
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    {
      CUdeviceptr pointer;
      if (CALL (cuMemAlloc_v2) (&pointer, 3 * GIB) == 0 && write (ready[1], "", 1) == 1)
        for (;;)
          pause ();
      _exit (1);
    }
  close (ready[1]);
  CHECK (read (ready[0], &byte, 1) == 1);
  close (ready[0]);
  return pid;
}

static void
test_death (void)
{
  pid_t holder = start_holder ();
  CUdeviceptr pointer = 7;
  CHECK (look ().used_bytes == 3 * GIB);
  CHECK (CALL (cuMemAlloc_v2) (&pointer, 2 * GIB) == 2 && pointer == 7);
  kill (holder, SIGKILL);
  waitpid (holder, NULL, 0);
  CHECK (look ().used_bytes == 0);
  size_t free_bytes, total_bytes;
  CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0 && free_bytes > BUDGET - GIB);
  CHECK (CALL (cuMemAlloc_v2) (&pointer, BUDGET) == 0);
  CHECK (look ().used_bytes == BUDGET && CALL (cuMemFree_v2) (pointer) == 0);
  test_done ("a killed process gives its bytes back");
}

static CUdeviceptr inherited;

static int
forked_body (void)
{
  CUdeviceptr own = 0;
  /* The parent's pointer is nothing of ours: freeing it takes nothing off what the parent is charged. */
  if (CALL (cuMemFree_v2) (inherited) != 0 || look ().used_bytes != 3 * GIB)
    return 1;
  if (CALL (cuMemAlloc_v2) (&own, 2 * GIB) != 2 || CALL (cuMemAlloc_v2) (&own, GIB) != 0)
    return 2;
  return look ().used_bytes == BUDGET ? 0 : 3;
}

/* A child that outlives its parent and never calls the driver must not keep the parent's bytes counted. It ends by itself. */
static int
idle_child_body (void)
{
  pid_t parent = fork ();
  if (parent == 0)
    {
      CUdeviceptr pointer;
      if (CALL (cuMemAlloc_v2) (&pointer, GIB) != 0)
        _exit (1);
      if (fork () == 0)
        {
          sleep (2);
          _exit (0);
        }
      _exit (0);
    }
  int status = 1;
  waitpid (parent, &status, 0);
  return status == 0 && look ().used_bytes == 0 ? 0 : 1;
}

static void
test_fork (void)
{
  CHECK (CALL (cuMemAlloc_v2) (&inherited, 3 * GIB) == 0);
  CHECK (child_agrees (forked_body));
  CHECK (look ().used_bytes == 3 * GIB);
  CHECK (CALL (cuMemFree_v2) (inherited) == 0 && look ().used_bytes == 0);
  test_done ("a forked child starts with nothing, in a slot of its own");
  CHECK (child_agrees (idle_child_body));
  test_done ("a child that lives on does not keep its dead parent's bytes");
}

static int
close_all_body (void)
{
  CUdeviceptr pointer;
  if (CALL (cuMemAlloc_v2) (&pointer, 3 * GIB) != 0)
    return 1;
  for (int fd = 3; fd < 1024; fd++)
    close (fd);
  /* What drops an ordinary fcntl lock: opening the file and closing it. */
  close (open (ledger_path, O_RDWR));
  if (look ().used_bytes != 3 * GIB || CALL (cuMemAlloc_v2) (&pointer, 2 * GIB) != 2)
    return 2;
  return CALL (cuMemAlloc_v2) (&pointer, GIB) == 0 && look ().used_bytes == BUDGET ? 0 : 3;
}

static void
test_descriptors (void)
{
  CHECK (child_agrees (close_all_body));
  test_done ("a program that closes all its descriptors stays counted");
}

/* A server that opens the driver, then locks itself in where no ledger is to be seen, then allocates. */
static int
chroot_body (void)
{
  CUdeviceptr pointer = 7;
  struct spark_ledger_view view = { 0 };
  int fd = open (ledger_path, O_RDONLY);
  if (dlclose (dlopen ("libcuda.so.1", RTLD_NOW)) != 0 || chroot ("/proc/self/fdinfo") < 0 || chdir ("/") < 0)
    return 1;
  if (CALL (cuMemAlloc_v2) (&pointer, 3 * GIB) != 0)
    return 2;
  if (spark_ledger_peek (fd, &view) < 0 || view.used_bytes != 3 * GIB)
    return 3;
  return CALL (cuMemAlloc_v2) (&pointer, 2 * GIB) == 2 && CALL (cuMemAlloc_v2) (&pointer, GIB) == 0 ? 0 : 4;
}

static void
test_chroot (void)
{
  static const char sentence[] = "a program that has moved into a chroot since it opened the driver still has its budget";
  if (geteuid () != 0)
    {
      test_skip (sentence, "chroot needs root");
      return;
    }
  CHECK (child_agrees (chroot_body));
  CHECK (look ().used_bytes == 0);
  test_done (sentence);
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  if (cuda == NULL || shared == MAP_FAILED)
    return 1;
  test_race ();
  test_exhaust ();
  test_death ();
  test_fork ();
  test_descriptors ();
  test_chroot ();
  return check_done ();
}

/* 8 processes of 64 threads each at the last byte of one budget. The driver keeps the true sum of all of them and aborts whoever makes it
   pass the budget (test/fuzz/driver.c); here is looked at what is left afterwards, and at how processes come and go. */
#include "common/ledger_layout.h"
#include "harness.h"
#include "test/fuzz/driver.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>

/* Odd on purpose: the last piece is the smallest that there is. */
#define BUDGET (256 * MIB + 3 * 512)

enum { PROCESSES = 8, THREADS = 64, ROUNDS = 250, HELD = 6 };

static void *cuda;
static struct fuzz_truth *truth;
static _Atomic long *wrong, *filled;
#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static __typeof__ (&cuMemAlloc_v2) take;
static __typeof__ (&cuMemFree_v2) give;

static void *
race (void *data)
{
  unsigned seed = (unsigned) (uintptr_t) data * 31 + (unsigned) getpid ();
  CUdeviceptr held[HELD] = { 0 };
  for (int round = 0; round < ROUNDS; round++)
    {
      int i = rand_r (&seed) % HELD;
      if (held[i] != 0)
        {
          *wrong += give (held[i]) != 0;
          held[i] = 0;
          continue;
        }
      uint64_t bytes = rand_r (&seed) % 3 ? 1 + (uint64_t) rand_r (&seed) % MIB : (1 + (uint64_t) rand_r (&seed) % 8) * 2 * MIB;
      CUdeviceptr pointer = 7;
      CUresult result = take (&pointer, bytes);
      *wrong += result == 0 ? pointer == 7 : result != 2 || pointer != 7;
      held[i] = result == 0 ? pointer : 0;
      if (round % 8 == 0)
        sched_yield ();
    }
  for (int i = 0; i < HELD; i++)
    if (held[i] != 0)
      *wrong += give (held[i]) != 0;
  return NULL;
}

static void
run_processes (void *(*body) (void *))
{
  int status, died = 0;
  fflush (stdout);
  for (int i = 0; i < PROCESSES; i++)
    if (fork () == 0)
      {
        pthread_t threads[THREADS];
        for (uintptr_t t = 0; t < THREADS; t++)
          pthread_create (&threads[t], NULL, body, (void *) t);
        for (int t = 0; t < THREADS; t++)
          pthread_join (threads[t], NULL);
        _exit (0);
      }
  while (wait (&status) > 0)
    died += status != 0;
  CHECK (died == 0);
}

static void
test_race (void)
{
  run_processes (race);
  CHECK (*wrong == 0 && truth->held_bytes == 0 && look ().used_bytes == 0);
  CHECK (truth->granted > 0 && look ().refused_count > 0 && truth->most_bytes <= BUDGET && look ().peak_bytes <= BUDGET);
  printf ("# granted %ld, refused %llu, most held %llu of %llu bytes\n", (long) truth->granted,
          (unsigned long long) look ().refused_count, (unsigned long long) truth->most_bytes, (unsigned long long) BUDGET);
  test_done ("64 threads in each of 8 processes: by the driver's own books never a byte above the budget, and nothing left");
}

/* All take the largest piece that fits, down to the smallest, and keep it. */
static void *
fill (void *data)
{
  static const uint64_t sizes[] = { 2 * MIB, MIB, 64 << 10, 512 };
  (void) data;
  CUdeviceptr pointer;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    while (take (&pointer, sizes[i]) == 0)
      ;
  /* Nobody ends and gives back before all have been refused the last bytes. */
  for (*filled += 1; *filled < PROCESSES * THREADS;)
    usleep (1000);
  *wrong += truth->held_bytes != BUDGET;
  return NULL;
}

static void
test_fill (void)
{
  truth->most_bytes = 0;
  run_processes (fill);
  CHECK (*wrong == 0 && truth->held_bytes == BUDGET && truth->most_bytes == BUDGET);
  CHECK (look ().peak_bytes == BUDGET && look ().used_bytes == 0);
  truth->held_bytes = 0;
  CUdeviceptr all = 0, last[4] = { 0 };
  CHECK (take (&all, 256 * MIB) == 0);
  for (int i = 0; i < 3; i++)
    CHECK (take (&last[i], 512) == 0);
  CHECK (take (&last[3], 1) == 2 && truth->held_bytes == BUDGET);
  CHECK (give (last[1]) == 0 && take (&last[3], 1) == 0 && take (&last[1], 1) == 2);
  CHECK (give (last[0]) == 0 && give (last[2]) == 0 && give (last[3]) == 0 && give (all) == 0 && look ().used_bytes == 0);
  test_done ("the same taking all there is get exactly the budget, to the last 512 bytes; what the dead held can be had again");
}

/* ---- processes that come and go ---- */

/* A child in a loop of calls, killed at any instant. The driver's books of a dead process are settled here. */
static void
test_killed (void)
{
  enum { DEATHS = 300 };
  int all_there = 0;
  for (int death = 0; death < DEATHS; death++)
    {
      truth->granted = 0;
      pid_t pid = fork ();
      if (pid == 0)
        for (uintptr_t i = 0;; i++)
          race ((void *) i);
      while (truth->granted < 1 + death % 40)
        sched_yield ();
      kill (pid, SIGKILL);
      waitpid (pid, NULL, 0);
      truth->held_bytes = 0;
      CUdeviceptr pointer = 0;
      all_there += take (&pointer, 256 * MIB) == 0 && give (pointer) == 0;
    }
  CHECK (all_there == DEATHS && look ().used_bytes == 0);
  test_done ("300 processes killed in the middle of their calls: all of the budget can be had at once");
}

static int
exec_body (void)
{
  CUdeviceptr pointer;
  char *argv[] = { "/bin/sh", "-c", "kill -STOP $$", NULL };
  return take (&pointer, 200 * MIB) == 0 ? execv (argv[0], argv) : 1;
}

static void
test_exec (void)
{
  int status;
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    _exit (exec_body ());
  CHECK (waitpid (pid, &status, WUNTRACED) == pid && WIFSTOPPED (status));
  truth->held_bytes = 0;
  CHECK (look ().used_bytes == 0);
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  test_done ("a program that another one takes the place of keeps nothing");
}

/* posix_spawn shares the caller's memory until the new program runs (vfork); that program then lives on beside it. */
static int
spawn_body (void)
{
  CUdeviceptr pointer;
  pid_t pid, also;
  char *argv[] = { "/bin/sleep", "600", NULL };
  if (take (&pointer, 200 * MIB) != 0 || posix_spawn (&pid, argv[0], NULL, NULL, argv, environ) != 0)
    return 1;
  if ((also = vfork ()) == 0)
    {
      execv (argv[0], argv);
      _exit (1);
    }
  int ok = look ().used_bytes == 200 * MIB && take (&pointer, 100 * MIB) == 2 && give (pointer) == 0 && look ().used_bytes == 0;
  ok = ok && take (&pointer, 200 * MIB) == 0;
  if (fork () == 0)
    {
      /* Ends after its parent, with the two programs as witnesses that nothing of the parent's stays counted. */
      while (getppid () != 1 && look ().used_bytes != 0)
        sched_yield ();
      kill (pid, SIGKILL);
      kill (also, SIGKILL);
      _exit (0);
    }
  return ok ? 0 : 2;
}

static void
test_spawn (void)
{
  CHECK (child_agrees (spawn_body));
  truth->held_bytes = 0;
  CHECK (look ().used_bytes == 0);
  test_done ("programs started by posix_spawn and vfork leave the starter's memory counted, and do not keep it when it dies");
}

static _Atomic int stop_threads;

static void *
take_and_give (void *data)
{
  for (CUdeviceptr pointer; !stop_threads;)
    if (take (&pointer, 2 * MIB) == 0)
      give (pointer);
  return data;
}

/* Whatever the other threads were in the middle of when the child began: it has locks of its own. The driver's own lock is not our
   subject: the child calls what asks the driver nothing that locks. */
static int
threaded_fork_body (void)
{
  pthread_t threads[4];
  int ok = 1;
  for (int i = 0; i < 4; i++)
    pthread_create (&threads[i], NULL, take_and_give, NULL);
  for (int i = 0; i < 200; i++)
    {
      pid_t pid = fork ();
      if (pid == 0)
        {
          CUdeviceptr pointer = 7;
          _exit (take (&pointer, BUDGET + 1) == 2 && pointer == 7 ? 0 : 1);
        }
      int status = 1;
      waitpid (pid, &status, 0);
      ok &= status == 0;
    }
  stop_threads = 1;
  for (int i = 0; i < 4; i++)
    pthread_join (threads[i], NULL);
  return ok && look ().used_bytes == 0 ? 0 : 1;
}

static void
test_threaded_fork (void)
{
  CHECK (child_agrees (threaded_fork_body));
  test_done ("a fork while other threads take and give: the child has locks of its own");
}

static int
namespace_body (void)
{
  if (unshare (CLONE_NEWUSER | CLONE_NEWPID) < 0)
    return 77;
  /* Process 1 of its own world, nobody's user: the ledger's locks know nothing of either. */
  pid_t pid = fork ();
  if (pid == 0)
    {
      CUdeviceptr pointer;
      int ok = getpid () == 1 && take (&pointer, 200 * MIB) == 0 && look ().used_bytes == 200 * MIB;
      pid_t inner = fork ();
      if (inner == 0)
        _exit (take (&pointer, 100 * MIB) == 2 && take (&pointer, 50 * MIB) == 0 && look ().used_bytes == 250 * MIB ? 0 : 1);
      int status = 1;
      waitpid (inner, &status, 0);
      _exit (ok && status == 0 && look ().used_bytes == 200 * MIB ? 0 : 1);
    }
  int status = 1;
  waitpid (pid, &status, 0);
  return status == 0 && look ().used_bytes == 0 ? 0 : 1;
}

static void
test_namespaces (void)
{
  static const char sentence[] = "processes of other pid and user namespaces share the budget, and give back when they die";
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    _exit (namespace_body ());
  int status = 1;
  waitpid (pid, &status, 0);
  truth->held_bytes = 0;
  if (WIFEXITED (status) && WEXITSTATUS (status) == 77)
    {
      test_skip (sentence, "this kernel makes no user namespace for us");
      return;
    }
  CHECK (status == 0);
  test_done (sentence);
}

/* One process too many for the ledger is refused, each time, and no other is harmed; with a slot that falls free it has its budget. */
static int
crowded_body (void)
{
  int fd = open (ledger_path, O_RDWR);
  struct flock lock = { .l_type = F_WRLCK, .l_start = (off_t) spark_ledger_slot_offset (0), .l_len = SPARK_LEDGER_SLOTS * SPARK_LEDGER_SLOT_BYTES };
  CUdeviceptr pointer = 7;
  size_t free_bytes = 0, total_bytes = 0;
  /* The parent's own slot is locked already: from the second on. */
  lock.l_start += SPARK_LEDGER_SLOT_BYTES, lock.l_len -= SPARK_LEDGER_SLOT_BYTES;
  if (fcntl (fd, F_OFD_SETLK, &lock) != 0)
    return 1;
  if (take (&pointer, 512) != 2 || pointer != 7 || take (&pointer, 512) != 2)
    return 2;
  if (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) != 0 || total_bytes != BUDGET)
    return 3;
  close (fd);
  return take (&pointer, 512) == 0 && look ().used_bytes == 1024 && give (pointer) == 0 ? 0 : 4;
}

static void
test_crowded (void)
{
  CUdeviceptr pointer = 0;
  CHECK (take (&pointer, 512) == 0 && child_agrees (crowded_body) && give (pointer) == 0);
  truth->held_bytes = 0;
  test_done ("a process for which the ledger has no slot left gets error 2, until one falls free");
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  truth = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cuda = dlopen (in_build ("test/fuzz/plain/libcuda.so.1"), RTLD_NOW);
  if (cuda == NULL || truth == MAP_FAILED)
    return 1;
  wrong = (_Atomic long *) (truth + 1);
  filled = wrong + 1;
  truth->limit_bytes = BUDGET;
  CALL (fuzz_driver_begin) (truth, 1, 0);
  take = CALL (cuMemAlloc_v2);
  give = CALL (cuMemFree_v2);
  CHECK (is_ours ((void *) take) && is_ours ((void *) give));
  test_race ();
  test_fill ();
  test_killed ();
  test_exec ();
  test_spawn ();
  test_threaded_fork ();
  test_namespaces ();
  test_crowded ();
  return check_done ();
}

/* Programs that take memory in different ways, for test/bench/guard.js. Each joins the given cgroups, says who it is, and
   begins when the board says so. None takes more than CAP bytes, and an alarm ends what a dead rig left behind.
     load NAME BOARD CAP MODE [NUMBER] [cgroup.procs …]
   NAME is what ps shows; MODE: init, hold, hold-huge, huge, huge-kept (a process outside keeps the pages NUMBER ms longer),
   anon, growers (NUMBER of them), bomb (at most NUMBER processes), cache FILE. */
#include "test/bench/guard/board.h"
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { HUGE = 2 << 20, SMALL_STEP = 256 << 10, CACHE_STEP = 64 << 20, HELD_BEAT_US = 500, GROUP_BEAT_US = 20000 };
enum { LIFE_SECONDS = 40 };

static struct board *board;
static uint64_t cap_bytes;

static void
fail (const char *what)
{
  perror (what);
  exit (1);
}

/* May one more step be taken? */
static bool
claim (uint64_t bytes)
{
  if (atomic_fetch_add (&board->taken_bytes, bytes) + bytes <= cap_bytes)
    return true;
  atomic_fetch_sub (&board->taken_bytes, bytes);
  return false;
}

static void
beat (uint64_t step_ns)
{
  atomic_store (&board->step_ns, step_ns);
  atomic_store (&board->beat_ns, board_now_ns ());
}

/* At its cap: still alive, and seen to be. */
static _Noreturn void
hold_on (useconds_t every_us)
{
  for (;;)
    {
      usleep (every_us);
      beat (0);
    }
}

static void
touch (char *memory, size_t bytes, size_t page)
{
  for (size_t at = 0; at < bytes; at += page)
    ((volatile char *) memory)[at] = 1;
}

/* Private memory in steps, without end but the cap. How long a step of one among many takes tells `step_clock`, its processor's time:
   while it waits for a core behind the others it takes nothing. */
static _Noreturn void
take_anon (size_t step, bool huge, useconds_t beat_us, clockid_t step_clock)
{
  char *memory = mmap (NULL, cap_bytes + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    fail ("mmap");
  memory += HUGE - (uintptr_t) memory % HUGE;
  madvise (memory, cap_bytes - HUGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  for (size_t at = 0; at + step + HUGE < cap_bytes && claim (step); at += step)
    {
      uint64_t began_ns = board_clock_ns (step_clock);
      touch (memory + at, step, 4096);
      beat (board_clock_ns (step_clock) - began_ns);
    }
  hold_on (beat_us);
}

/* Page by page, one mapping each, so that the kernel's promise does not come before the page: like a driver. */
static _Noreturn void
take_huge (void)
{
  while (claim (HUGE))
    {
      uint64_t began_ns = board_now_ns ();
      char *page = mmap (NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
      if (page == MAP_FAILED)
        break;
      *page = 1;
      beat (board_now_ns () - began_ns);
    }
  hold_on (HELD_BEAT_US);
}

static _Noreturn void
take_shared_huge (int fd)
{
  for (off_t at = 0; claim (HUGE); at += HUGE)
    {
      uint64_t began_ns = board_now_ns ();
      if (ftruncate (fd, at + HUGE) != 0)
        break;
      char *page = mmap (NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
      if (page == MAP_FAILED)
        break;
      *page = 1;
      beat (board_now_ns () - began_ns);
    }
  hold_on (HELD_BEAT_US);
}

static _Noreturn void
grow_together (unsigned count)
{
  for (unsigned i = 1; i < count; i++)
    if (fork () == 0)
      break;
  take_anon (SMALL_STEP, false, GROUP_BEAT_US, CLOCK_THREAD_CPUTIME_ID);
}

/* Every process has two children and takes memory itself, until there are enough of them. */
static _Noreturn void
bomb (unsigned most)
{
  signal (SIGCHLD, SIG_IGN);
  atomic_fetch_add (&board->members, 1);
  for (int children = 0; children < 2; children++)
    if (atomic_fetch_add (&board->members, 1) < most && fork () == 0)
      children = -1;
  take_anon (SMALL_STEP, false, GROUP_BEAT_US, CLOCK_THREAD_CPUTIME_ID);
}

static void
join (char **cgroups)
{
  for (; *cgroups != NULL; cgroups++)
    {
      int fd = open (*cgroups, O_WRONLY | O_CLOEXEC);
      if (fd < 0 || write (fd, "0\n", 2) != 2)
        fail (*cgroups);
      close (fd);
    }
}

/* "ready", the pid as /proc has it (the host's: this /proc is not of our pid namespace) and as we see it ourselves. */
static void
say_ready (void)
{
  char self[32];
  ssize_t length = readlink ("/proc/self", self, sizeof self - 1);

  self[length > 0 ? length : 0] = '\0';
  printf ("ready %s %d\n", self, (int) getpid ());
  fflush (stdout);
}

/* Clean page cache: the file is read in, page tables of our own are not kept. Says what it read. */
static void
read_cache (const char *file, uint64_t bytes)
{
  int fd = open (file, O_RDONLY | O_CLOEXEC);
  uint64_t done = 0;

  for (; fd >= 0 && done < bytes; done += CACHE_STEP)
    {
      void *part = mmap (NULL, CACHE_STEP, PROT_READ, MAP_SHARED, fd, (off_t) done);
      if (part == MAP_FAILED || madvise (part, CACHE_STEP, MADV_POPULATE_READ) != 0)
        break;
      munmap (part, CACHE_STEP);
    }
  printf ("cached %llu\n", (unsigned long long) done);
  fflush (stdout);
}

static _Noreturn void
hold (bool huge)
{
  for (uint64_t taken = 0; huge && taken < cap_bytes; taken += HUGE)
    {
      char *page = mmap (NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
      if (page == MAP_FAILED)
        break;
      *page = 1;
    }
  char *memory = huge ? NULL : mmap (NULL, cap_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED)
    fail ("mmap");
  say_ready ();
  for (;;)
    pause ();
}

/* The process that stands for the kernel: it alone knows that the memory comes back late. */
static int
keep (int fd, unsigned late_ms)
{
  int ready[2];

  if (pipe (ready) != 0)
    fail ("pipe");
  pid_t child = fork ();
  if (child == 0)
    return fd;
  prctl (PR_SET_NAME, "kernel");
  close (STDOUT_FILENO);
  waitpid (child, NULL, 0);
  usleep (late_ms * 1000);
  exit (0);
}

int
main (int argc, char **argv)
{
  if (argc < 5)
    return 2;
  const char *mode = argv[4];
  bool numbered = strcmp (mode, "huge-kept") == 0 || strcmp (mode, "growers") == 0 || strcmp (mode, "bomb") == 0
                  || strcmp (mode, "cache") == 0;
  char **cgroups = argv + 5 + numbered;
  unsigned number = numbered && argc > 5 ? (unsigned) strtoul (argv[5], NULL, 10) : 0;

  prctl (PR_SET_NAME, argv[1]);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  cap_bytes = strtoull (argv[3], NULL, 10);
  if (strcmp (mode, "init") == 0)
    {
      signal (SIGCHLD, SIG_IGN); /* nobody waits for what is given to us: no zombies */
      say_ready ();
      for (;;)
        pause ();
    }
  if (strncmp (mode, "hold", 4) == 0)
    {
      join (cgroups);
      hold (strcmp (mode, "hold-huge") == 0);
    }
  board = board_open (argv[2]);
  if (board == NULL)
    fail (argv[2]);
  alarm (LIFE_SECONDS);
  int kept_fd = strcmp (mode, "huge-kept") == 0 ? keep (memfd_create ("kept", MFD_CLOEXEC | MFD_HUGETLB), number) : -1;
  join (cgroups);
  if (strcmp (mode, "cache") == 0)
    {
      read_cache (argv[5], cap_bytes);
      return 0;
    }
  say_ready ();
  while (atomic_load (&board->go) == 0)
    usleep (200);
  if (strcmp (mode, "huge") == 0)
    take_huge ();
  if (kept_fd >= 0)
    take_shared_huge (kept_fd);
  if (strcmp (mode, "anon") == 0)
    take_anon (HUGE, true, HELD_BEAT_US, CLOCK_MONOTONIC);
  if (strcmp (mode, "growers") == 0)
    grow_together (number);
  if (strcmp (mode, "bomb") == 0)
    bomb (number);
  fprintf (stderr, "load: unknown mode %s\n", mode);
  return 2;
}

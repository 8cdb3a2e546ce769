/* The shim where there is little room: small stacks, signal handlers, no descriptors, short files, forks at the wrong moment, many who
   only ask. Each was a crash, a hang or a wrong figure once. */
#include "harness.h"
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>

#define BUDGET (1 * GIB)

static void *cuda;
static CUcontext context;
CUresult cuCtxSetCurrent (CUcontext context);
#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static uint64_t
total_by_sysinfo (void)
{
  struct sysinfo info = { 0 };
  return sysinfo (&info) == 0 ? (uint64_t) info.totalram * info.mem_unit : 0;
}

static uint64_t
total_by_meminfo (void)
{
  char text[256] = "";
  int fd = open ("/proc/meminfo", O_RDONLY);
  ssize_t got = fd >= 0 ? read (fd, text, sizeof text - 1) : -1;
  close (fd);
  return got > 0 ? strtoull (text + strlen ("MemTotal:"), NULL, 10) * 1024 : 0;
}

/* All that a program may ask on a small stack; the test's own calls take less than 1 KiB. */
static void *
ask_everything (void *right)
{
  CUdeviceptr pointer = 0;
  size_t free_bytes = 0, total_bytes = 0;
  bool *answer = right;
  *answer = CALL (cuCtxSetCurrent) (context) == 0 && total_by_sysinfo () == BUDGET && sysconf (_SC_AVPHYS_PAGES) > 0 && total_by_meminfo () == BUDGET
            && CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0 && total_bytes == BUDGET
            && CALL (cuMemAlloc_v2) (&pointer, 4 * MIB) == 0 && CALL (cuMemFree_v2) (pointer) == 0;
  return NULL;
}

static void
test_small_stacks (void)
{
  pthread_attr_t attributes;
  pthread_t thread;
  bool right = false;
  CHECK (pthread_attr_init (&attributes) == 0 && pthread_attr_setstacksize (&attributes, 16384) == 0); /* PTHREAD_STACK_MIN */
  CHECK (pthread_create (&thread, &attributes, ask_everything, &right) == 0 && pthread_join (thread, NULL) == 0 && right);
  test_done ("a thread with the smallest stack there is");
}

/* ---- signal handlers ---- */

static _Atomic long handled, wrong_in_handler;

static void
ask_in_handler (int signal)
{
  (void) signal;
  int saved_errno = errno;
  /* Right in the middle of our own joining it may be the machine that answers. */
  uint64_t total = handled % 2 == 0 ? total_by_meminfo () : total_by_sysinfo ();
  wrong_in_handler += total != BUDGET;
  handled++;
  errno = saved_errno;
}

static void
test_handlers (void)
{
  struct sigaction action = { .sa_handler = ask_in_handler, .sa_flags = SA_RESTART };
  struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { { 0, 0 }, { 0, 0 } };
  size_t free_bytes = 0, total_bytes = 0;
  CHECK (sigaction (SIGALRM, &action, NULL) == 0 && setitimer (ITIMER_REAL, &often, NULL) == 0);
  for (long i = 0; handled < 2000; i++)
    if (i % 2 == 0)
      CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0);
    else
      CHECK (total_by_sysinfo () == BUDGET);
  CHECK (setitimer (ITIMER_REAL, &never, NULL) == 0 && wrong_in_handler == 0);
  test_done ("2,000 signal handlers that ask while the program is asking");
}

/* ---- no descriptors, short files ---- */

static void
test_no_descriptors (void)
{
  struct rlimit limit, none;
  CHECK (getrlimit (RLIMIT_NOFILE, &limit) == 0);
  struct spark_error error = { 0 };
  /* A reserve over all that any machine has: nothing fits, and that has to hold without descriptors too. */
  CHECK (spark_ledger_create (ledger_path, BUDGET, (uint64_t) 1 << 46, 0, &error) == 0);
  CUdeviceptr pointer = 7;
  none = limit;
  none.rlim_cur = 0;
  size_t free_bytes = 1, total_bytes = 0;
  CHECK (setrlimit (RLIMIT_NOFILE, &none) == 0);
  CUresult told = CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes), taken = CALL (cuMemAlloc_v2) (&pointer, 2 * MIB);
  CHECK (setrlimit (RLIMIT_NOFILE, &limit) == 0);
  CHECK (told == 0 && free_bytes == 0 && total_bytes == BUDGET && taken == 2 && pointer == 7);
  make_ledger (BUDGET);
  test_done ("with no descriptor left the host's reserve is still kept");
}

static void
test_short_files (void)
{
  fflush (stdout);
  pid_t child = fork ();
  if (child == 0)
    {
      struct rlimit none = { 0, 0 };
      setrlimit (RLIMIT_FSIZE, &none);
      int fd = open ("/proc/meminfo", O_RDONLY);
      char byte;
      _exit (fd >= 0 && read (fd, &byte, 1) == 1 && total_by_sysinfo () == BUDGET ? 0 : 1);
    }
  int status = -1;
  CHECK (waitpid (child, &status, 0) == child && status == 0);
  test_done ("where no file may be written, opening /proc/meminfo ends nobody");
}

/* ---- processes ---- */

/* Children that have only asked hold no place of those who use the driver. */
static void
test_askers (void)
{
  enum { ASKERS = 40 };
  int ready[2];
  char byte;
  CHECK (pipe (ready) == 0);
  pid_t askers[ASKERS];
  fflush (stdout);
  for (int i = 0; i < ASKERS; i++)
    if ((askers[i] = fork ()) == 0)
      {
        byte = (char) (sysconf (_SC_AVPHYS_PAGES) > 0);
        if (write (ready[1], &byte, 1) == 1)
          pause ();
        _exit (0);
      }
  for (int i = 0; i < ASKERS; i++)
    CHECK (read (ready[0], &byte, 1) == 1 && byte == 1);
  /* The slots after the first few, where this program and those of the other tests are: docs/formats.md section 7. */
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 4096 + 64 * 8, .l_len = 64 * ASKERS };
  int fd = open (ledger_path, O_RDWR);
  CHECK (fcntl (fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
  close (fd);
  for (int i = 0; i < ASKERS; i++)
    {
      kill (askers[i], SIGKILL);
      waitpid (askers[i], NULL, 0);
    }
  close (ready[0]);
  close (ready[1]);
  test_done ("who only asks how much memory there is takes no place in the ledger");
}

static _Atomic bool forking;
static pid_t forked[64];
static _Atomic int forked_count;

static void *
fork_all_the_time (void *unused)
{
  while (forking && forked_count < 64)
    {
      pid_t pid = fork ();
      if (pid == 0)
        {
          pause ();
          _exit (0);
        }
      forked[forked_count++] = pid;
    }
  return unused;
}

/* A process takes memory while its other thread forks; it dies, its children live. */
__attribute__ ((noreturn)) static void
take_and_report (int to)
{
  pthread_t thread;
  forking = true;
  pthread_create (&thread, NULL, fork_all_the_time, NULL);
  CUdeviceptr pointer = 0;
  cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  ((CUresult (*) (unsigned)) dlsym (cuda, "cuInit")) (0);
  simulated_context (cuda);
  CUresult result = CALL (cuMemAlloc_v2) (&pointer, 64 * MIB);
  forking = false;
  pthread_join (thread, NULL);
  int count = forked_count;
  if (write (to, &result, sizeof result) == sizeof result && write (to, &count, sizeof count) == sizeof count
      && write (to, forked, sizeof forked) == sizeof forked)
    pause ();
  _exit (0);
}

static void
test_fork_while_joining (char **argv)
{
  int kept = 0;
  for (int try = 0; try < 40; try++)
    {
      int report[2];
      CHECK (pipe (report) == 0);
      char number[16];
      snprintf (number, sizeof number, "%d", report[1]);
      fflush (stdout);
      pid_t pid = fork ();
      if (pid == 0)
        {
          /* A fresh program: it has not joined yet. */
          execl ("/proc/self/exe", argv[0], "takes", number, (char *) NULL);
          _exit (1);
        }
      close (report[1]);
      CUresult result = 1;
      int count = 0;
      pid_t children[64];
      CHECK (read (report[0], &result, sizeof result) == sizeof result && result == 0);
      CHECK (read (report[0], &count, sizeof count) == sizeof count && read (report[0], children, sizeof children) == sizeof children);
      CHECK (kill (pid, SIGKILL) == 0 && waitpid (pid, NULL, 0) == pid);
      size_t free_bytes = 0, total_bytes = 0;
      CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0);
      kept += free_bytes != BUDGET;
      for (int i = 0; i < count; i++)
        kill (children[i], SIGKILL);
      close (report[0]);
    }
  CHECK (kept == 0);
  test_done ("a child forked while its parent joins does not keep what the dead parent held");
}

static void
test_full_names (void)
{
  void *function = NULL;
  int status = 0;
  CHECK (CALL (cuGetProcAddress_v2) ("cuMemAlloc_v2", &function, 12000, 0, &status) == 0 && is_ours (function));
  CHECK (CALL (cuGetProcAddress_v2) ("cuMemAllocFromPoolAsync_ptsz", &function, 12000, 0, &status) != 0 || is_ours (function));
  test_done ("cuGetProcAddress of a whole exported name is no way around");
}

int
main (int argc, char **argv)
{
  if (argc > 2 && strcmp (argv[1], "takes") == 0)
    {
      take_and_report (atoi (argv[2]));
    }
  begin_under_shim (argv, BUDGET);
  setenv ("LD_LIBRARY_PATH", in_build ("sim"), 1);
  cuda = start_simulator ("2g");
  if (cuda == NULL || (context = simulated_context (cuda)) == NULL)
    return 1;
  test_small_stacks ();
  test_handlers ();
  test_no_descriptors ();
  test_short_files ();
  test_askers ();
  test_fork_while_joining (argv);
  test_full_names ();
  return check_done ();
}

/* The guard under a parent of its own, as on hosts without systemd: stopped, killed, left alone. */
#include "common/cleanup.h"
#include "common/guard_presence.h"
#include "guard/guard.h"
#include "guard/patience.h"
#include "guard/supervise.h"
#include "test/check.h"
#include "test/guard/directories.h"
#include "test/guard/stand_in.h"
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

enum { PATIENCE_MS = 20000 };

static char stderr_path[64];

static int
parse (const char *first, const char *second, struct guard_options *options, struct spark_error *error)
{
  const char *argv[] = { "spark-guard", "--run-dir", run_dir, "--log-dir", log_dir, "--reserve-bytes", "536870912", "--meminfo",
                         meminfo_path, "--drop-caches", "/dev/null", "--allow-process-groups", "--cgroup-root", directory, first,
                         second, NULL };
  int argc = (int) (sizeof argv / sizeof argv[0]) - 1 - (first == NULL) - (second == NULL);

  return guard_options_parse (argc, (char **) (uintptr_t) argv, options, error);
}

/* --- signals ------------------------------------------------------------------------------------------------------- */

/* A guard that did not come is -1, which to kill(2) is everybody on this machine. */
static void
send_signal (pid_t pid, int number)
{
  if (pid <= 1)
    {
      printf ("Bail out! There is no process for signal %d\n", number);
      exit (1);
    }
  kill (pid, number);
}

static bool
lives (pid_t pid)
{
  return pid > 1 && (kill (pid, 0) == 0 || errno != ESRCH);
}

/* --- who runs ------------------------------------------------------------------------------------------------------ */

static pid_t
start (bool supervised)
{
  struct guard_options options;
  struct spark_error error;

  if (parse (supervised ? "--supervise" : NULL, supervised ? "--supervise-timeout-ms=600" : NULL, &options, &error) != 0)
    {
      printf ("Bail out! %s\n", error.text);
      exit (1);
    }
  pid_t test = getpid (), pid = fork ();
  if (pid != 0)
    return pid;
  prctl (PR_SET_PDEATHSIG, SIGTERM);
  int fd = open (stderr_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (getppid () != test || fd < 0 || dup2 (fd, STDERR_FILENO) < 0)
    _exit (1);
  close (fd);
  _exit (supervised ? guard_supervise (&options, guard_run) : guard_run (&options));
}

/* The guard that holds the lock, once it is another one than `before`. */
static pid_t
guard_other_than (pid_t before)
{
  char path[80], text[1024];

  snprintf (path, sizeof path, "%s/guard.state", run_dir);
  for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 5)
    {
      cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
      const char *line = fd >= 0 && proc_file_read (fd, text, sizeof text, 0) > 0 ? strstr (text, "pid=") : NULL;
      pid_t pid = line != NULL ? atoi (line + 4) : 0;
      if (pid > 0 && pid != before && lives (pid) && spark_guard_presence (run_dir).running)
        return pid;
      poll (NULL, 0, 5);
    }
  return -1;
}

static bool
said (const char *part)
{
  static char text[1 << 16];

  for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 5)
    {
      cleanup_close int fd = open (stderr_path, O_RDONLY | O_CLOEXEC);
      if (fd >= 0 && proc_file_read (fd, text, sizeof text, 0) > 0 && strstr (text, part) != NULL)
        return true;
      poll (NULL, 0, 5);
    }
  printf ("# never said: %s\n%s", part, text);
  return false;
}

static bool
ends_with (pid_t pid, int exit_code)
{
  int status = -1;
  pid_t ended = 0;

  for (int waited_ms = 0; waited_ms < PATIENCE_MS && ended == 0; waited_ms += 5)
    {
      ended = waitpid (pid, &status, WNOHANG);
      poll (NULL, 0, 5);
    }
  return ended == pid && WIFEXITED (status) && WEXITSTATUS (status) == exit_code;
}

static bool
ends_on_sigterm (pid_t pid)
{
  send_signal (pid, SIGTERM);
  return ends_with (pid, 0);
}

/* The proof that the host is guarded: who goes over its budget dies for it. */
static bool
guarded (const char *id)
{
  struct child greedy = child_start (20);
  struct spark_container c = container_of (id, &greedy, 8 * MIB);
  struct spark_error error;
  char path[80];

  snprintf (path, sizeof path, "%s/containers", run_dir);
  cleanup_close int registry_fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (spark_registry_write (registry_fd, &c, &error) != 0)
    printf ("# %s\n", error.text);
  poll (NULL, 0, 300);
  set_available (300);
  bool killed = child_was_killed (&greedy);
  set_available (4000);
  close (greedy.stderr_fd);
  return killed;
}

/* What a process has open, but for what it opens in passing. */
static unsigned
descriptors (pid_t pid)
{
  unsigned least = ~0U;
  char path[64];

  snprintf (path, sizeof path, "/proc/%d/fd", (int) pid);
  for (int tries = 0; tries < 50; tries++)
    {
      unsigned count = 0;
      cleanup_dir DIR *dir = opendir (path);
      while (dir != NULL && readdir (dir) != NULL)
        count++;
      least = count < least ? count : least;
      poll (NULL, 0, 2);
    }
  return least;
}

/* --- time ---------------------------------------------------------------------------------------------------------- */

static void
test_time (void)
{
  struct fair_clock clock = { .seen_ns = 5 * NS_PER_SECOND, .tick_ns = NS_PER_SECOND };
  const unsigned pauses[] = { 1, 2, 4, 8, 16, 30, 30 };
  uint64_t last_ns = 0;

  fair_clock_look_at (&clock, 6 * NS_PER_SECOND);
  CHECK (clock.now_ns == NS_PER_SECOND);
  fair_clock_look_at (&clock, 1000 * NS_PER_SECOND);
  CHECK (clock.now_ns == 3 * NS_PER_SECOND);
  fair_clock_look_at (&clock, 1001 * NS_PER_SECOND);
  CHECK (clock.now_ns == 4 * NS_PER_SECOND);
  test_done ("time in which the parent was not let run counts as two ticks, however long it was");

  for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++)
    CHECK (patience_pause_ns (0, &last_ns) == pauses[i] * NS_PER_SECOND);
  CHECK (patience_pause_ns (60 * NS_PER_SECOND, &last_ns) == NS_PER_SECOND);
  test_done ("a guard that ends at once is started again ever more seldom, one that lived a minute after a second");
}

/* --- the command line ---------------------------------------------------------------------------------------------- */

static void
test_options (void)
{
  struct guard_options options;
  struct spark_error error;

  CHECK (parse ("--supervise", NULL, &options, &error) == 0 && options.supervise && options.watchdog_ms == 10000);
  CHECK (parse ("--supervise", "--supervise-timeout-ms=299", &options, &error) != 0 && strstr (error.text, "from 300 to") != NULL);
  CHECK (parse ("--supervise-timeout-ms=1000", NULL, &options, &error) != 0 && strstr (error.text, "without --supervise") != NULL);
  setenv ("NOTIFY_SOCKET", "@manager", 1);
  CHECK (parse ("--supervise", NULL, &options, &error) != 0 && strstr (error.text, "NOTIFY_SOCKET is set") != NULL);
  unsetenv ("NOTIFY_SOCKET");
  test_done ("--supervise is refused under a service manager, and its time where it is too short or says nothing");
}

/* --- the guard dies or hangs --------------------------------------------------------------------------------------- */

static pid_t
test_replaced (pid_t supervisor, pid_t guard, unsigned plain)
{
  unsigned parents = descriptors (supervisor);

  CHECK (descriptors (guard) == plain + 1);
  send_signal (guard, SIGSTOP);
  pid_t second = guard_other_than (guard);
  CHECK (second > 0 && said ("did not answer for 600 ms: it is killed and started again") && guarded ("stopped"));
  test_done ("a guard that was stopped is replaced, and the new one kills who is over its budget");

  send_signal (second, SIGKILL);
  pid_t third = guard_other_than (second);
  CHECK (third > 0 && said ("was ended by signal 9: it is started again in 1 s") && guarded ("killed"));
  test_done ("a guard that was killed is replaced");

  /* the voice was started in between: one socket */
  CHECK (descriptors (third) == plain + 1 && descriptors (supervisor) == parents + 1);
  test_done ("a guard has one descriptor more than without a parent, also the third one");
  return third;
}

static void
test_slow_machine (pid_t supervisor, pid_t guard)
{
  send_signal (supervisor, SIGSTOP);
  poll (NULL, 0, 900);
  send_signal (guard, SIGSTOP);
  poll (NULL, 0, 900);
  send_signal (guard, SIGCONT);
  send_signal (supervisor, SIGCONT);
  poll (NULL, 0, 300);
  CHECK (lives (guard) && guard_other_than (0) == guard);
  test_done ("a parent that was not let run does not kill the guard for it");
}

/* Who is traced by another one stays, dead, until that one asks: as good as one that hangs in the kernel. */
static pid_t
test_left_behind (pid_t guard)
{
  const char *name = "a guard that does not die is left behind, and a new one guards";

  if (ptrace (PTRACE_SEIZE, guard, NULL, NULL) != 0)
    {
      test_skip (name, "no right to trace");
      return guard;
    }
  send_signal (guard, SIGSTOP);
  CHECK (said ("does not die, it hangs in the kernel"));
  pid_t next = guard_other_than (guard);
  while (waitpid (guard, NULL, __WALL) == guard)
    continue;
  CHECK (next > 0 && guarded ("left-behind"));
  test_done (name);
  return next;
}

/* --- the parent ends ----------------------------------------------------------------------------------------------- */

static void
test_parent_killed (pid_t supervisor, pid_t guard)
{
  send_signal (supervisor, SIGKILL);
  CHECK (waitpid (supervisor, NULL, 0) == supervisor);
  poll (NULL, 0, 1000);
  CHECK (waitpid (guard, NULL, WNOHANG) == 0 && guarded ("orphan"));
  test_done ("a guard whose parent was killed goes on guarding");

  pid_t heir = start (true);
  CHECK (said ("one is started here as soon as that one ends"));
  CHECK (ends_on_sigterm (guard));
  pid_t next = guard_other_than (guard);
  CHECK (next > 0 && guarded ("heir"));
  test_done ("a new parent waits for that guard's end, and guards from then on");

  send_signal (next, SIGSTOP);
  send_signal (heir, SIGTERM);
  CHECK (ends_with (heir, 1) && next > 0 && !lives (next));
  test_done ("a stopped guard does not hold up the end of its parent");
}

int
main (void)
{
  unsetenv ("NOTIFY_SOCKET");
  prctl (PR_SET_CHILD_SUBREAPER, 1); /* a guard whose parent is killed comes to this process */
  directories_make ();
  snprintf (stderr_path, sizeof stderr_path, "%s/stderr", directory);
  test_time ();
  test_options ();

  pid_t plain = start (false);
  unsigned plain_descriptors = descriptors (guard_other_than (0));
  CHECK (ends_on_sigterm (plain));

  pid_t supervisor = start (true), guard = guard_other_than (plain);
  guard = test_replaced (supervisor, guard, plain_descriptors);
  test_slow_machine (supervisor, guard);
  guard = test_left_behind (guard);
  CHECK (ends_on_sigterm (supervisor) && guard > 0 && !lives (guard));
  test_done ("SIGTERM to the parent ends both, with exit code 0");

  supervisor = start (true);
  guard = guard_other_than (guard);
  test_parent_killed (supervisor, guard);
  directories_remove ();
  return check_done ();
}

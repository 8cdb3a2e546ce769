/* What others see of a guard: its state while it lives, its lock once it ends. */
#include "common/guard_presence.h"
#include "test/guard/in_process.h"
#include <sys/file.h>

static void
test_state_removed (void)
{
  char path[80], moved[80];

  snprintf (path, sizeof path, "%s/guard.state", run_dir);
  snprintf (moved, sizeof moved, "%s/elsewhere", run_dir);
  CHECK (unlink (path) == 0);
  guard.housekept_ns = 0;
  steps (1);
  set_available (600);
  steps (3);
  CHECK (guard.soft && spark_guard_presence (run_dir).soft);
  CHECK (rename (path, moved) == 0);
  guard.housekept_ns = 0;
  steps (1);
  CHECK (spark_guard_presence (run_dir).soft);
  set_available (4000);
  steps (3);
  CHECK (!guard.soft && spark_guard_presence (run_dir).running && !spark_guard_presence (run_dir).soft);
  test_done ("a guard.state that was removed or moved away is made anew, and tells of the soft line");
}

/* In a process without the guard's own descriptor: waits until another guard could begin. */
static pid_t
wait_for_lock (uint64_t ns)
{
  char path[80];
  pid_t pid = fork ();

  if (pid != 0)
    return pid;
  close (guard.lock_fd);
  snprintf (path, sizeof path, "%s/guard.lock", run_dir);
  int fd = open (path, O_RDWR | O_CLOEXEC);
  for (uint64_t until_ns = clock_boot_ns () + ns; clock_boot_ns () < until_ns; usleep (2000))
    if (flock (fd, LOCK_EX | LOCK_NB) == 0)
      _exit (0);
  _exit (1);
}

static void
test_stop (void)
{
  pid_t scribe = guard.scribe.helper.pid, waiter = wait_for_lock (NS_PER_SECOND);
  char path[80];
  int status = -1;

  kill (scribe, SIGSTOP);
  guard_stop (&guard);
  waitpid (waiter, &status, 0);
  kill (scribe, SIGCONT);
  waitpid (scribe, NULL, 0);
  CHECK (status == 0);
  snprintf (path, sizeof path, "%s/guard.state", run_dir);
  CHECK (access (path, F_OK) != 0);
  test_done ("a guard that ends gives up its lock at once, though its log process is stuck");
}

int
main (void)
{
  directories_make ();
  guard_begin_or_end (RESERVE_BYTES);
  test_state_removed ();
  test_stop ();
  directories_remove ();
  return check_done ();
}

/* The guard as something that runs for months: its directories go, its log is rotated, its manager wants signs of life. */
#include "test/guard/in_process.h"

#include <sys/socket.h>
#include <sys/un.h>

static int manager_fd;

/* True once an event holds `part`; the scribe gets its time to write it. */
static bool
event_comes (const char *part)
{
  static char text[1 << 16];
  char path[128];

  snprintf (path, sizeof path, "%s/events.jsonl", log_dir);
  for (int waited_ms = 0; waited_ms < 5000; waited_ms += 5)
    {
      cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
      if (fd >= 0 && proc_file_read (fd, text, sizeof text, 0) > 0 && strstr (text, part) != NULL)
        return true;
      poll (NULL, 0, 5);
    }
  return false;
}

/* --- its directories ----------------------------------------------------------------------------------------------- */

static void
test_registry_removed (void)
{
  struct child greedy = child_start (20);
  struct spark_container c = container_of ("again", &greedy, 8 * MIB);
  struct stat status;

  steps (5);
  CHECK (unlinkat (guard.run_fd, "containers", AT_REMOVEDIR) == 0);
  steps (2);
  CHECK (fstatat (guard.run_fd, "containers", &status, 0) == 0 && event_comes ("was made and read anew"));
  register_entry (&c);
  steps (2);
  CHECK (event_comes ("\"type\":\"register\""));
  test_done ("a registry that was removed is made anew, and what is registered then is known");

  /* moved away, and made by somebody else */
  CHECK (renameat (guard.run_fd, "containers", guard.run_fd, "old") == 0 && mkdirat (guard.run_fd, "containers", 0755) == 0);
  steps (2);
  CHECK (event_comes ("\"type\":\"unregister\""));
  register_entry (&c);
  steps (2);
  set_available (300);
  steps (3);
  CHECK (child_was_killed (&greedy));
  test_done ("it guards by a registry that took the place of the old one");
  set_available (4000);
  steps (20);
  close (greedy.stderr_fd);
}

static void
test_run_dir_gone (void)
{
  char moved[80];

  guard.stop = false;
  snprintf (moved, sizeof moved, "%s.moved", run_dir);
  CHECK (rename (run_dir, moved) == 0);
  guard.housekept_ns = 0;
  alarm (30); /* should it go on watching */
  guard_watch (&guard);
  alarm (0);
  CHECK (guard.failed && event_comes ("the run directory was removed or moved away"));
  test_done ("without its run directory it ends and says so, to be started again");
}

/* --- its manager --------------------------------------------------------------------------------------------------- */

static void
manager_open (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  snprintf (address.sun_path, sizeof address.sun_path, "%s/manager", directory);
  manager_fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (manager_fd < 0 || bind (manager_fd, (struct sockaddr *) &address, sizeof address) != 0)
    abort ();
  setenv ("NOTIFY_SOCKET", address.sun_path, 1);
  setenv ("WATCHDOG_USEC", "20000", 1);
}

static unsigned
manager_heard (const char *word)
{
  char said[64];
  unsigned count = 0;

  for (ssize_t length; (length = recv (manager_fd, said, sizeof said - 1, 0)) >= 0;)
    {
      said[length] = '\0';
      count += strncmp (said, word, strlen (word)) == 0;
    }
  return count;
}

static void
test_watching (void)
{
  char path[128], renamed[132];

  CHECK (manager_heard ("READY=1") == 1);
  snprintf (path, sizeof path, "%s/events.jsonl", log_dir);
  snprintf (renamed, sizeof renamed, "%s.1", path);
  CHECK (rename (path, renamed) == 0);
  pid_t parent = getpid (), pid = fork ();
  if (pid == 0)
    {
      kill (parent, SIGHUP);
      usleep (300000);
      kill (parent, SIGTERM);
      _exit (0);
    }
  guard_watch (&guard);
  waitpid (pid, NULL, 0);
  CHECK (!guard.failed && manager_heard ("WATCHDOG=1") >= 2);
  test_done ("its manager hears that it is ready and that it lives; SIGTERM ends it");
  CHECK (access (path, F_OK) == 0);
  report_sentence (&guard.scribe, "warning", NULL, "after the rotation");
  CHECK (event_comes ("after the rotation"));
  test_done ("SIGHUP opens the event log anew");
}

int
main (void)
{
  directories_make ();
  manager_open ();
  guard_begin_or_end (RESERVE_BYTES);
  test_registry_removed ();
  test_watching ();
  test_run_dir_gone ();
  guard_stop (&guard);
  close (manager_fd);
  directories_remove ();
  return check_done ();
}

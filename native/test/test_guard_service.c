/* The guard as something that runs for months: its directories go, its log is rotated, its manager wants signs of life. */
#include "common/cleanup.h"
#include "guard/clock.h"
#include "guard/guard.h"
#include "guard/proc_file.h"
#include "test/check.h"
#include "test/guard/stand_in.h"
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct guard guard;
static char directory[] = "/tmp/spark-guard-service.XXXXXX";
static char run_dir[64], log_dir[64], meminfo_path[64];
static int meminfo_fd, manager_fd;

static void
set_available (uint64_t mib)
{
  char text[128];
  int length = snprintf (text, sizeof text, "MemTotal: 8388608 kB\nMemFree: 0 kB\nMemAvailable: %llu kB\nAnonPages: %llu kB\n",
                         (unsigned long long) mib * 1024, (8192 - (unsigned long long) mib) * 1024);
  if (pwrite (meminfo_fd, text, (size_t) length, 0) != length || ftruncate (meminfo_fd, length) != 0)
    abort ();
}

static void
steps (unsigned count)
{
  for (unsigned i = 0; i < count; i++)
    {
      guard_step (&guard);
      usleep (1200);
    }
}

static void
container_write (const struct spark_container *c)
{
  struct spark_error error;
  if (spark_registry_write (guard.table.registry_fd, c, &error) != 0)
    {
      printf ("# %s\n", error.text);
      abort ();
    }
}

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
  container_write (&c);
  steps (2);
  CHECK (event_comes ("\"type\":\"register\""));
  test_done ("a registry that was removed is made anew, and what is registered then is known");

  /* moved away, and made by somebody else */
  CHECK (renameat (guard.run_fd, "containers", guard.run_fd, "old") == 0 && mkdirat (guard.run_fd, "containers", 0755) == 0);
  steps (2);
  CHECK (event_comes ("\"type\":\"unregister\""));
  container_write (&c);
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
  struct spark_error error;
  struct guard_options options;
  char command[64];

  if (mkdtemp (directory) == NULL)
    abort ();
  snprintf (run_dir, sizeof run_dir, "%s/run", directory);
  snprintf (log_dir, sizeof log_dir, "%s/log", directory);
  snprintf (meminfo_path, sizeof meminfo_path, "%s/meminfo", directory);
  meminfo_fd = open (meminfo_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  set_available (4000);
  manager_open ();
  char *argv[] = { "spark-guard", "--run-dir", run_dir, "--log-dir", log_dir, "--reserve-bytes", "536870912", "--meminfo",
                   meminfo_path, "--drop-caches", "/dev/null", "--allow-process-groups", "--cgroup-root", directory, NULL };
  if (guard_options_parse ((int) (sizeof argv / sizeof argv[0]) - 1, argv, &options, &error) != 0
      || guard_start (&guard, &options, &error) != 0)
    {
      printf ("# %s\n", error.text);
      return 1;
    }
  test_registry_removed ();
  test_watching ();
  test_run_dir_gone ();
  guard_stop (&guard);
  close (meminfo_fd);
  close (manager_fd);
  snprintf (command, sizeof command, "rm -r %s", directory);
  if (system (command) != 0)
    printf ("# %s is left\n", directory);
  return check_done ();
}

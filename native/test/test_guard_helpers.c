/* The guard's child processes: what they hold, what cannot stop them, what they keep. */
#include "common/cleanup.h"
#include "guard/scribe.h"
#include "guard/shrinker.h"
#include "test/check.h"
#include <sys/socket.h>
#include <syslog.h>
#include <stdlib.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { PATIENCE_MS = 5000 };

static char directory[] = "/tmp/spark-guard-helpers.XXXXXX";
static int run_fd;
static struct spark_error error;
static char text[1 << 16];

static const char *
file_text (const char *name)
{
  cleanup_close int fd = openat (run_fd, name, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd >= 0 ? read (fd, text, sizeof text - 1) : 0;

  text[length > 0 ? length : 0] = '\0';
  return text;
}

static bool
file_gets (const char *name, const char *content)
{
  for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms += 5)
    {
      if (strstr (file_text (name), content) != NULL)
        return true;
      poll (NULL, 0, 5);
    }
  return false;
}

static unsigned
tombstones (void)
{
  char path[64];
  unsigned count = 0;

  snprintf (path, sizeof path, "%s/tombstones", directory);
  cleanup_dir DIR *dir = opendir (path);
  for (struct dirent *entry; dir != NULL && (entry = readdir (dir)) != NULL;)
    count += strstr (entry->d_name, ".json") != NULL;
  return count;
}

static unsigned
descriptors_of (pid_t pid)
{
  char path[64];
  unsigned count = 0;

  snprintf (path, sizeof path, "/proc/%d/fd", (int) pid);
  cleanup_dir DIR *dir = opendir (path);
  for (struct dirent *entry; dir != NULL && (entry = readdir (dir)) != NULL;)
    count += entry->d_name[0] != '.';
  return count;
}

static void
test_many_descriptors (void)
{
  struct scribe scribe = { 0 };
  int held[80];

  for (size_t i = 0; i < sizeof held / sizeof held[0]; i++)
    held[i] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK (scribe_start (&scribe, run_fd, run_fd, &error) == 0);
  scribe_event (&scribe, "{\"with\":\"eighty\"}");
  CHECK (file_gets ("events.jsonl", "{\"with\":\"eighty\"}\n"));
  /* stdin, stdout, stderr; socket, run directory, log directory, lock, events */
  CHECK (descriptors_of (scribe.helper.pid) == 8);
  for (size_t i = 0; i < sizeof held / sizeof held[0]; i++)
    close (held[i]);
  scribe_stop (&scribe);
  test_done ("however many files are open, the scribe has its own and no other");
}

static void
test_ordinary_priority (void)
{
  struct scribe scribe = { 0 };
  const struct sched_param high = { .sched_priority = 1 }, none = { 0 };

  if (sched_setscheduler (0, SCHED_FIFO, &high) != 0)
    {
      test_skip ("its child processes are not real-time", "real-time priority is not allowed here");
      return;
    }
  CHECK (scribe_start (&scribe, run_fd, run_fd, &error) == 0);
  sched_setscheduler (0, SCHED_OTHER, &none);
  scribe_event (&scribe, "{\"ordinary\":1}");
  CHECK (file_gets ("events.jsonl", "{\"ordinary\":1}"));
  CHECK (sched_getscheduler (scribe.helper.pid) == SCHED_OTHER);
  scribe_stop (&scribe);
  test_done ("its child processes are not real-time");
}

static void
test_full_stderr (void)
{
  struct scribe scribe = { 0 };
  int full[2], own = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  char line[1001], bytes[4096] = "";

  if (pipe2 (full, O_CLOEXEC) != 0)
    abort ();
  memset (line, 'x', sizeof line - 1);
  line[sizeof line - 1] = '\0';
  dup2 (full[1], STDERR_FILENO);
  CHECK (scribe_start (&scribe, run_fd, run_fd, &error) == 0);
  dup2 (own, STDERR_FILENO);
  for (int i = 0; i < 100; i++)
    scribe_log (&scribe, LOG_INFO, line);
  scribe_event (&scribe, "{\"past\":\"full\"}");
  scribe_tombstone (&scribe, 1, "past-full", "{}");
  CHECK (file_gets ("events.jsonl", "{\"past\":\"full\"}\n") && file_gets ("tombstones/past-full.json", "{}"));
  CHECK (scribe.lost == 0);
  CHECK (read (full[0], bytes, sizeof bytes) == (ssize_t) sizeof bytes && strchr (bytes, '\n') == bytes + 1000);
  kill (scribe.helper.pid, SIGKILL); /* should it wait for that stderr */
  waitpid (scribe.helper.pid, NULL, 0);
  close (scribe.helper.socket_fd);
  helper_stop (&scribe.teller);
  close (full[0]);
  close (full[1]);
  close (own);
  test_done ("a full stderr stops neither events nor tombstones");
}

/* What a log line becomes on a stream that JOURNAL_STREAM names, or not. */
static void
one_line (const char *journal_stream, char *said, size_t size)
{
  struct scribe scribe = { 0 };
  int stream[2], own = fcntl (STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  struct stat status;
  char named[64];

  if (socketpair (AF_UNIX, SOCK_STREAM, 0, stream) != 0 || fstat (stream[1], &status) != 0)
    abort ();
  snprintf (named, sizeof named, "%llu:%llu", (unsigned long long) status.st_dev, (unsigned long long) status.st_ino);
  setenv ("JOURNAL_STREAM", journal_stream != NULL ? journal_stream : named, 1);
  dup2 (stream[1], STDERR_FILENO);
  CHECK (scribe_start (&scribe, run_fd, run_fd, &error) == 0);
  dup2 (own, STDERR_FILENO);
  unsetenv ("JOURNAL_STREAM");
  scribe_log (&scribe, LOG_CRIT, "spark-guard: killed a > b");
  ssize_t length = read (stream[0], said, size - 1);
  said[length > 0 ? length : 0] = '\0';
  scribe_stop (&scribe);
  close (stream[0]);
  close (stream[1]);
  close (own);
}

static void
test_journal (void)
{
  char said[128];

  one_line (NULL, said, sizeof said);
  CHECK_TEXT (said, "<2>spark-guard: killed a > b\n");
  test_done ("where stderr leads to the journal a line has its level");
  one_line ("1:1", said, sizeof said);
  CHECK_TEXT (said, "spark-guard: killed a > b\n");
  one_line ("nonsense", said, sizeof said);
  CHECK_TEXT (said, "spark-guard: killed a > b\n");
  test_done ("and nowhere else");
}

static void
test_shrinker (void)
{
  struct helper shrinker;
  struct scribe scribe = { 0 };
  cleanup_close int drop_caches = openat (run_fd, "drop_caches", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

  CHECK (shrinker_start (&shrinker, drop_caches, &error) == 0 && scribe_start (&scribe, run_fd, run_fd, &error) == 0);
  kill (scribe.helper.pid, SIGSTOP); /* a disk that does not answer */
  CHECK (shrinker_drop_caches (&shrinker) == 0 && file_gets ("drop_caches", "2\n"));
  kill (scribe.helper.pid, SIGCONT);
  scribe_stop (&scribe);
  test_done ("caches are dropped though the scribe is stuck");
  kill (shrinker.pid, SIGKILL);
  for (int waited_ms = 0; waited_ms < PATIENCE_MS && !helper_ended (&shrinker); waited_ms += 5)
    poll (NULL, 0, 5);
  CHECK (helper_ended (&shrinker) && shrinker_drop_caches (&shrinker) != 0);
  test_done ("one that has ended is noticed");
}

static void
test_stuck_log (void)
{
  struct scribe scribe = { 0 };

  CHECK (scribe_start (&scribe, run_fd, run_fd, &error) == 0);
  kill (scribe.helper.pid, SIGSTOP); /* an event log that does not answer */
  scribe_kill (&scribe, 1, "{\"type\":\"kill\"}", false);
  scribe_tombstone (&scribe, 1, "cools-down", "{\"kills\":1}");
  CHECK (file_gets ("tombstones/cools-down.json", "{\"kills\":1}"));
  kill (scribe.helper.pid, SIGCONT);
  scribe_stop (&scribe);
  test_done ("a tombstone, by which a container cools down, does not wait for an event log that is stuck");
}

static void
test_reopen (void)
{
  struct scribe scribe = { 0 };

  CHECK (scribe_start (&scribe, run_fd, run_fd, &error) == 0);
  scribe_event (&scribe, "{\"event\":\"old\"}");
  CHECK (file_gets ("events.jsonl", "\"old\"") && renameat (run_fd, "events.jsonl", run_fd, "events.jsonl.1") == 0);
  scribe_event (&scribe, "{\"event\":\"between\"}");
  scribe_reopen (&scribe);
  scribe_event (&scribe, "{\"event\":\"new\"}");
  CHECK (file_gets ("events.jsonl", "{\"event\":\"new\"}\n") && strstr (text, "between") == NULL);
  CHECK (file_gets ("events.jsonl.1", "between"));
  scribe_stop (&scribe);
  test_done ("a rotated event log is opened anew, and none is lost between");
}

static void
test_tombstones_kept (void)
{
  struct scribe scribe = { 0 };
  char name[64];

  for (int i = 0; i < SCRIBE_TOMBSTONES_KEPT + 5; i++)
    {
      const struct timespec times[] = { { .tv_sec = 1000 + i }, { .tv_sec = 1000 + i } };
      snprintf (name, sizeof name, "tombstones/old-%d.json", i);
      cleanup_close int fd = openat (run_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      futimens (fd, times);
    }
  CHECK (scribe_start (&scribe, run_fd, run_fd, &error) == 0);
  scribe_tombstone (&scribe, 1, "newest", "{}");
  scribe_stop (&scribe); /* waits until all is done */
  CHECK (tombstones () == SCRIBE_TOMBSTONES_KEPT);
  CHECK (faccessat (run_fd, "tombstones/newest.json", F_OK, 0) == 0);
  CHECK (faccessat (run_fd, "tombstones/old-6.json", F_OK, 0) != 0 && faccessat (run_fd, "tombstones/old-104.json", F_OK, 0) == 0);
  test_done ("the newest hundred tombstones are kept");

  snprintf (name, sizeof name, "rm -r %s/tombstones", directory);
  CHECK (scribe_start (&scribe, run_fd, run_fd, &error) == 0 && system (name) == 0);
  scribe_tombstone (&scribe, 1, "after", "{}");
  scribe_stop (&scribe);
  CHECK (tombstones () == 1);
  test_done ("a directory of tombstones that was removed is made anew");
}

int
main (void)
{
  char command[64];

  signal (SIGPIPE, SIG_IGN);
  if (mkdtemp (directory) == NULL)
    abort ();
  run_fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  test_many_descriptors ();
  test_ordinary_priority ();
  test_full_stderr ();
  test_journal ();
  test_shrinker ();
  test_stuck_log ();
  test_reopen ();
  test_tombstones_kept ();
  snprintf (command, sizeof command, "rm -r %s", directory);
  if (system (command) != 0)
    printf ("# %s is left\n", directory);
  return check_done ();
}

/* How long a container that the guard killed stays away. */
#include "common/guard_presence.h"
#include "runtime/cooldown.h"
#include "test/check.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C (1000000000)

static char root[64] = "/tmp/spark-cooldown-XXXXXX";

static void
put (const char *id, const char *text)
{
  char path[160];
  snprintf (path, sizeof path, "%s/tombstones/%s.json", root, id);
  FILE *file = fopen (path, "w");
  CHECK (file != NULL && fputs (text, file) >= 0 && fclose (file) == 0);
}

static void
put_kills (unsigned kills, uint64_t killed_ns)
{
  char text[160];
  snprintf (text, sizeof text, "{\"schemaVersion\":1,\"id\":\"c1\",\"kills\":%u,\"killedBootNs\":%llu}\n", kills, (unsigned long long) killed_ns);
  put ("c1", text);
}

static struct spark_cooldown
at (uint64_t now_ns)
{
  return spark_cooldown_of (root, "c1", now_ns);
}

static void
test_times (void)
{
  static const struct {
    unsigned kills;
    uint64_t seconds;
  } rows[] = { { 1, 5 }, { 2, 10 }, { 3, 20 }, { 4, 40 }, { 7, 300 }, { 4000000000u, 300 } };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    {
      put_kills (rows[i].kills, 1000 * SECOND);
      struct spark_cooldown now = at (1000 * SECOND), later = at (1000 * SECOND + rows[i].seconds * SECOND);
      CHECK (now.kills == rows[i].kills && now.left_ns == rows[i].seconds * SECOND);
      CHECK (later.kills == rows[i].kills && later.left_ns == 0);
      CHECK (at (1600 * SECOND).kills == 0 && at (1600 * SECOND - 1).kills == rows[i].kills);
    }
  test_done ("5 s after the first kill, twice as long after each further one, five minutes at most; after ten minutes all is forgotten");
  CHECK (at (999 * SECOND).kills == 0 && at (999 * SECOND).left_ns == 0);
  test_done ("a kill of another boot holds nobody up");
}

static void
test_bad_tombstones (void)
{
  static const char *const texts[] = { "", "{", "[]", "{}", "{\"kills\":3}", "{\"kills\":-1,\"killedBootNs\":1}", "{\"kills\":\"3\",\"killedBootNs\":1}",
                                       "{\"kills\":3,\"killedBootNs\":99999999999999999999999}", "{\"kills\":99999999999,\"killedBootNs\":1}" };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    {
      put ("c1", texts[i]);
      struct spark_cooldown none = at (2 * SECOND);
      CHECK (none.kills == 0 && none.left_ns == 0);
    }
  char path[160];
  snprintf (path, sizeof path, "%s/tombstones/c1.json", root);
  CHECK (unlink (path) == 0 && at (2 * SECOND).kills == 0 && mkfifo (path, 0600) == 0 && at (2 * SECOND).kills == 0);
  CHECK (unlink (path) == 0 && symlink ("/etc/passwd", path) == 0 && at (2 * SECOND).kills == 0 && unlink (path) == 0);
  CHECK (spark_cooldown_of (root, "../c1", SECOND).kills == 0);
  test_done ("what is no tombstone holds nobody up: broken, of another kind, a fifo, a link, a strange id");
}

static void
test_pass (void)
{
  struct spark_plan plan = { 0 };
  struct spark_error error = { 0 };
  struct timespec now;
  plan.run_dir = root;
  CHECK (clock_gettime (CLOCK_BOOTTIME, &now) == 0);
  uint64_t now_ns = (uint64_t) now.tv_sec * SECOND + (uint64_t) now.tv_nsec;
  CHECK (spark_cooldown_pass (&plan, "c1", &error) == 0 && at (now_ns).kills == 0);
  put_kills (2, now_ns - 10 * SECOND); /* just over */
  CHECK (spark_cooldown_pass (&plan, "c1", &error) == 0 && at (now_ns).kills == 2);
  put_kills (5, now_ns);
  CHECK (spark_cooldown_pass (&plan, "c1", &error) == -1 && at (now_ns).kills == 5);
  CHECK (strstr (error.text, "killed this container 5 times in a row") != NULL && strstr (error.text, "--budget") != NULL);
  test_done ("over: starts; long: refused with the number of kills and what to do");
}

static void
state_write (int soft)
{
  char path[160];
  snprintf (path, sizeof path, "%s/guard.state", root);
  FILE *file = fopen (path, "w");
  CHECK (file != NULL && fprintf (file, "version=1\npid=1\nready=1\nsoft=%d\n", soft) > 0);
  if (file != NULL)
    fclose (file);
}

/* What the dead container held comes back late: until then the host is short of memory for its sake. */
static void
test_short_of_memory (void)
{
  struct spark_plan plan = { .run_dir = root };
  struct spark_error error = { 0 };
  struct timespec now;
  char path[160];

  snprintf (path, sizeof path, "%s/guard.lock", root);
  int lock_fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK (lock_fd >= 0 && flock (lock_fd, LOCK_EX | LOCK_NB) == 0);
  state_write (1);
  CHECK (spark_guard_presence (root).soft);
  CHECK (spark_cooldown_pass (&plan, "never-killed", &error) == 0 && spark_guard_presence (root).soft);
  test_done ("one that was never killed is held up by no shortage here");

  CHECK (clock_gettime (CLOCK_BOOTTIME, &now) == 0);
  put_kills (1, (uint64_t) now.tv_sec * SECOND - 10 * SECOND);
  pid_t pid = fork ();
  if (pid == 0)
    {
      close (lock_fd);
      usleep (500000);
      state_write (0);
      _exit (0);
    }
  CHECK (spark_cooldown_pass (&plan, "c1", &error) == 0 && !spark_guard_presence (root).soft);
  CHECK (waitpid (pid, NULL, 0) == pid);
  test_done ("one that was killed waits until its memory is back");
  close (lock_fd);
}

int
main (void)
{
  char path[160];
  if (mkdtemp (root) == NULL)
    return 1;
  snprintf (path, sizeof path, "%s/tombstones", root);
  CHECK (mkdir (path, 0700) == 0);
  test_times ();
  test_bad_tombstones ();
  test_pass ();
  test_short_of_memory ();
  snprintf (path, sizeof path, "rm -r '%s'", root);
  CHECK (system (path) == 0);
  return check_done ();
}

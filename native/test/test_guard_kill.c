/* Containers whose processes are not all where they were registered. On real cgroups; needs root. */
#include "common/cleanup.h"
#include "guard/cgroup_pids.h"
#include "guard/clock.h"
#include "guard/kill.h"
#include "test/check.h"
#include "test/guard/stand_in.h"
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

static const struct entry_place place = { .proc_dir = "/proc", .cgroup_root = "/sys/fs/cgroup" };
static const char *const unified[] = { "/sys/fs/cgroup/unified", "/sys/fs/cgroup", NULL };
static const char *const freezer[] = { "/sys/fs/cgroup/freezer", NULL };

/* A cgroup of our own below the first of these where one has `file`; false where there is none. */
static bool
cgroup_make (char path[192], const char *const *roots, const char *file)
{
  char probe[256];

  for (; *roots != NULL; roots++)
    {
      snprintf (path, 192, "%s/spark-test-%d", *roots, (int) getpid ());
      if (mkdir (path, 0755) != 0)
        continue;
      snprintf (probe, sizeof probe, "%s/%s", path, file);
      if (access (probe, W_OK) == 0)
        return true;
      rmdir (path);
    }
  return false;
}

static void
move_into (const char *path, pid_t pid)
{
  char file[256];

  snprintf (file, sizeof file, "%s/cgroup.procs", path);
  FILE *procs = fopen (file, "we");
  CHECK (procs != NULL && fprintf (procs, "%d", (int) pid) > 0 && fclose (procs) == 0);
}

static void
cgroup_remove (const char *path)
{
  for (int tries = 0; rmdir (path) != 0 && errno == EBUSY && tries < 500; tries++)
    poll (NULL, 0, 5);
}

/* Blow after blow, as the guard does. */
static bool
kill_all (const struct entry *e)
{
  for (int i = 0; i < 400; i++)
    {
      kill_entry (e);
      poll (NULL, 0, 5);
      if (kill_empty (e))
        return true;
    }
  return false;
}

static bool
is_dead (const struct child *child)
{
  int status;

  return waitpid (child->pid, &status, WNOHANG) == child->pid && WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL;
}

static void
child_close (struct child *child)
{
  kill (child->pid, SIGKILL);
  waitpid (child->pid, NULL, 0);
  close (child->stderr_fd);
}

static void
test_moved (void)
{
  static const char *const what = "an init that was moved out of its cgroup dies all the same";
  char path[192], other[224];
  struct spark_error note;
  struct entry e;

  if (!cgroup_make (path, unified, "cgroup.kill"))
    {
      test_skip (what, "no cgroup v2 with cgroup.kill that can be written");
      return;
    }
  snprintf (other, sizeof other, "%s-other", path);
  CHECK (mkdir (other, 0755) == 0);
  struct child init = child_start (1), more = child_start (1);
  struct spark_container c = container_of ("moved", &init, MIB);
  c.pgid = 0;
  snprintf (c.cgroup_v2, sizeof c.cgroup_v2, "%s", path);
  move_into (path, init.pid);
  move_into (path, more.pid);
  CHECK (entry_open (&e, &c, &place, &note) == 0 && e.kill_by == KILL_BY_CGROUP_KILL);
  move_into (other, init.pid);
  CHECK (kill_all (&e) && is_dead (&init) && is_dead (&more));
  test_done (what);
  entry_close (&e);
  child_close (&init);
  child_close (&more);
  cgroup_remove (other);
  cgroup_remove (path);
}

static int
count_pid (pid_t pid, void *data)
{
  (void) pid;
  (void) data;
  return 0;
}

static void
test_below (void)
{
  static const char *const what = "with the freezer, what is in cgroups below dies too, and before that it is not empty";
  char path[192], inner[224], innermost[256];
  struct spark_error note;
  struct entry e;

  if (!cgroup_make (path, freezer, "freezer.state"))
    {
      test_skip (what, "no cgroup v1 freezer that can be written");
      return;
    }
  snprintf (inner, sizeof inner, "%s/inner", path);
  snprintf (innermost, sizeof innermost, "%s/most", inner);
  CHECK (mkdir (inner, 0755) == 0 && mkdir (innermost, 0755) == 0);
  struct child init = child_start (1), below = child_start (1);
  struct spark_container c = container_of ("below", &init, MIB);
  c.pgid = 0;
  snprintf (c.cgroup_freezer, sizeof c.cgroup_freezer, "%s", path);
  move_into (path, init.pid);
  move_into (innermost, below.pid);
  CHECK (entry_open (&e, &c, &place, &note) == 0 && e.kill_by == KILL_BY_FREEZER);
  CHECK (cgroup_pids_each (e.procs_dir_fd, count_pid, NULL) == 2);
  kill (init.pid, SIGKILL);
  waitpid (init.pid, NULL, 0);
  CHECK (!kill_empty (&e));
  CHECK (kill_all (&e) && is_dead (&below));
  test_done (what);
  entry_close (&e);
  child_close (&init);
  child_close (&below);
  cgroup_remove (innermost);
  cgroup_remove (inner);
  cgroup_remove (path);
}

/* With both hierarchies. */
static bool
both_make (char v2[192], char v1[192], const char *what)
{
  if (!cgroup_make (v1, freezer, "freezer.state"))
    {
      test_skip (what, "no cgroup v1 freezer that can be written");
      return false;
    }
  if (cgroup_make (v2, unified, "cgroup.kill"))
    return true;
  cgroup_remove (v1);
  test_skip (what, "no cgroup v2 with cgroup.kill that can be written");
  return false;
}

static void
test_shared (void)
{
  static const char *const what = "a v2 cgroup that is not the container's own place is left alone: its neighbours live";
  char v2[192], v1[192], own[224];
  struct spark_error note;
  struct entry e;

  if (!both_make (v2, v1, what))
    return;
  snprintf (own, sizeof own, "%s/own", v1);
  CHECK (mkdir (own, 0755) == 0);
  struct child neighbour = child_start (1), init = child_start (1);
  struct spark_container c = container_of ("shares", &init, MIB);
  c.pgid = 0;
  snprintf (c.cgroup_v2, sizeof c.cgroup_v2, "%s", v2);
  snprintf (c.cgroup_freezer, sizeof c.cgroup_freezer, "%s", own);
  move_into (v2, init.pid);
  move_into (own, init.pid);
  CHECK (entry_open (&e, &c, &place, &note) == 0 && e.kill_by == KILL_BY_FREEZER);
  move_into (v2, neighbour.pid);
  CHECK (kill_all (&e) && is_dead (&init));
  poll (NULL, 0, 50);
  CHECK (waitpid (neighbour.pid, NULL, WNOHANG) == 0);
  test_done (what);
  entry_close (&e);
  child_close (&neighbour);
  child_close (&init);
  cgroup_remove (own);
  cgroup_remove (v1);
  cgroup_remove (v2);
}

static void
test_paused (void)
{
  static const char *const what = "a paused container dies as well";
  char v2[192], v1[192], state[256];
  struct spark_error note;
  struct entry e;

  if (!both_make (v2, v1, what))
    return;
  struct child init = child_start (1);
  struct spark_container c = container_of ("paused", &init, MIB);
  c.pgid = 0;
  snprintf (c.cgroup_v2, sizeof c.cgroup_v2, "%s", v2);
  snprintf (c.cgroup_freezer, sizeof c.cgroup_freezer, "%s", v1);
  move_into (v2, init.pid);
  move_into (v1, init.pid);
  CHECK (entry_open (&e, &c, &place, &note) == 0 && e.kill_by == KILL_BY_CGROUP_KILL);
  snprintf (state, sizeof state, "%s/freezer.state", v1);
  FILE *file = fopen (state, "we");
  CHECK (file != NULL && fputs ("FROZEN", file) >= 0 && fclose (file) == 0);
  CHECK (kill_all (&e) && is_dead (&init));
  test_done (what);
  entry_close (&e);
  child_close (&init);
  cgroup_remove (v1);
  cgroup_remove (v2);
}

int
main (void)
{
  test_shared ();
  test_paused ();
  test_moved ();
  test_below ();
  return check_done ();
}

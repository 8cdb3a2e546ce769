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

/* A container of one process in the cgroups that its paths name; an empty path is none. */
struct scene {
  const char *what;
  char v2[192], v1[192];
  struct child init;
  struct spark_container container;
  struct entry entry;
};

/* Makes the cgroups that are asked for; false, and skipped, where they cannot be had. */
static bool
scene_begin (struct scene *s, const char *what, bool with_v2, bool with_v1)
{
  *s = (struct scene){ .what = what };
  if (with_v1 && !cgroup_make (s->v1, freezer, "freezer.state"))
    {
      test_skip (what, "no cgroup v1 freezer that can be written");
      return false;
    }
  if (with_v2 && !cgroup_make (s->v2, unified, "cgroup.kill"))
    {
      if (with_v1)
        cgroup_remove (s->v1);
      test_skip (what, "no cgroup v2 with cgroup.kill that can be written");
      return false;
    }
  s->init = child_start (1);
  s->container = container_of ("scene", &s->init, MIB);
  s->container.pgid = 0;
  return true;
}

/* Puts its init where `v2` and `v1` say, and opens it as the guard does. */
static void
scene_open (struct scene *s, const char *v2, const char *v1, enum kill_by expected)
{
  struct spark_error note;

  snprintf (s->container.cgroup_v2, sizeof s->container.cgroup_v2, "%s", v2);
  snprintf (s->container.cgroup_freezer, sizeof s->container.cgroup_freezer, "%s", v1);
  if (v2[0] != '\0')
    move_into (v2, s->init.pid);
  if (v1[0] != '\0')
    move_into (v1, s->init.pid);
  CHECK (entry_open (&s->entry, &s->container, &place, &note) == 0 && s->entry.kill_by == expected);
}

static void
scene_end (struct scene *s)
{
  test_done (s->what);
  entry_close (&s->entry);
  child_close (&s->init);
  if (s->v1[0] != '\0')
    cgroup_remove (s->v1);
  if (s->v2[0] != '\0')
    cgroup_remove (s->v2);
}

static void
test_moved (void)
{
  struct scene s;
  char other[224];

  if (!scene_begin (&s, "an init that was moved out of its cgroup dies all the same", true, false))
    return;
  snprintf (other, sizeof other, "%s-other", s.v2);
  CHECK (mkdir (other, 0755) == 0);
  struct child more = child_start (1);
  move_into (s.v2, more.pid);
  scene_open (&s, s.v2, "", KILL_BY_CGROUP_KILL);
  move_into (other, s.init.pid);
  CHECK (kill_all (&s.entry) && is_dead (&s.init) && is_dead (&more));
  child_close (&more);
  scene_end (&s);
  cgroup_remove (other);
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
  struct scene s;
  char inner[224], innermost[256];

  if (!scene_begin (&s, "with the freezer, what is in cgroups below dies too, and before that it is not empty", false, true))
    return;
  snprintf (inner, sizeof inner, "%s/inner", s.v1);
  snprintf (innermost, sizeof innermost, "%s/most", inner);
  CHECK (mkdir (inner, 0755) == 0 && mkdir (innermost, 0755) == 0);
  struct child below = child_start (1);
  move_into (innermost, below.pid);
  scene_open (&s, "", s.v1, KILL_BY_FREEZER);
  CHECK (cgroup_pids_each (s.entry.procs_dir_fd, count_pid, NULL) == 2);
  kill (s.init.pid, SIGKILL);
  waitpid (s.init.pid, NULL, 0);
  CHECK (!kill_empty (&s.entry));
  CHECK (kill_all (&s.entry) && is_dead (&below));
  child_close (&below);
  cgroup_remove (innermost);
  cgroup_remove (inner);
  scene_end (&s);
}

static void
test_shared (void)
{
  struct scene s;
  char own[224];

  if (!scene_begin (&s, "a v2 cgroup that is not the container's own place is left alone: its neighbours live", true, true))
    return;
  snprintf (own, sizeof own, "%s/own", s.v1);
  CHECK (mkdir (own, 0755) == 0);
  struct child neighbour = child_start (1);
  scene_open (&s, s.v2, own, KILL_BY_FREEZER);
  move_into (s.v2, neighbour.pid);
  CHECK (kill_all (&s.entry) && is_dead (&s.init));
  poll (NULL, 0, 50);
  CHECK (waitpid (neighbour.pid, NULL, WNOHANG) == 0);
  child_close (&neighbour);
  cgroup_remove (own);
  scene_end (&s);
}

static void
test_paused (void)
{
  struct scene s;
  char state[256];

  if (!scene_begin (&s, "a paused container dies as well", true, true))
    return;
  scene_open (&s, s.v2, s.v1, KILL_BY_CGROUP_KILL);
  snprintf (state, sizeof state, "%s/freezer.state", s.v1);
  FILE *file = fopen (state, "we");
  CHECK (file != NULL && fputs ("FROZEN", file) >= 0 && fclose (file) == 0);
  CHECK (kill_all (&s.entry) && is_dead (&s.init));
  scene_end (&s);
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

/* A cgroup that was made under a dead container's path is not that container's. */
#include "test/guard/in_process.h"
#include <linux/magic.h>
#include <sys/vfs.h>

static char cgroup[96];
static bool v2;

static bool
cgroup_make (void)
{
  struct statfs fs;

  if (statfs ("/sys/fs/cgroup/freezer", &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC)
    snprintf (cgroup, sizeof cgroup, "/sys/fs/cgroup/freezer/spark-test-%d", (int) getpid ());
  else if (statfs ("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC && (v2 = true))
    snprintf (cgroup, sizeof cgroup, "/sys/fs/cgroup/spark-test-%d", (int) getpid ());
  return cgroup[0] != '\0' && mkdir (cgroup, 0755) == 0;
}

static struct child
child_in_cgroup (void)
{
  struct child child = child_start (20);
  char path[128], text[16];
  int length = snprintf (text, sizeof text, "%d", (int) child.pid);

  snprintf (path, sizeof path, "%s/cgroup.procs", cgroup);
  cleanup_close int fd = open (path, O_WRONLY | O_CLOEXEC);
  CHECK (fd >= 0 && write (fd, text, (size_t) length) == length);
  return child;
}

static void
cgroup_remove (void)
{
  for (int tries = 0; rmdir (cgroup) != 0 && tries < 1000; tries++)
    usleep (1000);
}

static void
register_in (const struct child *child, const char *id)
{
  struct spark_container c = container_of (id, child, 8 * MIB);

  c.pgid = 0;
  memcpy (v2 ? c.cgroup_v2 : c.cgroup_freezer, cgroup, sizeof cgroup);
  spark_container_note_cgroups (&c);
  register_entry (&c);
}

static bool
is_registered (const char *id)
{
  struct spark_container c;
  struct spark_error unsaid;

  return spark_registry_read (guard.table.registry_fd, id, &c, &unsaid) == 0;
}

static void
test_same_path (void)
{
  struct child first = child_in_cgroup ();
  register_in (&first, "first");
  child_end (&first);
  cgroup_remove ();
  CHECK (mkdir (cgroup, 0755) == 0);
  struct child stranger = child_in_cgroup ();
  guard.housekept_ns = 0;
  steps (2);
  CHECK (!is_registered ("first"));
  set_available (300);
  steps (200);
  CHECK (waitpid (stranger.pid, NULL, WNOHANG) == 0 && guard.victim == NULL);
  set_available (4000);
  steps (5);
  test_done ("a process in a cgroup that was made anew under a dead container's path does not die in its name, and the entry is dropped");

  child_end (&stranger);
  struct child second = child_in_cgroup ();
  register_in (&second, "second");
  guard.housekept_ns = 0;
  steps (2);
  CHECK (is_registered ("second") && kills (&second));
  test_done ("the one that was registered in that cgroup dies by it");
}

int
main (void)
{
  if (!cgroup_make ())
    {
      test_skip ("cgroups of the same path", "no hierarchy can be written to here");
      return check_done ();
    }
  directories_make ();
  snprintf (cgroup_root, sizeof cgroup_root, "/sys/fs/cgroup");
  guard_begin_or_end (RESERVE_BYTES);
  test_same_path ();
  guard_stop (&guard);
  cgroup_remove ();
  directories_remove ();
  return check_done ();
}

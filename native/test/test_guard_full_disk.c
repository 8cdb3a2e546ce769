/* A full /run, a full log disk, cgroups that are mounted read-only: each has its answer, and the guard goes on. Needs root. */
#include "test/guard/in_process.h"

#include "guard/kill.h"
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

static char filler[128];

/* A small file system in place of a directory. */
static bool
mount_small (const char *path)
{
  return mount ("none", path, "tmpfs", 0, "size=64k,mode=0755") == 0;
}

/* Takes all of its room, to the last byte. */
static void
fill (const char *where)
{
  static char page[4096];

  snprintf (filler, sizeof filler, "%s/filler", where);
  cleanup_close int fd = open (filler, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  while (write (fd, page, sizeof page) > 0)
    continue;
  while (write (fd, page, 1) > 0)
    continue;
}

static bool
exists (const char *name)
{
  return faccessat (guard.run_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* An open file keeps its room when the guard removes the entry of the dead: else a tombstone finds that room, if it is told late. */
static int
hold_entry (const char *id)
{
  char name[SPARK_ID_MAX + 16];

  snprintf (name, sizeof name, "containers/%s", id);
  return openat (guard.run_fd, name, O_RDONLY | O_CLOEXEC);
}

/* --- /run ---------------------------------------------------------------------------------------------------------- */

static void
test_full_run_at_start (void)
{
  struct child greedy = child_start (20);
  struct spark_container c = container_of ("registered-before", &greedy, 8 * MIB);
  struct spark_error error;

  guard.run_fd = open (run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  mkdirat (guard.run_fd, "containers", 0755);
  register_entry (&c);
  cleanup_close int held_fd = hold_entry ("registered-before");
  close (guard.run_fd);
  fill (run_dir);
  int result = guard_begin (RESERVE_BYTES, true, &error);
  CHECK (result == 0);
  if (result != 0)
    {
      printf ("# %s\n", error.text);
      test_done ("a /run that is full keeps no guard from starting");
      exit (check_done ());
    }
  CHECK (!exists ("guard.state") && kills (&greedy) && events ("\"type\":\"kill\"") == 1);
  CHECK (held_fd >= 0 && !exists ("tombstones/registered-before.json") && !exists (".guard.state.tmp"));
  test_done ("a /run that is full keeps no guard from starting, and nobody from being killed; the event is told without a tombstone");

  struct child late = child_start (10);
  c = container_of ("too-late", &late, 8 * MIB);
  CHECK (spark_registry_write (guard.table.registry_fd, &c, &error) != 0 && error.status == ENOSPC);
  CHECK (!exists ("containers/too-late") && !exists ("containers/.too-late.tmp"));
  test_done ("who cannot be registered for want of room is told so, and nothing is left of it");
  child_end (&late);

  CHECK (guard.intent_fd < 0);
  unlink (filler);
  guard.housekept_ns = 0;
  set_available (8000);
  steps (2);
  CHECK (guard.intent_fd >= 0 && exists ("guard.state") && still_guards ("with-room-again") && events ("\"type\":\"kill\"") == 2);
  CHECK (exists ("tombstones/with-room-again.json"));
  test_done ("with room again it writes guard.state, guard.kill and tombstones");
}

static void
test_full_run_later (void)
{
  struct child greedy = child_start (20);
  struct spark_container c = container_of ("while-full", &greedy, 8 * MIB);

  register_entry (&c);
  cleanup_close int held_fd = hold_entry ("while-full");
  steps (2);
  fill (run_dir);
  CHECK (held_fd >= 0 && kills (&greedy) && events ("\"id\":\"while-full\",\"name\"") >= 1);
  /* The older tombstone made room for the newer one. */
  CHECK (exists ("tombstones/while-full.json") && !exists ("tombstones/with-room-again.json"));
  char text[4096];
  cleanup_close int fd = openat (guard.run_fd, "tombstones/while-full.json", O_RDONLY | O_CLOEXEC);
  ssize_t length = fd >= 0 ? proc_file_read (fd, text, sizeof text, 0) : 0;
  CHECK (length > 3 && strcmp (text + length - 2, "}\n") == 0);
  test_done ("where /run is full an older tombstone makes room for the newest, which is whole");
  unsigned before = events ("cannot update guard.state");
  set_available (700);
  steps (2);
  CHECK (guard.soft);
  set_available (4000);
  steps (2);
  CHECK (events ("cannot update guard.state") == before);
  test_done ("the soft line is written to guard.state though /run is full");
  unlink (filler);
}

/* --- the log ------------------------------------------------------------------------------------------------------- */

static void
test_full_log (void)
{
  unsigned before = events ("\"type\":\"kill\"");

  /* Room for half a line. */
  fill (log_dir);
  struct stat status;
  CHECK (stat (filler, &status) == 0 && truncate (filler, status.st_size - 1) == 0);
  CHECK (still_guards ("unlogged"));
  events (""); /* time for the scribe */
  unlink (filler);
  CHECK (still_guards ("logged"));
  CHECK (events ("\"type\":\"kill\"") > before && events ("logged") > events ("unlogged"));
  /* No line that is half of one and half of another. */
  char path[96], text[65536];
  snprintf (path, sizeof path, "%s/events.jsonl", log_dir);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
  CHECK (proc_file_read (fd, text, sizeof text, 0) > 0);
  for (char *line = strtok (text, "\n"); line != NULL; line = strtok (NULL, "\n"))
    {
      bool whole = strncmp (line, "{\"schemaVersion\":1,", 19) == 0 && line[strlen (line) - 1] == '}';
      if (!whole)
        printf ("# %s\n", line);
      CHECK (whole);
    }
  test_done ("a full log disk loses whole events only, and the guard goes on");
}

/* --- cgroups ------------------------------------------------------------------------------------------------------- */

/* The hierarchy that a guard kills by here, and where it stands below the cgroup root; false where there is none. */
static bool
find_hierarchy (const char **real, const char **name, bool *v2)
{
  static const struct {
    const char *path, *name;
    uint64_t magic;
  } places[] = { { "/sys/fs/cgroup/freezer", "freezer", CGROUP_SUPER_MAGIC }, { "/sys/fs/cgroup", "unified", CGROUP2_SUPER_MAGIC } };
  struct statfs fs;

  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
    if (statfs (places[i].path, &fs) == 0 && (uint64_t) fs.f_type == places[i].magic)
      {
        *real = places[i].path;
        *name = places[i].name;
        *v2 = places[i].magic == CGROUP2_SUPER_MAGIC;
        return true;
      }
  return false;
}

/* A child in a pid namespace of its own, or in ours. */
static struct child
child_in_namespace (bool own)
{
  int here = open ("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);

  if (own && unshare (CLONE_NEWPID) != 0)
    abort ();
  struct child child = child_start (20);
  if (setns (here, CLONE_NEWPID) != 0)
    abort ();
  close (here);
  return child;
}

static void
enter (const char *cgroup, pid_t pid)
{
  char path[256], number[16];

  snprintf (path, sizeof path, "%s/cgroup.procs", cgroup);
  cleanup_close int fd = open (path, O_WRONLY | O_CLOEXEC);
  int length = snprintf (number, sizeof number, "%d", (int) pid);
  if (write (fd, number, (size_t) length) != length)
    printf ("# cannot enter %s\n", cgroup);
}

static void
test_read_only_cgroups (void)
{
  const char *real, *name;
  char mounted[128], made[2][160];
  struct spark_error error;
  bool v2;

  if (!find_hierarchy (&real, &name, &v2))
    {
      test_skip ("cgroups that are read-only", "there is no hierarchy to kill by");
      return;
    }
  snprintf (mounted, sizeof mounted, "%s/%s", cgroup_root, name);
  mkdir (mounted, 0755);
  CHECK (mount (real, mounted, NULL, MS_BIND, NULL) == 0);
  CHECK (mount (NULL, mounted, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
  pid_t pid = fork ();
  if (pid == 0)
    _exit (guard_begin (RESERVE_BYTES, false, &error) != 0 && strstr (error.text, "run it as root with that directory writable") != NULL ? 0 : 1);
  int status = -1;
  waitpid (pid, &status, 0);
  CHECK (status == 0);
  test_done ("where it can kill nobody because cgroups are read-only it does not call itself ready");

  guard_begin_or_end (RESERVE_BYTES);
  struct child children[2] = { child_in_namespace (true), child_in_namespace (false) };
  for (int i = 0; i < 2; i++)
    {
      static const char *const ids[] = { "own-namespace", "host-namespace" };
      struct spark_container c = container_of (ids[i], &children[i], 8 * MIB);
      snprintf (made[i], sizeof made[i], "%s/spark-test-%d-%d", real, (int) getpid (), i);
      CHECK (mkdir (made[i], 0755) == 0);
      enter (made[i], children[i].pid);
      c.pgid = 0;
      snprintf (v2 ? c.cgroup_v2 : c.cgroup_freezer, sizeof c.cgroup_v2, "%s/spark-test-%d-%d", mounted, (int) getpid (), i);
      register_entry (&c);
    }
  steps (2);
  CHECK (events ("container host-namespace can be watched but not killed: its cgroup cannot be written to") == 1);
  CHECK (events ("\"killBy\":\"init\"") == 1);
  CHECK (kills (&children[0]) && waitpid (children[1].pid, NULL, WNOHANG) == 0);
  CHECK (still_guards ("beside-read-only") && waitpid (children[1].pid, NULL, WNOHANG) == 0);
  test_done ("in cgroups that are read-only a container with a pid namespace dies by its init, any other is told to be out of reach");
  child_end (&children[1]);

  /* A cgroup that gives an error at the blow itself. */
  struct child late = child_in_namespace (true);
  struct spark_container c = container_of ("late-error", &late, 8 * MIB);
  c.pgid = 0;
  register_entry (&c);
  steps (2);
  for (unsigned i = 0; i < guard.table.count; i++)
    if (guard.table.entries[i].used && strcmp (guard.table.entries[i].id, "late-error") == 0)
      {
        guard.table.entries[i].kill_by = KILL_BY_CGROUP_KILL;
        guard.table.entries[i].kill_fd = open ("/dev/full", O_WRONLY | O_CLOEXEC);
      }
  CHECK (kills (&late) && events ("cannot kill") == 0);
  test_done ("where the write to cgroup.kill fails the init of a pid namespace is killed");
  guard_stop (&guard);
  for (int i = 0; i < 2; i++)
    rmdir (made[i]);
  umount (mounted);
}

int
main (void)
{
  directories_make ();
  if (unshare (CLONE_NEWNS) != 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || !mount_small (run_dir) || !mount_small (log_dir))
    {
      test_skip ("full disks and read-only cgroups", "mounting needs root");
      directories_remove ();
      return check_done ();
    }
  test_full_run_at_start ();
  test_full_run_later ();
  test_full_log ();
  guard_stop (&guard);
  test_read_only_cgroups ();
  umount2 (run_dir, MNT_DETACH); /* the guard's file there stays mapped for as long as this process lives */
  umount (log_dir);
  directories_remove ();
  return check_done ();
}

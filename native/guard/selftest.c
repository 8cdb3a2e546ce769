#include "guard/selftest.h"

#include "common/cleanup.h"
#include "common/same_file.h"
#include "guard/kill.h"
#include "guard/proc_file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

enum { DEATH_MS = 2000 };

static const char prefix[] = "spark-guard-selftest.";

/* A process that does nothing but wait for its end; on its own in a cgroup, or in a process group. */
static pid_t
start_child (int procs_fd)
{
  int ready[2];
  char byte = 'n';

  if (pipe2 (ready, O_CLOEXEC) != 0)
    return -1;
  pid_t guard = getpid (), pid = fork ();
  if (pid == 0)
    {
      signal (SIGTERM, SIG_DFL);
      prctl (PR_SET_PDEATHSIG, SIGKILL); /* should the guard itself be killed right now, or just before */
      if (getppid () != guard)
        _exit (1);
      setpgid (0, 0);
      byte = procs_fd < 0 || write (procs_fd, "0", 1) == 1 ? 'y' : 'n';
      if (write (ready[1], &byte, 1) != 1)
        _exit (1);
      alarm (30);
      for (;;)
        pause ();
    }
  close (ready[1]);
  bool moved = pid > 0 && read (ready[0], &byte, 1) == 1 && byte == 'y';
  close (ready[0]);
  if (!moved && pid > 0)
    {
      kill (pid, SIGKILL);
      waitpid (pid, NULL, 0);
      errno = EPERM;
      return -1;
    }
  return pid;
}

/* Kills the child through `entry` and waits for its death. */
static bool
child_dies (struct entry *entry)
{
  struct pollfd end = { .fd = entry->pid_fd, .events = POLLIN };
  bool dead = false;

  for (int waited = 0; waited < DEATH_MS && !dead; waited += 20)
    {
      kill_as_planned (entry);
      dead = poll (&end, 1, 20) == 1;
    }
  if (!dead)
    kill (entry->pid, SIGKILL);
  int status;
  waitpid (entry->pid, &status, 0);
  return dead && WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL;
}

/* The directory for the test's cgroup: the guard's own place in the hierarchy at `root`, which it may always divide under
   systemd too, or the root itself where that place cannot be seen. */
static void
parent_path (const struct entry_place *place, const char *root, const char *line_prefix, char *path, size_t size)
{
  char text[4096];
  struct stat status;

  snprintf (path, size, "%s", root);
  if (proc_file_of_pid (place->proc_dir, getpid (), "cgroup", text, sizeof text) <= 0)
    return;
  char *line = strstr (text, line_prefix);
  if (line == NULL)
    return;
  line += strlen (line_prefix);
  line[strcspn (line, "\n")] = '\0';
  if (strcmp (line, "/") != 0 && strstr (line, "..") == NULL)
    snprintf (path, size, "%s%s", root, line);
  if (stat (path, &status) != 0)
    snprintf (path, size, "%s", root);
}

static bool
is_file_system (const char *path, uint64_t magic)
{
  struct statfs fs;

  return statfs (path, &fs) == 0 && (uint64_t) fs.f_type == magic;
}

/* The kernel may need a moment to see the cgroup empty. */
static void
remove_cgroup (const char *path)
{
  for (int tries = 0; rmdir (path) != 0 && errno == EBUSY && tries < 100; tries++)
    poll (NULL, 0, 5);
}

/* What it takes to kill all in an open cgroup. */
static struct entry
entry_of_cgroup (int directory, enum kill_by kill_by)
{
  struct entry entry = { ENTRY_NOTHING_OPEN, .kill_by = kill_by };

  entry.procs_dir_fd = fcntl (directory, F_DUPFD_CLOEXEC, 3);
  if (kill_by == KILL_BY_CGROUP_KILL)
    entry.kill_fd = openat (directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);
  else
    entry.freezer_fd = openat (directory, "freezer.state", O_RDWR | O_CLOEXEC);
  return entry;
}

/* What guards left here that were killed in the middle of their self-test. Whoever still is at it holds the lock. */
static void
sweep (const char *parent, enum kill_by kill_by)
{
  char path[4864];
  cleanup_dir DIR *dir = opendir (parent);

  for (struct dirent *child; dir != NULL && (child = readdir (dir)) != NULL;)
    {
      if (strncmp (child->d_name, prefix, strlen (prefix)) != 0)
        continue;
      snprintf (path, sizeof path, "%s/%s", parent, child->d_name);
      cleanup_close int directory = open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (directory < 0 || flock (directory, LOCK_EX | LOCK_NB) != 0)
        continue;
      struct entry left = entry_of_cgroup (directory, kill_by);
      kill_as_planned (&left);
      entry_close (&left);
      remove_cgroup (path);
    }
}

/* A new cgroup, locked. One that another guard's sweep was faster to lock is made again. */
static int
make_cgroup (const char *parent, const char *path, enum kill_by kill_by)
{
  for (int tries = 0; tries < 5; tries++)
    {
      if (mkdir (path, 0755) != 0)
        {
          if (errno != EEXIST)
            return -1;
          sweep (parent, kill_by); /* our number came again */
          continue;
        }
      int directory = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (directory >= 0 && flock (directory, LOCK_EX | LOCK_NB) == 0 && spark_leads_to (AT_FDCWD, path, 0, directory))
        return directory;
      if (directory >= 0)
        close (directory);
    }
  return -1;
}

static bool
test_cgroup (const char *parent, enum kill_by kill_by)
{
  char path[4608];
  bool works = false;

  sweep (parent, kill_by);
  snprintf (path, sizeof path, "%s/%s%d", parent, prefix, (int) getpid ());
  cleanup_close int directory = make_cgroup (parent, path, kill_by);
  if (directory < 0)
    return false;
  cleanup_close int join = openat (directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
  struct entry entry = entry_of_cgroup (directory, kill_by);
  if (join >= 0 && entry.procs_dir_fd >= 0 && (entry.kill_fd >= 0 || entry.freezer_fd >= 0)
      && (entry.pid = start_child (join)) > 0)
    {
      entry.pid_fd = (int) syscall (SYS_pidfd_open, entry.pid, 0);
      works = child_dies (&entry);
    }
  entry_close (&entry);
  remove_cgroup (path);
  return works;
}

static bool
test_process_group (void)
{
  struct entry entry = { ENTRY_NOTHING_OPEN, .kill_by = KILL_BY_PROCESS_GROUP };

  entry.pid = start_child (-1);
  if (entry.pid <= 0)
    return false;
  entry.pgid = entry.pid;
  entry.pid_fd = (int) syscall (SYS_pidfd_open, entry.pid, 0);
  bool works = child_dies (&entry);
  entry_close (&entry);
  return works;
}

enum kill_by
selftest_run (const struct entry_place *place, struct spark_error *error)
{
  char root[512], parent[4352];

  snprintf (root, sizeof root, "%s", place->cgroup_root);
  if (!is_file_system (root, CGROUP2_SUPER_MAGIC))
    snprintf (root, sizeof root, "%s/unified", place->cgroup_root);
  if (is_file_system (root, CGROUP2_SUPER_MAGIC))
    {
      parent_path (place, root, "0::", parent, sizeof parent);
      if (test_cgroup (parent, KILL_BY_CGROUP_KILL) || test_cgroup (root, KILL_BY_CGROUP_KILL))
        return KILL_BY_CGROUP_KILL;
    }
  snprintf (root, sizeof root, "%s/freezer", place->cgroup_root);
  if (is_file_system (root, CGROUP_SUPER_MAGIC))
    {
      parent_path (place, root, ":freezer:", parent, sizeof parent);
      if (test_cgroup (parent, KILL_BY_FREEZER) || test_cgroup (root, KILL_BY_FREEZER))
        return KILL_BY_FREEZER;
    }
  if (place->allow_process_groups && test_process_group ())
    return KILL_BY_PROCESS_GROUP;
  spark_fail (error, 0, "this guard cannot kill containers here: neither cgroup.kill nor the freezer below %s could end a "
                        "test process; run it as root with that directory writable", place->cgroup_root);
  return KILL_BY_NOTHING;
}

#include "guard/entry.h"

#include "common/cleanup.h"
#include "common/sum.h"
#include "guard/cgroup_pids.h"
#include "guard/proc_file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* A process that started this much before the container's init was not started in it (ticks of 1/100 s: runc's own steps
   come within milliseconds). */
enum { OLDER_TICKS = 100 };

const char *
kill_by_text (enum kill_by kill_by)
{
  switch (kill_by)
    {
    case KILL_BY_CGROUP_KILL:
      return "cgroup.kill";
    case KILL_BY_FREEZER:
      return "freezer";
    case KILL_BY_PROCESS_GROUP:
      return "process-group";
    case KILL_BY_INIT:
      return "init";
    case KILL_BY_NOTHING:
      break;
    }
  return "nothing";
}

/* --- whose cgroup is it -------------------------------------------------------------------------------------------- */

struct stranger_search {
  const struct entry_place *place;
  uint64_t oldest_start;
  pid_t stranger;
};

static int
stranger_check (pid_t pid, void *data)
{
  struct stranger_search *search = data;
  char stat[1024];

  if (proc_file_of_pid (search->place->proc_dir, pid, "stat", stat, sizeof stat) <= 0)
    return 0;
  uint64_t start = proc_stat_field (stat, 22);
  if (pid == getpid () || pid == 1 || (search->oldest_start > 0 && start < search->oldest_start))
    search->stranger = pid;
  return search->stranger != 0;
}

/* The guard's own place in the hierarchy must not lie inside what it kills: cgroup.kill takes the descendants too. */
static bool
holds_guard (const char *path, bool v2, const struct entry_place *place)
{
  char text[4096];
  size_t root_length = strlen (place->cgroup_root);

  if (strncmp (path, place->cgroup_root, root_length) != 0 || path[root_length] != '/')
    return false;
  const char *in_hierarchy = path + root_length;
  if (!v2 || strncmp (in_hierarchy, "/unified/", 9) == 0)
    in_hierarchy = strchr (in_hierarchy + 1, '/');
  if (in_hierarchy == NULL || proc_file_of_pid (place->proc_dir, getpid (), "cgroup", text, sizeof text) <= 0)
    return false;
  size_t length = strlen (in_hierarchy);
  for (char *line = text, *next; line != NULL && *line != '\0'; line = next)
    {
      next = strchr (line, '\n');
      if (next != NULL)
        *next++ = '\0';
      const char *own = strchr (line, ':');
      own = own != NULL ? strchr (own + 1, ':') : NULL;
      if (own != NULL && (strncmp (line, "0::", 3) == 0) == v2 && strncmp (own + 1, in_hierarchy, length) == 0
          && (own[1 + length] == '/' || own[1 + length] == '\0'))
        return true;
    }
  return false;
}

/* Opens a cgroup's directory if it is one that may be killed: the one that was registered, of the right file system, not a root, without the guard and
   without processes older than the container. Returns -1 with a sentence in `note`. */
static int
cgroup_open (const char *path, uint64_t id, bool v2, const struct spark_container *container, const struct entry_place *place,
             struct spark_error *note)
{
  struct statfs fs;
  struct stat status;
  cleanup_close int directory = spark_cgroup_open (path, id);

  if (directory < 0 && errno == ESTALE)
    return spark_fail (note, 0, "the cgroup %s is not the one of container %s any more, but one of the same name: it is left alone", path,
                       container->id);
  if (directory < 0)
    return spark_fail (note, errno, "cannot open the cgroup %s of container %s", path, container->id);
  if (fstatfs (directory, &fs) != 0 || (uint64_t) fs.f_type != (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
    return spark_fail (note, 0, "%s, given as a cgroup of container %s, is not in a cgroup v%d file system", path,
                       container->id, v2 ? 2 : 1);
  /* Only a v1 root has release_agent, only a v2 root has no cgroup.events. */
  bool root = v2 ? fstatat (directory, "cgroup.events", &status, 0) != 0
                 : fstatat (directory, "release_agent", &status, 0) == 0;
  if (root || holds_guard (path, v2, place))
    return spark_fail (note, 0, "the cgroup %s of container %s holds the whole host or this guard: it is left alone", path,
                       container->id);

  struct stranger_search search = { place, 0, 0 };
  search.oldest_start = container->pid_start > OLDER_TICKS ? container->pid_start - OLDER_TICKS : 0;
  if (cgroup_pids_each (directory, stranger_check, &search) < 0)
    return spark_fail (note, errno, "cannot read the processes of cgroup %s of container %s", path, container->id);
  if (search.stranger != 0)
    return spark_fail (note, 0, "the cgroup %s of container %s also holds process %d, which is older: it is left alone", path,
                       container->id, (int) search.stranger);
  int result = directory;
  directory = -1;
  return result;
}

/* --- opening ------------------------------------------------------------------------------------------------------- */

static int
cgroup_file (int directory, const char *name, int flags)
{
  return openat (directory, name, flags | O_CLOEXEC | O_NOFOLLOW);
}

struct process_search {
  pid_t pid;
  bool found;
};

static int
is_process (pid_t pid, void *data)
{
  struct process_search *search = data;

  return search->found = pid == search->pid;
}

/* The registry names no v1 hugetlb cgroup. Engines give all controllers the same place, so it is looked for beside the one of
   memory, and believed only if the container's init is in it. */
static void
open_huge_v1 (struct entry *e, const struct spark_container *c, const struct entry_place *place)
{
  char path[sizeof c->cgroup_memory + 8];
  struct spark_error unsaid;
  struct process_search init = { c->pid, false };
  size_t root_length = strlen (place->cgroup_root);

  if (strncmp (c->cgroup_memory, place->cgroup_root, root_length) != 0
      || strncmp (c->cgroup_memory + root_length, "/memory/", 8) != 0
      || snprintf (path, sizeof path, "%s/hugetlb/%s", place->cgroup_root, c->cgroup_memory + root_length + 8)
           >= (int) sizeof path)
    return;
  cleanup_close int huge = cgroup_open (path, 0, false, c, place, &unsaid);
  if (huge >= 0 && c->pid > 0 && proc_file_each_pid (huge, is_process, &init) >= 0 && init.found)
    e->huge_count = huge_pages_open (huge, e->huge_fds);
}

/* The path below its hierarchy's mount: "/sys/fs/cgroup/freezer/docker/1" is "/docker/1". */
static const char *
path_in_hierarchy (const char *path, const struct entry_place *place)
{
  size_t root_length = strlen (place->cgroup_root);
  const char *below = strncmp (path, place->cgroup_root, root_length) == 0 && path[root_length] == '/' ? strchr (path + root_length + 1, '/') : NULL;

  return below != NULL ? below : path;
}

/* Beside a v1 freezer cgroup, which is made for the container, the v2 one may be that of whoever started it (a login, an engine's
   service), with others in it. It is the container's own where both hierarchies give it the same place, as runtimes do. */
static bool
v2_is_own (const struct spark_container *c, const struct entry_place *place)
{
  return strcmp (path_in_hierarchy (c->cgroup_v2, place), path_in_hierarchy (c->cgroup_freezer, place)) == 0;
}

static void
open_cgroups (struct entry *e, const struct spark_container *c, const struct entry_place *place, struct spark_error *note)
{
  cleanup_close int memory = c->cgroup_memory[0] != '\0' ? cgroup_open (c->cgroup_memory, c->cgroup_memory_id, false, c, place, note) : -1;
  cleanup_close int freezer = c->cgroup_freezer[0] != '\0' ? cgroup_open (c->cgroup_freezer, c->cgroup_freezer_id, false, c, place, note) : -1;
  bool use_v2 = c->cgroup_v2[0] != '\0' && (freezer < 0 || v2_is_own (c, place));
  cleanup_close int v2 = use_v2 ? cgroup_open (c->cgroup_v2, c->cgroup_v2_id, true, c, place, note) : -1;

  if (v2 >= 0)
    {
      e->events_fd = cgroup_file (v2, "cgroup.events", O_RDONLY);
      e->procs_dir_fd = fcntl (v2, F_DUPFD_CLOEXEC, 3);
      e->kill_fd = cgroup_file (v2, "cgroup.kill", O_WRONLY);
      if (e->kill_fd >= 0)
        e->kill_by = KILL_BY_CGROUP_KILL;
      e->stat_fd = cgroup_file (v2, "memory.stat", O_RDONLY);
      e->stat_is_v2 = e->stat_fd >= 0;
      e->huge_count = huge_pages_open (v2, e->huge_fds);
    }
  /* However it is killed: what is frozen (paused) dies only when it is thawed. */
  if (freezer >= 0)
    e->freezer_fd = cgroup_file (freezer, "freezer.state", O_RDWR);
  if (e->kill_by == KILL_BY_NOTHING && freezer >= 0)
    {
      if (e->procs_dir_fd >= 0)
        close (e->procs_dir_fd);
      e->procs_dir_fd = fcntl (freezer, F_DUPFD_CLOEXEC, 3);
      if (e->procs_dir_fd >= 0 && e->freezer_fd >= 0)
        e->kill_by = KILL_BY_FREEZER;
    }
  if (e->stat_fd < 0 && memory >= 0)
    e->stat_fd = cgroup_file (memory, "memory.stat", O_RDONLY);
  if (e->huge_count == 0 && memory >= 0)
    open_huge_v1 (e, c, place);
  int listing = v2 >= 0 ? v2 : memory >= 0 ? memory : freezer;
  if (listing >= 0)
    e->usage_dir_fd = fcntl (listing, F_DUPFD_CLOEXEC, 3);
}

/* A pidfd of the container's init, only if it is still the process that was registered. */
static int
open_init (const struct spark_container *c, const struct entry_place *place)
{
  char stat[1024];

  if (c->pid <= 0)
    return -1;
  cleanup_close int fd = (int) syscall (SYS_pidfd_open, c->pid, 0);
  if (fd < 0 || proc_file_of_pid (place->proc_dir, c->pid, "stat", stat, sizeof stat) <= 0
      || proc_stat_field (stat, 22) != c->pid_start)
    return -1;
  int result = fd;
  fd = -1;
  return result;
}

/* NSpid: its number in each namespace from ours down. */
static int
take_namespace (const char *line, void *data)
{
  if (strncmp (line, "NSpid:", 6) != 0)
    return 0;
  const char *last = strrchr (line, '\t');
  *(bool *) data = last != NULL && strcmp (last, "\t1") == 0 && last != strchr (line, '\t');
  return 1;
}

/* True for the first process of a pid namespace below ours: killing it alone ends all of the container. */
static bool
is_namespace_init (pid_t pid, const struct entry_place *place)
{
  bool first = false;

  return proc_file_each_line_of_pid (place->proc_dir, pid, "status", take_namespace, &first) == 0 && first;
}

int
entry_open (struct entry *e, const struct spark_container *c, const struct entry_place *place, struct spark_error *note)
{
  *e = (struct entry){ .used = true, .pid = c->pid, .pid_start = c->pid_start, .budget_bytes = c->budget_bytes,
                       .reserve_bytes = c->reserve_bytes, .created_ns = c->created_ns, .priority = c->priority, .kills = c->kills,
                       ENTRY_NOTHING_OPEN };
  memcpy (e->id, c->id, sizeof e->id);
  memcpy (e->name, c->name, sizeof e->name);
  memcpy (e->request, c->request, sizeof e->request);
  memcpy (e->engine, c->engine, sizeof e->engine);
  note->text[0] = '\0';

  e->pid_fd = open_init (c, place);
  e->first_of_namespace = e->pid_fd >= 0 && is_namespace_init (c->pid, place);
  open_cgroups (e, c, place, note);
  if (e->kill_by == KILL_BY_NOTHING && e->pid_fd >= 0)
    {
      if (c->pgid > 1 && c->pgid != getpgrp () && place->allow_process_groups)
        {
          e->pgid = c->pgid;
          e->kill_by = KILL_BY_PROCESS_GROUP;
        }
      else if (e->first_of_namespace)
        e->kill_by = KILL_BY_INIT;
    }
  if (c->ledger[0] != '\0')
    e->ledger_fd = open (c->ledger, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (!entry_alive (e))
    {
      entry_close (e);
      return -1;
    }
  if (e->kill_by == KILL_BY_NOTHING && c->pgid > 1)
    spark_fail (note, 0, "container %s can be watched but not killed: it is only a process group, and killing those was not allowed", c->id);
  else if (e->kill_by == KILL_BY_NOTHING && note->text[0] == '\0' && (c->cgroup_v2[0] != '\0' || c->cgroup_freezer[0] != '\0'))
    spark_fail (note, 0, "container %s can be watched but not killed: its cgroup cannot be written to", c->id);
  return 0;
}

void
entry_close (struct entry *e)
{
  int fds[] = { e->pid_fd, e->kill_fd, e->events_fd, e->procs_dir_fd, e->freezer_fd, e->stat_fd, e->usage_dir_fd, e->ledger_fd };

  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
    if (fds[i] >= 0)
      close (fds[i]);
  for (unsigned i = 0; i < e->huge_count; i++)
    close (e->huge_fds[i]);
  e->used = false;
}

/* --- life ---------------------------------------------------------------------------------------------------------- */

static int
stop_at_first (pid_t pid, void *data)
{
  (void) pid;
  (void) data;
  return 1;
}

static bool
cgroup_populated (const struct entry *e)
{
  char text[256];

  if (e->events_fd >= 0)
    return proc_file_read (e->events_fd, text, sizeof text, 0) > 0 && strstr (text, "populated 1") != NULL;
  int directory = e->procs_dir_fd >= 0 ? e->procs_dir_fd : e->usage_dir_fd;
  return directory >= 0 && cgroup_pids_each (directory, stop_at_first, NULL) > 0;
}

bool
entry_alive (const struct entry *e)
{
  struct pollfd pidfd = { .fd = e->pid_fd, .events = POLLIN };

  if (e->pid_fd >= 0 && poll (&pidfd, 1, 0) == 0)
    return true;
  return cgroup_populated (e);
}

uint64_t
entry_use_bytes (const struct entry *e)
{
  return spark_sum (e->cgroup_bytes, e->driver_bytes);
}

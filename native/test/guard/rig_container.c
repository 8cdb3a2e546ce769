#include "test/guard/rig.h"
#include "test/guard/rig_place.h"

#include "common/cleanup.h"
#include "guard/clock.h"
#include "guard/proc_file.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USE_BYTES = 2 << 20, ALL_MAX = 64, LAST_PID = 300 };

static struct rig_container *all[ALL_MAX];

static void
end_well (int signal_number)
{
  (void) signal_number;
  _exit (0);
}

static void
enter_cgroups (unsigned slot)
{
  char name[16], path[256];

  snprintf (name, sizeof name, "/%u", slot);
  for (unsigned h = 0; h < RIG_HIERARCHIES; h++)
    {
      if (!rig_have[h])
        continue;
      rig_cgroup_path (path, h, name, "cgroup.procs");
      cleanup_close int fd = open (path, O_WRONLY | O_CLOEXEC);
      if (fd < 0 || write (fd, "0", 1) != 1)
        _exit (3);
    }
}

/* The init of the container, and perhaps some more in it. */
static void
contained (unsigned slot, unsigned more, int ready_fd)
{
  signal (SIGTERM, end_well);
  setpgid (0, 0);
  enter_cgroups (slot);
  char *memory = mmap (NULL, USE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  for (; more > 0 && fork () != 0; more--)
    continue;
  if (memory == MAP_FAILED || (more == 0 && write (ready_fd, "y", 1) != 1))
    _exit (3);
  close (ready_fd);
  for (;;)
    pause ();
}

/* Numbers of processes begin anew now and then, and so are used again. */
static void
reuse_pids (void)
{
  char text[16];
  int length = snprintf (text, sizeof text, "%d", LAST_PID);
  cleanup_close int fd = open ("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);

  if (fd >= 0 && write (fd, text, (size_t) length) != length)
    return;
}

void
rig_start (struct rig_container *c, unsigned slot, enum rig_kind kind, const char *name, const char *id)
{
  char path[256], slot_name[16], byte, stat[1024];
  unsigned more = (unsigned) rig_chance (3);
  int ready[2];

  snprintf (slot_name, sizeof slot_name, "/%u", slot);
  for (unsigned h = 0; h < RIG_HIERARCHIES; h++)
    {
      rig_cgroup_path (path, h, slot_name, "");
      rig_must (!rig_have[h] || mkdir (path, 0755) == 0, path);
    }
  if (rig_chance (4) == 0)
    reuse_pids ();
  rig_must (pipe2 (ready, O_CLOEXEC) == 0, "pipe");
  *c = (struct rig_container){ .started = true, .slot = slot };
  c->pid = fork ();
  rig_must (c->pid >= 0, "fork");
  if (c->pid == 0)
    contained (slot, more, ready[1]);
  close (ready[1]);
  rig_must (read (ready[0], &byte, 1) == 1, "a container did not start");
  close (ready[0]);
  c->pid_fd = (int) syscall (SYS_pidfd_open, c->pid, 0);
  rig_must (c->pid_fd >= 0, "pidfd_open");

  struct spark_container *e = &c->entry;
  *e = (struct spark_container){ .pid = c->pid, .budget_bytes = kind == RIG_GUILTY ? USE_BYTES / 4 : USE_BYTES * 1000ull };
  snprintf (e->id, sizeof e->id, "%s", id);
  snprintf (e->name, sizeof e->name, "%s", name);
  snprintf (e->engine, sizeof e->engine, "unknown");
  proc_file_of_pid ("/proc", c->pid, "stat", stat, sizeof stat);
  e->pid_start = proc_stat_field (stat, 22);
  e->created_ns = clock_boot_ns ();
  /* Both ways to kill in turn, and both ways to know its use. */
  if (rig_have[2] && (!rig_have[0] || rig_chance (2) == 0))
    rig_cgroup_path (path, 2, slot_name, ""), memcpy (e->cgroup_v2, path, sizeof path);
  else
    rig_cgroup_path (path, 0, slot_name, ""), memcpy (e->cgroup_freezer, path, sizeof path);
  if (rig_have[1] && rig_chance (2) == 0)
    rig_cgroup_path (path, 1, slot_name, ""), memcpy (e->cgroup_memory, path, sizeof path);
  spark_container_note_cgroups (e);
  for (unsigned i = 0; i < ALL_MAX; i++)
    if (all[i] == NULL || all[i] == c)
      {
        all[i] = c;
        return;
      }
  rig_must (false, "too many containers");
}

void
rig_register (const struct rig_container *c)
{
  struct spark_error error;

  rig_must (spark_registry_write (rig_registry_fd, &c->entry, &error) == 0, "cannot register");
}

void
rig_unregister (const struct rig_container *c)
{
  spark_registry_remove (rig_registry_fd, c->entry.id, NULL);
}

void
rig_ask (const struct rig_container *c)
{
  kill (-c->pid, SIGTERM);
}

void
rig_reap (void)
{
  siginfo_t info;

  /* Looked at first: the guard's own end is waited for elsewhere. */
  while (info.si_pid = 0, waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 && info.si_pid != rig_guard_pid ())
    {
      int status = 0;
      waitpid (info.si_pid, &status, 0);
      for (unsigned i = 0; i < ALL_MAX; i++)
        if (all[i] != NULL && all[i]->started && !all[i]->dead && all[i]->pid == info.si_pid)
          {
            all[i]->dead = true;
            all[i]->status = status;
          }
    }
}

bool
rig_dies (struct rig_container *c, unsigned ms)
{
  struct pollfd end = { .fd = c->pid_fd, .events = POLLIN };

  if (!c->dead && poll (&end, 1, (int) ms) == 1)
    {
      waitpid (c->pid, &c->status, 0);
      c->dead = true;
    }
  return c->dead;
}

bool
rig_was_killed (const struct rig_container *c)
{
  return c->dead && WIFSIGNALED (c->status) && WTERMSIG (c->status) == SIGKILL;
}

void
rig_clean (struct rig_container *c)
{
  char path[256], slot_name[16];

  snprintf (slot_name, sizeof slot_name, "/%u", c->slot);
  for (unsigned h = 0; h < RIG_HIERARCHIES; h++)
    {
      rig_cgroup_path (path, h, slot_name, "");
      int tries = 0;
      while (rig_have[h] && rmdir (path) != 0 && tries++ < 5000)
        {
          rig_reap (); /* its other processes are ours now */
          usleep (200);
        }
      if (tries > 5000)
        {
          printf ("# %s of %s cannot be removed: %s\n", path, c->entry.name, strerror (errno));
          rig_left_over++;
        }
    }
  close (c->pid_fd);
  for (unsigned i = 0; i < ALL_MAX; i++)
    if (all[i] == c)
      all[i] = NULL;
  c->started = false;
}

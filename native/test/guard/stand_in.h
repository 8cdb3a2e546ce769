/* A process that stands for a container: a group of its own, some memory, a pipe as its stderr. */
#ifndef SPARK_TEST_GUARD_STAND_IN_H
#define SPARK_TEST_GUARD_STAND_IN_H

#include "common/registry.h"
#include "guard/clock.h"
#include "guard/proc_file.h"
#include "guard/scribe.h"
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (UINT64_C (1) << 20)

struct child {
  pid_t pid;
  int stderr_fd; /* what it has as stderr, our end */
};

/* A process group of its own that holds `mib` of memory. */
static struct child
child_start (unsigned mib)
{
  int err[2], ready[2];
  char byte;

  if (pipe2 (err, O_CLOEXEC) != 0 || pipe2 (ready, O_CLOEXEC) != 0)
    abort ();
  pid_t pid = fork ();
  if (pid == 0)
    {
      setpgid (0, 0);
      dup2 (err[1], STDERR_FILENO);
      char *memory = mmap (NULL, mib * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      if (memory == MAP_FAILED || write (ready[1], "y", 1) != 1)
        _exit (1);
      alarm (60);
      for (;;)
        pause ();
    }
  close (err[1]);
  close (ready[1]);
  if (read (ready[0], &byte, 1) != 1)
    abort ();
  close (ready[0]);
  return (struct child){ pid, err[0] };
}

/* Waits for its end; one that nobody kills ends by its own alarm. */
__attribute__ ((unused)) static bool
child_was_killed (const struct child *child)
{
  int status = 0;
  return waitpid (child->pid, &status, 0) == child->pid && WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL;
}

/* Waits until a helper has done all that it was told: its socket is empty and it sleeps at it again. */
static void
wait_idle (const struct helper *helper)
{
  char stat[1024];

  for (int waited_ms = 0; helper->socket_fd >= 0 && waited_ms < 20000; waited_ms++)
    {
      int queued = 0;
      bool empty = ioctl (helper->socket_fd, SIOCOUTQ, &queued) == 0 && queued == 0;
      bool alive = proc_file_of_pid ("/proc", helper->pid, "stat", stat, sizeof stat) > 0;
      const char *name_end = strrchr (stat, ')');
      if (!alive || name_end == NULL || name_end[2] == 'Z' || (empty && name_end[2] == 'S'))
        return;
      usleep (1000);
    }
}

/* Waits until events, log lines and tombstones are written. */
__attribute__ ((unused)) static void
wait_written (const struct scribe *scribe)
{
  wait_idle (&scribe->helper);
  wait_idle (&scribe->teller);
}

static struct spark_container
container_of (const char *id, const struct child *child, uint64_t budget_bytes)
{
  struct spark_container c = { .pid = child->pid, .pgid = child->pid, .budget_bytes = budget_bytes };
  char stat[1024];

  snprintf (c.id, sizeof c.id, "%s", id);
  snprintf (c.name, sizeof c.name, "name-of-%s", id);
  snprintf (c.engine, sizeof c.engine, "unknown");
  proc_file_of_pid ("/proc", child->pid, "stat", stat, sizeof stat);
  c.pid_start = proc_stat_field (stat, 22);
  c.created_ns = clock_boot_ns ();
  return c;
}

#endif

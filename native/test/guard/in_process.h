/* A guard in this process, among directories of its own: with a meminfo that a test writes. */
#ifndef SPARK_TEST_GUARD_IN_PROCESS_H
#define SPARK_TEST_GUARD_IN_PROCESS_H

#include "common/cleanup.h"
#include "guard/guard.h"
#include "test/check.h"
#include "test/guard/directories.h"
#include "test/guard/stand_in.h"
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

#define RESERVE_BYTES "536870912"

static struct guard guard;

static void
steps (unsigned count)
{
  for (unsigned i = 0; i < count; i++)
    {
      guard_step (&guard);
      usleep (1200);
    }
}

/* Returns 0, or -1 with a sentence: then only the end of the process is left. */
static int
guard_begin (const char *reserve_bytes, bool process_groups, struct spark_error *error)
{
  struct guard_options options;
  char *argv[] = { "spark-guard", "--run-dir", run_dir, "--log-dir", log_dir, "--reserve-bytes", (char *) (uintptr_t) reserve_bytes,
                   "--meminfo", meminfo_path, "--drop-caches", "/dev/null", "--cgroup-root", cgroup_root,
                   process_groups ? "--allow-process-groups" : NULL, NULL };

  if (guard_options_parse (process_groups ? 14 : 13, argv, &options, error) != 0)
    return -1;
  return guard_start (&guard, &options, error);
}

__attribute__ ((unused)) __attribute__ ((unused)) static void
guard_begin_or_end (const char *reserve_bytes)
{
  struct spark_error error;

  if (guard_begin (reserve_bytes, true, &error) == 0)
    return;
  printf ("Bail out! %s\n", error.text);
  exit (1);
}

__attribute__ ((unused)) static void
register_entry (const struct spark_container *c)
{
  struct spark_error error;
  cleanup_close int registry_fd = openat (guard.run_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (spark_registry_write (registry_fd, c, &error) != 0)
    printf ("# %s\n", error.text);
}

/* How many events hold `part`. */
__attribute__ ((unused)) static unsigned
events (const char *part)
{
  static char text[1 << 20];
  char path[128];
  unsigned count = 0;

  wait_written (&guard.scribe);
  snprintf (path, sizeof path, "%s/events.jsonl", log_dir);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || proc_file_read (fd, text, sizeof text, 0) < 0)
    return 0;
  for (char *line = strtok (text, "\n"); line != NULL; line = strtok (NULL, "\n"))
    count += strstr (line, part) != NULL;
  return count;
}

/* The proof that it still guards: one that goes over its budget dies for it. The registry takes no entry: register before. */
__attribute__ ((unused)) static bool
kills (const struct child *greedy)
{
  bool killed = false;

  set_available (300);
  for (int i = 0; i < 2000 && !killed; i++)
    {
      steps (1);
      killed = waitpid (greedy->pid, NULL, WNOHANG) == greedy->pid;
    }
  set_available (4000);
  for (int i = 0; i < 2000 && guard.victim != NULL; i++)
    steps (1);
  close (greedy->stderr_fd);
  return killed && guard.victim == NULL;
}

__attribute__ ((unused)) static bool
still_guards (const char *id)
{
  struct child greedy = child_start (20);
  struct spark_container c = container_of (id, &greedy, 8 * MIB);

  register_entry (&c);
  steps (2);
  return kills (&greedy);
}

__attribute__ ((unused)) /* True if it is dead within so many rounds. */
__attribute__ ((unused)) static bool
dies (const struct child *child, unsigned rounds)
{
  for (unsigned i = 0; i < rounds; i++)
    {
      steps (1);
      if (waitpid (child->pid, NULL, WNOHANG) == child->pid)
        return true;
    }
  return false;
}

/* Once memory is plentiful: waits until that is seen, and takes stock of all that is registered. */
__attribute__ ((unused)) static void
take_stock (void)
{
  for (int i = 0; i < 2000 && (guard.victim != NULL || guard.soft); i++)
    steps (1);
  guard.calm_ns = guard.housekept_ns = 0;
  steps (5);
}

__attribute__ ((unused)) static void
child_end (struct child *child)
{
  kill (child->pid, SIGKILL);
  waitpid (child->pid, NULL, 0);
  close (child->stderr_fd);
}

#endif

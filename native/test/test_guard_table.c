/* Which containers the guard knows: more than its table holds, with too few descriptors, with a registry that nobody watches. */
#include "test/guard/in_process.h"
#include <sys/resource.h>

/* All of these "containers" are one process: what is tested is who is known. */
static struct child child;

static void
register_as (const char *id)
{
  struct spark_container c = container_of (id, &child, 4096 * MIB);

  register_entry (&c);
}

static void
register_numbered (unsigned number)
{
  char id[16];

  snprintf (id, sizeof id, "many-%u", number);
  register_as (id);
}

static void
unregister (const char *id)
{
  struct spark_error error;

  spark_registry_remove (guard.table.registry_fd, id, &error);
}

static unsigned
known (void)
{
  unsigned count = 0;

  for (unsigned i = 0; i < guard.table.count; i++)
    count += guard.table.entries[i].used;
  return count;
}

static bool
knows (const char *id)
{
  for (unsigned i = 0; i < guard.table.count; i++)
    if (guard.table.entries[i].used && strcmp (guard.table.entries[i].id, id) == 0)
      return true;
  return false;
}

/* What the guard does once a second, at once. */
static void
housekeepings (unsigned count)
{
  for (; count > 0; count--)
    {
      guard.housekept_ns = 0;
      steps (1);
    }
}

static void
test_more_than_fit (void)
{
  for (unsigned i = 0; i < 260; i++)
    {
      register_numbered (i);
      if (i % 50 == 0)
        steps (1);
    }
  housekeepings (3);
  CHECK (known () == TABLE_MAX && events ("more than 256 containers") == 1);
  for (unsigned i = 0; i < 100; i++)
    {
      char id[16];
      snprintf (id, sizeof id, "many-%u", i);
      unregister (id);
    }
  housekeepings (20);
  CHECK (known () == 160 && knows ("many-259") && knows ("many-256"));
  test_done ("containers that found the table full are taken in once others have ended");
}

/* Millions of files would be the same: each round has its time, and the next one goes on where it ended. */
static void
test_thousands_of_files (void)
{
  uint64_t quickest_ns = UINT64_MAX;
  char id[16];

  for (unsigned i = 260; i < 3000; i++)
    {
      register_numbered (i);
      if (i % 50 == 0)
        steps (1);
    }
  steps (3);
  for (unsigned i = 0; i < 5; i++)
    {
      uint64_t begin_ns = spark_clock_ns (CLOCK_THREAD_CPUTIME_ID); /* others may have the processor meanwhile */
      guard.housekept_ns = 0;
      guard_step (&guard);
      uint64_t ns = spark_clock_ns (CLOCK_THREAD_CPUTIME_ID) - begin_ns;
      quickest_ns = ns < quickest_ns ? ns : quickest_ns;
    }
  printf ("# a round with housekeeping among 2,900 files: %.1f ms\n", (double) quickest_ns / NS_PER_MS);
  CHECK (quickest_ns < 12 * NS_PER_MS);
  for (unsigned i = 100; i < 2990; i++)
    {
      snprintf (id, sizeof id, "many-%u", i);
      unregister (id);
      if (i % 50 == 0)
        steps (1);
    }
  housekeepings (100);
  CHECK (known () == 10);
  for (unsigned i = 2990; i < 3000; i++)
    {
      snprintf (id, sizeof id, "many-%u", i);
      CHECK (knows (id));
      unregister (id);
    }
  steps (1);
  test_done ("thousands of registry files hold up no round, and all of them get their turn");
}

static unsigned
descriptors_in_use (void)
{
  unsigned next;
  int fd = fcntl (guard.run_fd, F_DUPFD_CLOEXEC, 3);

  next = (unsigned) fd;
  close (fd);
  return next;
}

static void
test_no_descriptors (void)
{
  struct rlimit before, few;

  register_as ("before");
  steps (1);
  getrlimit (RLIMIT_NOFILE, &before);
  register_as ("starved");
  few = before;
  few.rlim_cur = descriptors_in_use ();
  setrlimit (RLIMIT_NOFILE, &few);
  steps (2);
  CHECK (!knows ("starved"));
  setrlimit (RLIMIT_NOFILE, &before);
  housekeepings (3);
  CHECK (knows ("starved") && knows ("before"));

  /* Enough for its file, but not to open all of what it says. */
  register_as ("half");
  few.rlim_cur = descriptors_in_use () + 1;
  setrlimit (RLIMIT_NOFILE, &few);
  steps (2);
  setrlimit (RLIMIT_NOFILE, &before);
  housekeepings (3);
  bool killable = false;
  for (unsigned i = 0; i < guard.table.count; i++)
    killable |= guard.table.entries[i].used && strcmp (guard.table.entries[i].id, "half") == 0 && guard.table.entries[i].kill_by != KILL_BY_NOTHING;
  CHECK (killable);
  test_done ("one that could not be opened because there were no descriptors left is taken in once there are");
  unregister ("before");
  unregister ("starved");
  unregister ("half");
  steps (2);
}

static void
test_no_watch (void)
{
  char from[80], to[80];

  snprintf (from, sizeof from, "%s/containers", run_dir);
  snprintf (to, sizeof to, "%s/moved", run_dir);
  /* Without /proc/self/fd inotify_add_watch fails, as it does where the user's watches are used up. */
  guard.table.place.proc_dir = "/nonexistent";
  CHECK (rename (from, to) == 0);
  housekeepings (2);
  guard.table.place.proc_dir = guard.options.proc_dir;
  housekeepings (2);
  register_as ("heard");
  steps (2);
  CHECK (knows ("heard"));
  CHECK (events ("removed or moved away under the guard") == 1);
  test_done ("where the new registry could not be watched at first, it is watched later, and that is said");
  unregister ("heard");
  steps (2);
}

int
main (void)
{
  directories_make ();
  guard_begin_or_end (RESERVE_BYTES);
  child = child_start (1);
  test_more_than_fit ();
  test_thousands_of_files ();
  test_no_descriptors ();
  test_no_watch ();
  CHECK (still_guards ("last"));
  test_done ("it still guards");
  child_end (&child);
  guard_stop (&guard);
  directories_remove ();
  return check_done ();
}

/* A guard that takes the place of one that was killed in the middle of a kill. */
#include "test/guard/in_process.h"

/* What the guard before has left: that it struck `id` so long ago. */
static void
leave_intent (const char *id, const struct spark_container *victim, uint64_t ago_ns)
{
  uint64_t at_ns = clock_boot_ns () - ago_ns;
  char path[80];
  struct intent i = { .magic = "SPRKKILL", .size = sizeof i, .state = INTENT_STRUCK, .pid = victim->pid, .pid_start = victim->pid_start,
                      .created_ns = victim->created_ns, .record = { .killed_ns = at_ns, .kills = 1 },
                      .aftermath = { .killed_ns = at_ns, .use_bytes = 20 * MIB, .lowest_bytes = 300 * MIB, .highest_bytes = 300 * MIB } };

  boot_id_read ("/proc");
  memcpy (i.boot_id, boot_id, sizeof i.boot_id);
  snprintf (i.record.id, sizeof i.record.id, "%s", id);
  snprintf (path, sizeof path, "%s/" INTENT_FILE, run_dir);
  cleanup_close int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  CHECK (write (fd, &i, sizeof i) == (ssize_t) sizeof i);
}

static void
register_before (const struct spark_container *c)
{
  struct spark_error error;
  char path[80];

  snprintf (path, sizeof path, "%s/containers", run_dir);
  mkdir (path, 0755);
  cleanup_close int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK (spark_registry_write (fd, c, &error) == 0);
}

static bool
dies_within (const struct child *child, uint64_t ns)
{
  uint64_t until_ns = clock_boot_ns () + ns;

  while (clock_boot_ns () < until_ns)
    {
      steps (1);
      if (waitpid (child->pid, NULL, WNOHANG) == child->pid)
        return true;
    }
  return false;
}

static void
begin_short (void)
{
  set_available (300);
  guard_begin_or_end (RESERVE_BYTES);
}

static void
test_gap (struct child *stuck, struct child *next)
{
  struct spark_container a = container_of ("stuck", stuck, 8 * MIB), b = container_of ("next", next, 8 * MIB);

  a.pgid = 0; /* nothing that it could be killed by: so it does not die */
  register_before (&a);
  register_before (&b);
  leave_intent ("stuck", &a, 11 * NS_PER_SECOND);
  begin_short ();
  CHECK (guard.victim != NULL && !dies_within (next, NS_PER_SECOND));
  CHECK (events ("does not die") == 0);
  test_done ("time in which no guard was there is not time in which the container that was struck would not die");

  child_end (stuck);
  set_available (4000);
  for (int i = 0; i < 3000 && guard.victim != NULL; i++)
    steps (1);
  CHECK (guard.victim == NULL && events ("\"type\":\"kill\"") == 1);
  test_done ("its death is waited for, and told once");
  guard_stop (&guard);
}

static void
test_long_ago (const struct child *next)
{
  struct spark_container gone = { .pid = next->pid, .pid_start = 1, .created_ns = 1 };

  if (clock_boot_ns () < 200 * NS_PER_SECOND)
    {
      test_skip ("a kill of minutes ago", "the machine was started a moment ago");
      return;
    }
  leave_intent ("gone", &gone, 120 * NS_PER_SECOND);
  begin_short ();
  CHECK (guard.victim == NULL);
  CHECK (dies_within (next, NS_PER_SECOND));
  test_done ("a kill of minutes ago whose victim is gone keeps nobody from being judged");
  guard_stop (&guard);
}

int
main (void)
{
  directories_make ();
  struct child stuck = child_start (20), next = child_start (20);
  test_gap (&stuck, &next);
  test_long_ago (&next);
  close (next.stderr_fd);
  directories_remove ();
  return check_done ();
}

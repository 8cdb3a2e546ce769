/* Who answers for memory that went while it was short already: those who took the last of it, whoever took the rest before. */
#include "test/guard/in_process.h"

/* Memory is short, and stays as it is for long enough to be remembered. */
static void
stay_short (uint64_t mib)
{
  uint64_t begun_ns = clock_boot_ns ();

  set_available (mib);
  for (int i = 0; i < 5000; i++)
    {
      const struct stock *mark = &guard.marks[guard.last_mark];
      if (mark->at_ns > begun_ns && mark->available_bytes == mib * MIB)
        return;
      steps (5);
    }
  abort ();
}

static void
become_plentiful (void)
{
  set_available (4000);
  take_stock ();
}

static void
test_took_the_last (void)
{
  struct child old = child_start (60);
  struct spark_container a = container_of ("old", &old, 4096 * MIB);

  register_entry (&a);
  become_plentiful ();
  /* 3.1 GiB go to processes of the host: no container has a quarter of that. */
  stay_short (900);
  set_available (400);
  steps (150);
  CHECK (guard.victim == NULL && waitpid (old.pid, NULL, WNOHANG) == 0);
  CHECK (events ("nothing is killed") == 1);
  test_done ("a host process took the last of it too: nobody dies, and it is said");

  set_available (900);
  stay_short (900);
  struct child fresh = child_start (150);
  struct spark_container b = container_of ("fresh", &fresh, 4096 * MIB);
  register_entry (&b);
  steps (2);
  set_available (400);
  CHECK (dies (&fresh, 300) && waitpid (old.pid, NULL, WNOHANG) == 0);
  CHECK (events ("\"rule\":\"growth\"") == 1);
  test_done ("one within its budget that took the last of it answers for it, though others took more before");
  close (fresh.stderr_fd);
  become_plentiful ();
  child_end (&old);
  guard.housekept_ns = 0;
  steps (3);
}

static void
test_little (void)
{
  struct child fresh;

  become_plentiful ();
  stay_short (560);
  fresh = child_start (20);
  struct spark_container c = container_of ("breathes", &fresh, 4096 * MIB);
  register_entry (&c);
  steps (2);
  set_available (500); /* less than an eighth of the reserve went */
  CHECK (!dies (&fresh, 300));
  test_done ("a fall of little says nothing about who took it");
  become_plentiful ();
  child_end (&fresh);
  guard.housekept_ns = 0;
  steps (3);
}

static void
test_long_ago (void)
{
  struct child early = child_start (150);
  struct spark_container c = container_of ("early", &early, 4096 * MIB);

  become_plentiful ();
  stay_short (900);
  register_entry (&c);
  stay_short (740);
  /* As if its growth lay further back than anything that is remembered. */
  for (unsigned i = 0; i < STOCK_MARKS; i++)
    if (guard.marks[i].available_bytes > 800 * MIB)
      guard.marks[i].at_ns = 1;
  set_available (400);
  CHECK (!dies (&early, 300));
  test_done ("one that grew long before, and not with the last of it, does not");
  become_plentiful ();
  child_end (&early);
}

int
main (void)
{
  directories_make ();
  guard_begin_or_end (RESERVE_BYTES);
  test_took_the_last ();
  test_little ();
  test_long_ago ();
  guard_stop (&guard);
  directories_remove ();
  return check_done ();
}

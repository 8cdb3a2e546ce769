/* A guard that is started while memory is short: it knows how things were before from the one that it takes the place of. */
#include "test/guard/in_process.h"

#define SMALL_RESERVE "16777216" /* 16 MiB, so that the soft line is at 32 MiB */

/* What each of them holds is more than a quarter of this host, and within its budget. */
enum { HOST_MIB = 256, HELD_MIB = 75, BUDGET_MIB = 200 };

/* Started before the first guard, whose lock they would hold on else. */
static struct child old, fresh, giant, neighbour;
static char calm_path[80];
static int zoneinfo_fd;

static void
set_small (unsigned mib)
{
  char text[128];

  snprintf (text, sizeof text, "MemTotal: %u kB\nMemFree: 0 kB\nMemAvailable: %u kB\nAnonPages: %u kB\n", HOST_MIB * 1024, mib * 1024, (HOST_MIB - mib) * 1024);
  write_meminfo (text);
}

/* Plentiful, with stock taken of all that is registered. */
static void
become_calm (void)
{
  set_small (140);
  take_stock ();
  CHECK (!guard.soft);
}

static void
forget (const char *id)
{
  struct spark_error error;

  spark_registry_remove (guard.table.registry_fd, id, &error);
  steps (2);
}

/* In place of one that knew, while memory is short. */
static void
restart_at (unsigned mib)
{
  guard_stop (&guard);
  set_small (mib);
  guard_begin_or_end (SMALL_RESERVE);
  CHECK (guard.soft);
}

static void
test_restart (void)
{
  struct spark_container a = container_of ("old", &old, BUDGET_MIB * MIB);

  guard_begin_or_end (SMALL_RESERVE);
  register_entry (&a);
  steps (2);
  become_calm ();
  restart_at (25);
  set_small (12);
  CHECK (!dies (&old, 200));
  CHECK (events ("nothing is killed") == 1);
  test_done ("started anew in a shortage that a host process made, the guard kills nobody who did not grow");

  /* Restarted again, in the same shortage: what it wrote down while memory was plentiful stands. */
  restart_at (12);
  CHECK (!dies (&old, 200));
  struct spark_container b = container_of ("fresh", &fresh, BUDGET_MIB * MIB);
  register_entry (&b);
  restart_at (12);
  CHECK (dies (&fresh, 200) && waitpid (old.pid, NULL, WNOHANG) == 0);
  CHECK (events ("\"rule\":\"growth\"") == 1);
  test_done ("one that came after it was written down, and took the memory, answers for it, and not the one that was there");
  close (fresh.stderr_fd);
  become_calm ();

  /* A guard that was killed while it wrote. */
  uint32_t whole = 0;
  cleanup_close int fd = open (calm_path, O_WRONLY | O_CLOEXEC);
  CHECK (pwrite (fd, &whole, sizeof whole, 12) == (ssize_t) sizeof whole);
  restart_at (12);
  CHECK (dies (&old, 200));
  test_done ("what is not whole is not used");
  close (old.stderr_fd);
  become_calm ();
}

static void
test_first_start (void)
{
  struct spark_container c = container_of ("giant", &giant, BUDGET_MIB * MIB);

  register_entry (&c);
  steps (2);
  CHECK (unlink (calm_path) == 0);
  restart_at (25);
  set_small (12);
  CHECK (!dies (&giant, 200));
  test_done ("the first guard of all, started in a shortage: who did not grow since does not die for what a host process took since");

  CHECK (unlink (calm_path) == 0);
  restart_at (12);
  CHECK (dies (&giant, 200));
  test_done ("started under the reserve, with nothing taken since and nothing known of before: who holds much answers for it");
  close (giant.stderr_fd);
  become_calm ();
  forget ("giant");
}

/* `freed_mib` are in no line of meminfo, as what programs freed and the kernel keeps on processors' lists. */
static void
set_freed (unsigned available_mib, unsigned freed_mib)
{
  char text[160];

  snprintf (text, sizeof text, "MemTotal: %u kB\nMemFree: %u kB\nMemAvailable: %u kB\nAnonPages: %u kB\n", HOST_MIB * 1024, available_mib * 1024,
            available_mib * 1024, (HOST_MIB - available_mib - freed_mib) * 1024);
  write_meminfo (text);
}

static void
set_lists (unsigned mib)
{
  char text[160];
  int length = snprintf (text, sizeof text, "Node 0, zone   Normal\n  pagesets\n    cpu: 0\n              count:    %8ld\n",
                         (long) (mib * MIB) / sysconf (_SC_PAGESIZE));

  CHECK (pwrite (zoneinfo_fd, text, (size_t) length, 0) == length);
}

static bool
user_of_gpu_dies (void)
{
  for (unsigned i = 0; i < guard.table.count; i++)
    guard.table.entries[i].uses_gpu = true;
  guard.housekept_ns = clock_boot_ns (); /* its /proc does not show that */
  return dies (&neighbour, 200);
}

static void
test_page_lists (void)
{
  enum { FREED_MIB = 60 };
  struct spark_container c = container_of ("neighbour", &neighbour, BUDGET_MIB * MIB);

  set_freed (140, 0);
  register_entry (&c);
  steps (2);
  take_stock ();
  set_lists (FREED_MIB);
  set_freed (12, FREED_MIB);
  CHECK (!user_of_gpu_dies ());
  test_done ("what the kernel keeps on processors' lists of what others freed is nothing that a user of the GPU has taken");
  set_lists (0);
  CHECK (user_of_gpu_dies ());
  test_done ("memory that is on no list either is");
  close (neighbour.stderr_fd);
  become_calm ();
}

int
main (void)
{
  char zoneinfo_path[80];

  directories_make ();
  snprintf (calm_path, sizeof calm_path, "%s/guard.calm", run_dir);
  old = child_start (HELD_MIB);
  fresh = child_start (HELD_MIB);
  giant = child_start (HELD_MIB);
  neighbour = child_start (HELD_MIB);
  snprintf (zoneinfo_path, sizeof zoneinfo_path, "%s/zoneinfo", directory);
  zoneinfo_fd = open (zoneinfo_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  set_small (140);
  test_restart ();
  test_first_start ();
  test_page_lists ();
  close (zoneinfo_fd);
  guard_stop (&guard);
  directories_remove ();
  return check_done ();
}

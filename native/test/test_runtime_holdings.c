/* What admission counts as held: the containers that live, and those that are being made. */
#include "common/cleanup.h"
#include "common/process.h"
#include "common/ledger.h"
#include "runtime/admission.h"
#include "runtime/holdings.h"
#include "test/check.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (UINT64_C (1) << 20)
#define GIB (UINT64_C (1) << 30)

static char root[64] = "/tmp/spark-holdings-XXXXXX";
static int registry_fd, admitted_fd;

static int
directory (const char *name)
{
  char path[128];

  snprintf (path, sizeof path, "%s/%s", root, name);
  return mkdir (path, 0700) == 0 ? open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static void
put (int fd, const char *id, uint64_t budget_bytes, bool lives)
{
  struct spark_container c = { .pid = getpid (), .budget_bytes = budget_bytes, .created_ns = spark_boottime_ns () };

  snprintf (c.id, sizeof c.id, "%s", id);
  CHECK (spark_process_start ("/proc", c.pid, &c.pid_start) == 0);
  c.pid_start += lives ? 0 : 1;
  CHECK (spark_registry_write (fd, &c, NULL) == 0);
}

static uint64_t
held (const char *except_id)
{
  struct spark_holdings sum = { .except_id = except_id, .proc_dir = "/proc" };

  spark_holdings_sum (&sum, registry_fd, admitted_fd);
  return sum.budget_bytes;
}

/* The guard keeps the largest reserve that anybody asks for, so every shim must know it. */
static void
test_reserve (void)
{
  struct spark_plan plan = { .run_dir = root, .proc_dir = "/proc", .reserve_bytes = 8 * MIB, .max_bytes = 64 * MIB };
  struct spark_container careful = { .id = "careful", .pid = getpid (), .budget_bytes = MIB, .reserve_bytes = 16 * MIB };
  struct spark_wish wish = { .budget_bytes = MIB };
  struct spark_grant grant;
  struct spark_error error = { 0 };
  struct spark_ledger_view view;
  const uint64_t wishes[][2] = { { 0, 16 * MIB }, { 12 * MIB, 16 * MIB }, { 20 * MIB, 20 * MIB } };

  CHECK (spark_process_start ("/proc", careful.pid, &careful.pid_start) == 0 && spark_registry_write (registry_fd, &careful, NULL) == 0);
  for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++)
    {
      wish.reserve_bytes = wishes[i][0];
      CHECK (spark_admit (&plan, "beside", "docker", &wish, getpid (), &grant, &error) == 0);
      cleanup_close int fd = open (grant.ledger, O_RDONLY | O_CLOEXEC);
      CHECK (fd >= 0 && spark_ledger_peek (fd, &view) == 0 && view.reserve_bytes == wishes[i][1]);
      CHECK (grant.reserve_bytes == wishes[i][0]);
    }
  test_done ("a new ledger holds the largest reserve: the host's, the container's own, or another one's");

  /* "beside" was admitted with 20 MiB; somebody who wants more comes after it. */
  struct spark_container late = { .id = "late", .pid = getpid (), .pid_start = careful.pid_start, .budget_bytes = MIB, .reserve_bytes = 24 * MIB };
  CHECK (spark_register (&plan, &late, &error) == 0);
  cleanup_close int fd = open (grant.ledger, O_RDWR | O_CLOEXEC);
  CHECK (spark_ledger_peek (fd, &view) == 0 && view.reserve_bytes == 24 * MIB && view.budget_bytes == MIB);
  late.pid_start++; /* begun anew with less: what is known stays, until its container begins anew */
  late.reserve_bytes = 12 * MIB;
  CHECK (spark_register (&plan, &late, &error) == 0 && spark_ledger_peek (fd, &view) == 0 && view.reserve_bytes == 24 * MIB);
  CHECK (ftruncate (fd, 10) == 0);
  late.pid_start--;
  late.reserve_bytes = 28 * MIB;
  CHECK (spark_register (&plan, &late, &error) == 0);
  test_done ("a larger reserve that is registered later is told to the ledgers that are there, and one that is broken holds up nobody");
  spark_registry_remove (registry_fd, "careful", NULL);
  spark_registry_remove (registry_fd, "late", NULL);
  spark_registry_remove (admitted_fd, "beside", NULL);
}

int
main (void)
{
  char command[128];

  CHECK (mkdtemp (root) != NULL);
  registry_fd = directory ("containers");
  admitted_fd = directory ("admitted");
  CHECK (registry_fd >= 0 && admitted_fd >= 0);
  test_reserve ();
  CHECK (held ("none") == 0);
  put (registry_fd, "lives", 10 * GIB, true);
  put (registry_fd, "dead", 20 * GIB, false);
  put (admitted_fd, "coming", 5 * GIB, true);
  put (admitted_fd, "failed", 3 * GIB, false);
  CHECK (held ("none") == 15 * GIB && held ("lives") == 5 * GIB);
  test_done ("those that live and those that are being made hold their budgets, the dead do not");

  put (admitted_fd, "lives", 10 * GIB, true);
  CHECK (held ("none") == 15 * GIB);
  test_done ("one that is registered already counts once");

  put (admitted_fd, "dead", 40 * GIB, true);
  CHECK (held ("none") == 55 * GIB);
  test_done ("one that is started a second time holds its budget while the dead entry of its name lies there still");

  snprintf (command, sizeof command, "rm -r %s", root);
  CHECK (system (command) == 0);
  close (registry_fd);
  close (admitted_fd);
  return check_done ();
}

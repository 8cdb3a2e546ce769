/* Reading the memory cgroup, and the size that an allocation is charged. */
#include "common/ledger.h"
#include "common/meminfo.h"
#include "shim/budget.h"
#include "shim/cgroup_memory.h"
#include "test/check.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64] = "/tmp/spark-cgroup-XXXXXX";

/* Writes a file below the scratch directory, with the directories that it needs. */
static void
put (const char *name, const char *text)
{
  char path[512];
  snprintf (path, sizeof path, "%s/%s", root, name);
  for (char *slash = path + strlen (root) + 1; (slash = strchr (slash, '/')) != NULL; *slash++ = '/')
    {
      *slash = '\0';
      mkdir (path, 0700);
    }
  FILE *file = fopen (path, "w");
  CHECK (file != NULL);
  if (file != NULL)
    {
      fputs (text, file);
      fclose (file);
    }
}

static uint64_t
read_bytes (const char *mount, bool in_container)
{
  char cgroup_root[128], proc[128];
  snprintf (cgroup_root, sizeof cgroup_root, "%s/%s", root, mount);
  snprintf (proc, sizeof proc, "%s/%s/proc_cgroup", root, mount);
  static struct spark_scratch scratch;
  uint64_t bytes = 0;
  CHECK (spark_cgroup_unreclaimable_bytes (cgroup_root, proc, in_container, &scratch, &bytes));
  return bytes;
}

static void
test_parse (void)
{
  CHECK (spark_cgroup_parse_stat ("anon 900\nfile 50\nshmem 10\ninactive_anon 100\nactive_anon 20\ninactive_file 7\nunevictable 3\n") == 123);
  CHECK (spark_cgroup_parse_stat ("inactive_anon 1\nactive_anon 1\nunevictable 1\ntotal_inactive_anon 100\ntotal_active_anon 20\ntotal_unevictable 3") == 123);
  CHECK (spark_cgroup_parse_stat ("") == 0 && spark_cgroup_parse_stat ("active_anon") == 0);
  CHECK (spark_cgroup_parse_stat ("active_anon x\nworkingset_active_anon 5\n") == 0);
  CHECK (spark_cgroup_parse_stat ("anon 100\nkernel 900\nkernel_stack 1\npagetables 2\nsec_pagetables 4\npercpu 8\nsock 16\nvmalloc 32\n"
                                  "inactive_anon 100\nslab_reclaimable 500\nslab_unreclaimable 64\nslab 564\n") == 227);
  test_done ("memory.stat of v2 and v1 (with what lies below), each page once");
}

static void
test_places (void)
{
  static const char stat[] = "inactive_anon 100\nactive_anon 20\nunevictable 3\n";
  put ("c2/memory.stat", stat);
  put ("c2/cgroup.events", "populated 1\n");
  put ("c2/proc_cgroup", "0::/\n");
  CHECK (read_bytes ("c2", true) == 123 && read_bytes ("c2", false) == 123);
  put ("c1/memory/memory.stat", stat);
  put ("c1/proc_cgroup", "4:memory:/docker/abc\n0::/\n");
  CHECK (read_bytes ("c1", true) == 123);
  test_done ("a container whose cgroup is the top of its view, v2 and v1");
  put ("h2/memory.stat", "inactive_anon 999999\n");
  put ("h2/docker/abc/memory.stat", stat);
  put ("h2/proc_cgroup", "0::/docker/abc\n");
  CHECK (read_bytes ("h2", true) == 123 && read_bytes ("h2", false) == 0);
  put ("h1/memory/memory.stat", "inactive_anon 999999\n");
  put ("h1/memory/release_agent", "\n");
  put ("h1/memory/docker/abc/memory.stat", stat);
  put ("h1/proc_cgroup", "9:name=systemd:/x\n4:memory:/docker/abc\n");
  CHECK (read_bytes ("h1", true) == 123 && read_bytes ("h1", false) == 0);
  test_done ("a container that sees the whole machine's tree is found by its own line");
  put ("h2/proc_cgroup", "0::/\n");
  put ("h1/proc_cgroup", "4:memory:/../../docker/abc\n");
  CHECK (read_bytes ("h2", true) == 0 && read_bytes ("h1", true) == 0 && read_bytes ("nowhere", true) == 0);
  test_done ("the machine's root is never read, nor anything outside, nor what is not there");
}

static void
test_charge (void)
{
  uint64_t mib = 1 << 20;
  CHECK (spark_budget_charge (1) == 512 && spark_budget_charge (512) == 512 && spark_budget_charge (513) == 1024);
  CHECK (spark_budget_charge (mib) == mib && spark_budget_charge (mib + 1) == 2 * mib);
  CHECK (spark_budget_charge (2 * mib) == 2 * mib && spark_budget_charge (2 * mib + 1) == 4 * mib);
  CHECK (spark_budget_charge (UINT64_MAX) == UINT64_MAX && spark_budget_charge ((uint64_t) 1 << 63) == (uint64_t) 1 << 63);
  test_done ("what a request is charged");
}

static uint64_t
host_available_bytes (void)
{
  struct spark_meminfo meminfo = { 0 };
  int fd = open ("/proc/meminfo", O_RDONLY);
  CHECK (fd >= 0 && spark_meminfo_read (fd, 0, &meminfo) == 0);
  close (fd);
  return meminfo.available_bytes;
}

/* What a dead process held is in MemAvailable again, though its slot still says so: it must not count as room a second time. */
static void
test_dead_room (void)
{
  uint64_t room = (uint64_t) 512 << 20, dead = (uint64_t) 64 << 30, available = host_available_bytes ();
  char path[128];
  snprintf (path, sizeof path, "%s/ledger", root);
  CHECK (available > 2 * room && spark_ledger_create (path, dead * 2, available - room, 0, NULL) == 0);
  static struct spark_budget budget;
  CHECK (spark_ledger_join (&budget.ledger, path) == SPARK_LEDGER_JOINED);
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    {
      struct spark_ledger_client client = { 0 };
      _exit (spark_ledger_join (&client, path) == SPARK_LEDGER_JOINED && spark_ledger_reserve (&client, dead, dead * 2) ? 0 : 1);
    }
  int status = 1;
  CHECK (waitpid (pid, &status, 0) == pid && status == 0);
  /* The machine does other things besides: within a gigabyte, where the mistake would be 64. */
  CHECK (spark_budget_room (&budget).free_bytes < ((uint64_t) 2 << 30));
  CHECK (!spark_budget_try (&budget, (uint64_t) 32 << 30) && budget.ledger.header->refused_count == 0);
  spark_budget_refuse (&budget);
  CHECK (budget.ledger.header->refused_count == 1);
  spark_ledger_leave (&budget.ledger);
  test_done ("what the dead held is no room of the host a second time");
}

int
main (void)
{
  if (mkdtemp (root) == NULL)
    return 1;
  test_parse ();
  test_places ();
  test_charge ();
  test_dead_room ();
  char command[128];
  snprintf (command, sizeof command, "rm -r -- '%s'", root);
  CHECK (system (command) == 0);
  return check_done ();
}

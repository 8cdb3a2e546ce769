/* How much the guard knows of each container, from a /proc and cgroups of our own making. */
#include "common/cleanup.h"
#include "guard/clock.h"
#include "guard/devices.h"
#include "guard/guard.h"
#include "guard/proc_file.h"
#include "guard/usage.h"
#include "test/check.h"
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB UINT64_C (1024)
#define G(n) ((uint64_t) (n) << 30)

#define HOST(huge_in_use) (struct usage_host) { G (100), huge_in_use }

enum { MANY = 900 };

static char root[] = "/tmp/spark-guard-usage.XXXXXX";
static char proc_dir[64];

static void
write_text (const char *path, const char *text)
{
  FILE *file = fopen (path, "w");
  if (file == NULL || fputs (text, file) < 0 || fclose (file) != 0)
    abort ();
}

static void
process_make (int pid, uint64_t huge_kib, uint64_t anon_kib, uint64_t shmem_kib)
{
  char path[128], text[256];
  snprintf (path, sizeof path, "%s/%d", proc_dir, pid);
  mkdir (path, 0755);
  snprintf (path, sizeof path, "%s/%d/fd", proc_dir, pid);
  mkdir (path, 0755);
  snprintf (path, sizeof path, "%s/%d/status", proc_dir, pid);
  snprintf (text, sizeof text, "Name:\tx\nRssAnon:\t%llu kB\nRssShmem:\t%llu kB\nHugetlbPages:\t%llu kB\n",
            (unsigned long long) anon_kib, (unsigned long long) shmem_kib, (unsigned long long) huge_kib);
  write_text (path, text);
}

static void
file_open (int pid, unsigned number, const char *target)
{
  char path[128];
  snprintf (path, sizeof path, "%s/%d/fd/%u", proc_dir, pid, number);
  if (symlink (target, path) != 0)
    abort ();
}

/* A container with the processes `first` and the `count` - 1 after it. */
static struct entry
container (const char *name, int first, int count, bool memory_cgroup)
{
  struct entry e = { .used = true, ENTRY_NOTHING_OPEN };
  char path[128];

  snprintf (path, sizeof path, "%s/%s", root, name);
  mkdir (path, 0755);
  e.usage_dir_fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  snprintf (path, sizeof path, "%s/%s/cgroup.procs", root, name);
  FILE *file = fopen (path, "w");
  for (int i = 0; i < count; i++)
    fprintf (file, "%d\n", first + i);
  fclose (file);
  snprintf (path, sizeof path, "%s/%s/memory.stat", root, name);
  if (memory_cgroup)
    {
      write_text (path, "anon 1000\nshmem 0\n");
      e.stat_fd = open (path, O_RDONLY | O_CLOEXEC);
      e.stat_is_v2 = true;
    }
  return e;
}

static void
test_fairness (void)
{
  struct entry e[2] = { container ("many", 1000, MANY, true), container ("greedy", 5000, 1, true) };
  unsigned turn = 0, calls = 1, seen = 0;

  for (int i = 0; i < MANY; i++)
    process_make (1000 + i, 1, 0, 0);
  process_make (5000, G (50) / KIB, 0, 0);

  /* A time that has run out already: one process each time. */
  CHECK (!usage_refresh (e, 2, &turn, proc_dir, &HOST (G (60)), 1));
  CHECK (e[0].cgroup_bytes == 1000 && e[1].cgroup_bytes == 1000);
  test_done ("what the memory cgroup knows is read for everybody, however little time there is");
  CHECK (!usage_refresh (e, 2, &turn, proc_dir, &HOST (G (60)), 1));
  CHECK (e[1].driver_bytes == G (50));
  test_done ("who comes after a container with many processes has its turn next");
  while (calls < 3 * MANY && e[0].part.processes < MANY)
    {
      usage_refresh (e, 2, &turn, proc_dir, &HOST (G (60)), 1);
      calls++;
    }
  CHECK (e[0].driver_bytes == MANY * KIB);
  test_done ("a long walk is done in parts, and comes to the whole sum");

  e[0].part = (struct usage_part){ 0 };
  e[0].huge_bytes = G (1);
  usage_refresh (&e[0], 1, &turn, proc_dir, &HOST (G (60)), 1);
  CHECK (e[0].part.processes == 1 && e[0].driver_bytes == G (1));
  test_done ("who is cut short keeps the last value");
  CHECK (usage_refresh (e, 2, &turn, proc_dir, &HOST (G (60)), 0));
  CHECK (e[0].driver_bytes == MANY * KIB && e[0].part.processes == 0 && e[1].driver_bytes == G (50));
  test_done ("without a limit everything is read at once");

  for (int i = 0; i < 20; i++)
    {
      e[1].huge_bytes = 0;
      turn = 0;
      usage_refresh (e, 2, &turn, proc_dir, &HOST (G (60)), clock_boot_ns () + 2 * NS_PER_MS);
      seen += e[1].driver_bytes == G (50);
    }
  CHECK (seen > 0); /* nearly always 20; a busy machine may take a choice's two milliseconds away */
  test_done ("the greedy one is seen in a choice's time, though 900 processes come first");
  close (e[0].usage_dir_fd), close (e[0].stat_fd), close (e[1].usage_dir_fd), close (e[1].stat_fd);
}

static void
test_shared (void)
{
  struct entry e = container ("shared", 6000, 11, true), bare = container ("bare", 6000, 11, false);
  unsigned turn = 0;
  char path[128];

  for (int i = 0; i < 11; i++)
    process_make (6000 + i, 4096, 100, 5000);
  CHECK (usage_refresh (&e, 1, &turn, proc_dir, &HOST (6144 * KIB), 0) && e.driver_bytes == 6144 * KIB);
  test_done ("huge pages that eleven processes share are no more than the host has in use");
  CHECK (usage_refresh (&bare, 1, &turn, proc_dir, &HOST (0), 0) && bare.cgroup_bytes == (11 * 100 + 5000) * KIB && bare.driver_bytes == 0);
  test_done ("without a memory cgroup shared memory counts once");

  const char *books[][2] = { { "hugetlb.2MB.current", "4194304\n" }, { "hugetlb.1GB.usage_in_bytes", "0\n" },
                             { "hugetlb.2MB.rsvd.current", "99\n" }, { "hugetlb.2MB.max_usage_in_bytes", "99\n" },
                             { "hugetlb.2MB.max", "99\n" } };
  for (size_t i = 0; i < sizeof books / sizeof books[0]; i++)
    {
      snprintf (path, sizeof path, "%s/shared/%s", root, books[i][0]);
      write_text (path, books[i][1]);
    }
  e.huge_count = huge_pages_open (e.usage_dir_fd, e.huge_fds);
  CHECK (e.huge_count == 2);
  CHECK (usage_refresh (&e, 1, &turn, proc_dir, &HOST (G (60)), 1) && e.driver_bytes == 4096 * KIB);
  test_done ("where the kernel keeps a book of huge pages, it counts, and no process is asked");
  close (bare.usage_dir_fd);
  entry_close (&e);
}

static void
test_other_sizes (void)
{
  static struct guard g;
  static const char *const texts[] = {
    "MemTotal: 8 kB\nMemAvailable: 8 kB\nHugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 kB\nHugetlb: 8388608 kB\n",
    "MemTotal: 8 kB\nMemAvailable: 8 kB\nHugePages_Total: 1024\nHugePages_Free: 1024\nHugepagesize: 2048 kB\nHugetlb: 10485760 kB\n",
    "MemTotal: 8 kB\nMemAvailable: 8 kB\nHugePages_Total: 1024\nHugePages_Free: 1024\nHugepagesize: 2048 kB\nHugetlb: 2097152 kB\n",
    "MemTotal: 8 kB\nMemAvailable: 8 kB\nHugePages_Total: 1024\nHugePages_Free: 512\nHugepagesize: 2048 kB\n",
  };
  static const uint64_t want[] = { G (4), G (4), 0, G (1) };

  process_make (6500, G (4) / KIB, 0, 0);
  g.options.proc_dir = proc_dir;
  g.table.count = 1;
  g.table.entries[0] = container ("gigantic", 6500, 1, true);
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    {
      CHECK (spark_meminfo_parse (texts[i], strlen (texts[i]), 0, &g.memory) == 0);
      g.table.entries[0].huge_bytes = 0;
      CHECK (guard_read_use (&g, 0) && g.table.entries[0].driver_bytes == want[i]);
    }
  entry_close (&g.table.entries[0]);
  test_done ("huge pages of 1 GiB count, though the default size has none in use");
}

static void
test_devices (void)
{
  struct entry e[3] = { container ("idle", 7000, 2, true), container ("user", 7100, 2, true), container ("pages", 7200, 1, true) };
  unsigned turn = 0, calls = 0;
  int pids[] = { 7000, 7001, 7100, 7101, 7200 };

  CHECK (devices_is_gpu ("/dev/nvidiactl") && devices_is_gpu ("/dev/nvidia-uvm") && devices_is_gpu ("/dev/dri/renderD128"));
  CHECK (devices_is_gpu ("/dev/nvmap") && devices_is_gpu ("/dev/nvhost-gpu"));
  CHECK (!devices_is_gpu ("/dev/null") && !devices_is_gpu ("socket:[5]") && !devices_is_gpu ("/srv/dev/nvidia0"));
  test_done ("a GPU's devices are known by name");

  for (size_t i = 0; i < sizeof pids / sizeof pids[0]; i++)
    {
      process_make (pids[i], 0, 0, 0);
      for (unsigned number = 0; number < 200; number++)
        file_open (pids[i], number, "/dev/null");
    }
  process_make (7200, 2048, 0, 0);
  file_open (7101, 200, "/dev/nvidia-uvm");
  devices_find (e, 3, &turn, proc_dir, 1);
  CHECK (e[0].device_search.processes == 0 && e[0].device_search.offset != 0);
  while (!e[1].uses_gpu && calls++ < 1000)
    devices_find (e, 3, &turn, proc_dir, 1);
  CHECK (calls > 1 && calls < 1000 && !e[0].uses_gpu && !e[2].uses_gpu);
  test_done ("a search without time goes on where it stopped, within a process too");
  e[1].uses_gpu = false;
  devices_find (e, 3, &turn, proc_dir, 0);
  CHECK (!e[0].uses_gpu && e[1].uses_gpu && !e[2].uses_gpu);
  test_done ("who has a GPU's device open uses the GPU, and nobody else");
  turn = 0;
  usage_refresh (e, 3, &turn, proc_dir, &HOST (G (1)), 0);
  CHECK (!e[0].uses_gpu && e[2].uses_gpu);
  test_done ("and so does who holds huge pages");
  for (int i = 0; i < 3; i++)
    entry_close (&e[i]);
}

/* Its groups come before everything that is asked of a process: as many as a process may have. */
static void
test_groups (void)
{
  static const unsigned counts[] = { 0, 300, 1200, 65536 };
  struct entry e = container ("groups", 8000, 1, false);
  static char text[1 << 20];
  unsigned turn = 0;
  char path[128];

  process_make (8000, 0, 0, 0);
  snprintf (path, sizeof path, "%s/8000/status", proc_dir);
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    for (unsigned shift = 0; shift < 40; shift++) /* so that the end of a piece falls anywhere in the lines after it */
      {
        size_t used = (size_t) sprintf (text, "Name:\t%.*s\nGroups:\t", (int) shift, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
        for (unsigned group = 0; group < counts[i]; group++)
          used += (size_t) sprintf (text + used, "%u ", 1000000000 + group);
        sprintf (text + used, "\nNSpid:\t8000\nRssAnon:\t  262144 kB\nRssFile:\t 7 kB\nRssShmem:\t  1024 kB\nVmData:\t1 kB\nHugetlbPages:\t  2048 kB\n");
        write_text (path, text);
        usage_refresh (&e, 1, &turn, proc_dir, &HOST (G (1)), 0);
        CHECK (e.cgroup_bytes == (262144 + 1024) * KIB && e.huge_bytes == 2048 * KIB);
      }
  test_done ("however many groups a process is in, what it holds is found");
  entry_close (&e);
}

/* A real one: the first process of a pid namespace, in 65,536 groups, with 16 MiB of its own. */
static void
test_many_groups (void)
{
  static gid_t groups[65536];
  const char *name = "a container's init in as many groups as may be is known as what it is, and its memory is found";
  int ready[2];
  char byte, stat[1024];

  for (unsigned i = 0; i < 65536; i++)
    groups[i] = 1000000000 + i;
  if (geteuid () != 0 || pipe2 (ready, O_CLOEXEC) != 0)
    {
      test_skip (name, "needs root");
      return;
    }
  pid_t pid = (pid_t) syscall (SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0)
    {
      char *memory = mmap (NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      byte = memory != MAP_FAILED && syscall (SYS_setgroups, 65536, groups) == 0 ? 'y' : 'n';
      if (write (ready[1], &byte, 1) != 1)
        _exit (1);
      alarm (30);
      for (;;)
        pause ();
    }
  close (ready[1]);
  if (pid < 0 || read (ready[0], &byte, 1) != 1 || byte != 'y')
    test_skip (name, "no pid namespace, or not that many groups, can be had here");
  else
    {
      const struct entry_place place = { "/proc", "/sys/fs/cgroup", false };
      struct spark_container c = { .id = "first", .pid = pid };
      struct spark_error note;
      struct entry e;
      unsigned turn = 0;
      proc_file_of_pid ("/proc", pid, "stat", stat, sizeof stat);
      c.pid_start = proc_stat_field (stat, 22);
      CHECK (entry_open (&e, &c, &place, &note) == 0 && e.first_of_namespace && e.kill_by == KILL_BY_INIT);
      uint64_t began_ns = clock_boot_ns ();
      usage_refresh (&e, 1, &turn, "/proc", &HOST (0), 0);
      printf ("# one look took %.2f ms\n", (double) (clock_boot_ns () - began_ns) / 1e6);
      CHECK (e.cgroup_bytes >= 16 << 20);
      entry_close (&e);
      test_done (name);
    }
  close (ready[0]);
  if (pid > 0)
    {
      kill (pid, SIGKILL);
      waitpid (pid, NULL, 0);
    }
}

static int
remove_one (const char *path, const struct stat *status, int type, struct FTW *walk)
{
  (void) status, (void) type, (void) walk;
  return remove (path);
}

int
main (void)
{
  if (mkdtemp (root) == NULL)
    abort ();
  snprintf (proc_dir, sizeof proc_dir, "%s/proc", root);
  mkdir (proc_dir, 0755);
  test_fairness ();
  test_shared ();
  test_other_sizes ();
  test_devices ();
  test_groups ();
  test_many_groups ();
  nftw (root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  return check_done ();
}

#include "guard/usage.h"

#include "common/cleanup.h"
#include "common/ledger.h"
#include "guard/clock.h"
#include "guard/huge_pages.h"
#include "guard/page_lists.h"
#include "guard/proc_file.h"
#include "guard/processes.h"
#include <string.h>
#include <unistd.h>

/* A container that made us slow once can do it again: by then it has had its harm, a ledger that counts in full. */
#define ASK_AGAIN_NS (10 * NS_PER_SECOND)

static uint64_t
larger (uint64_t a, uint64_t b)
{
  return a > b ? a : b;
}

static uint64_t
smaller (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* What the kernel holds for a v2 cgroup and cannot drop; none of it is on a list. Not `kernel`, which has these but for sockets, and
   with them what can be dropped and what a driver may have charged, which the ledger has already. Old kernels lack some. */
static uint64_t
kernel_from_memory_stat (const char *text)
{
  static const char *const keys[]
    = { "slab_unreclaimable ", "sock ", "kernel_stack ", "pagetables ", "sec_pagetables ", "percpu ", "vmalloc " };
  uint64_t bytes = 0;

  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    bytes += proc_file_number (text, keys[i]);
  return bytes;
}

uint64_t
usage_from_memory_stat (const char *text, int is_v2)
{
  /* Two views of the same pages: by kind (anonymous and shared memory, wherever it is listed) and by list (everything on the
     anonymous lists plus everything locked, which the kinds miss for locked files). The larger one is right; their sum would
     count most pages twice. */
  if (is_v2)
    return larger (proc_file_number (text, "anon ") + proc_file_number (text, "shmem "),
                   proc_file_number (text, "inactive_anon ") + proc_file_number (text, "active_anon ")
                     + proc_file_number (text, "unevictable "))
           + kernel_from_memory_stat (text);
  return larger (proc_file_number (text, "total_rss ") + proc_file_number (text, "total_shmem "),
                 proc_file_number (text, "total_inactive_anon ") + proc_file_number (text, "total_active_anon ")
                   + proc_file_number (text, "total_unevictable "));
}

/* Pages that compressed swap keeps its contents in: zswap's have a line in meminfo, zram's are only among those of its allocator,
   which zswap mostly uses, too. */
static uint64_t
compressed_kib (const char *meminfo, int vmstat_fd)
{
  char text[4096]; /* what is asked for stands at the beginning */
  uint64_t pages = vmstat_fd >= 0 && proc_file_read (vmstat_fd, text, sizeof text, 0) > 0 ? proc_file_number (text, "nr_zspages ") : 0;

  return larger (proc_file_number (meminfo, "Zswap:"), pages * ((uint64_t) sysconf (_SC_PAGESIZE) / 1024));
}

uint64_t
usage_hidden_bytes (const struct usage_books *books)
{
  /* Not CmaFree and Unaccepted, which are in MemFree; nor Balloon, which most drivers take off MemTotal. */
  static const char *const explained[]
    = { "MemFree:", "Buffers:", "Cached:", "SwapCached:", "AnonPages:", "Slab:", "PageTables:", "SecPageTables:", "Percpu:",
        "Hugetlb:", "Bounce:", "WritebackTmp:", "HardwareCorrupted:" };
  char text[8192];

  if (proc_file_read (books->meminfo_fd, text, sizeof text, 0) <= 0)
    return 0;
  uint64_t total_kib = proc_file_number (text, "MemTotal:"), known_kib = 0;
  for (size_t i = 0; i < sizeof explained / sizeof explained[0]; i++)
    known_kib += proc_file_number (text, explained[i]);
  /* Stacks are in vmalloc, too, wherever they are mapped by it. */
  known_kib += larger (proc_file_number (text, "KernelStack:"), proc_file_number (text, "VmallocUsed:"));
  known_kib += compressed_kib (text, books->vmstat_fd) + page_lists_bytes (books->zoneinfo_fd) / 1024;
  return total_kib > known_kib ? (total_kib - known_kib) * 1024 : 0;
}

/* --- books --------------------------------------------------------------------------------------------------------- */

static bool
must_ask_processes (const struct entry *e, const struct usage_host *host)
{
  return e->stat_fd < 0 || (host->huge_in_use_bytes > 0 && e->huge_count == 0);
}

static void
settle (struct entry *e, const struct usage_host *host)
{
  /* Pages that several processes share are in the sum once for each of them. No container holds more than the host: that is all
     that can be said without the hugetlb controller, so a container with many processes on shared huge pages may still look as
     large as that. */
  if (e->huge_count == 0 && e->huge_bytes > host->huge_in_use_bytes)
    e->huge_bytes = host->huge_in_use_bytes;
  if (e->huge_bytes > 0)
    e->uses_gpu = true;
  e->driver_bytes = larger (e->ledger_bytes, e->huge_bytes);
}

static struct spark_ledger_view
read_ledger (struct entry *e)
{
  struct spark_ledger_view ledger = { 0 };
  uint64_t now_ns = clock_boot_ns ();

  if (e->ledger_fd < 0)
    return ledger;
  if (now_ns < e->ledger_ask_after_ns)
    spark_ledger_peek_unasked (e->ledger_fd, &ledger);
  else if (spark_ledger_peek (e->ledger_fd, &ledger) == 0 && ledger.unasked)
    e->ledger_ask_after_ns = now_ns + ASK_AGAIN_NS;
  return ledger;
}

static void
read_books (struct entry *e, const struct usage_host *host)
{
  char text[8192];
  const struct spark_ledger_view ledger = read_ledger (e);

  if (ledger.peak_bytes > 0)
    e->uses_gpu = true;
  e->ledger_bytes = smaller (ledger.used_bytes, host->total_bytes);
  /* A book that cannot be read any more is closed: the processes are asked instead. */
  if (e->stat_fd >= 0 && proc_file_read (e->stat_fd, text, sizeof text, 0) <= 0)
    {
      close (e->stat_fd);
      e->stat_fd = -1;
    }
  else if (e->stat_fd >= 0)
    e->cgroup_bytes = usage_from_memory_stat (text, e->stat_is_v2);
  uint64_t huge_bytes = e->huge_count > 0 ? huge_pages_read (e->huge_fds, e->huge_count) : 0;
  if (huge_bytes == UINT64_MAX)
    while (e->huge_count > 0)
      close (e->huge_fds[--e->huge_count]);
  else if (e->huge_count > 0)
    e->huge_bytes = huge_bytes;
  settle (e, host);
}

/* --- processes ----------------------------------------------------------------------------------------------------- */

struct process_walk {
  struct usage_part *part;
  const char *proc_dir;
  uint64_t deadline_ns;
  unsigned index; /* of the process in the container's list */
  bool cut;
};

struct process_sizes {
  uint64_t huge_kib, anon_kib, shared_kib;
};

/* HugetlbPages is the last of them. */
static int
take_size (const char *line, void *data)
{
  struct process_sizes *sizes = data;

  if (strncmp (line, "RssAnon:", 8) == 0)
    sizes->anon_kib = proc_file_number (line, "RssAnon:");
  else if (strncmp (line, "RssShmem:", 9) == 0)
    sizes->shared_kib = proc_file_number (line, "RssShmem:");
  else if (strncmp (line, "HugetlbPages:", 13) == 0)
    {
      sizes->huge_kib = proc_file_number (line, "HugetlbPages:");
      return 1;
    }
  return 0;
}

static int
process_add (pid_t pid, void *data)
{
  struct process_walk *walk = data;
  struct process_sizes sizes = { 0 };

  if (walk->index++ < walk->part->processes)
    return 0;
  walk->part->processes++;
  proc_file_each_line_of_pid (walk->proc_dir, pid, "status", take_size, &sizes);
  walk->part->huge_kib += sizes.huge_kib;
  walk->part->anon_kib += sizes.anon_kib;
  walk->part->shared_kib = larger (walk->part->shared_kib, sizes.shared_kib);
  return walk->cut = walk->deadline_ns != 0 && clock_boot_ns () > walk->deadline_ns;
}

/* Returns false if it was cut short. */
static bool
ask_processes (struct entry *e, const char *proc_dir, const struct usage_host *host, uint64_t deadline_ns)
{
  struct process_walk walk = { .part = &e->part, .proc_dir = proc_dir, .deadline_ns = deadline_ns };

  processes_each (e, proc_dir, process_add, &walk);
  /* Shared memory is in RssShmem of each process that shares it: the largest is certain, their sum is not. */
  uint64_t huge_bytes = e->part.huge_kib * 1024, private_bytes = (e->part.anon_kib + e->part.shared_kib) * 1024;
  if (e->huge_count == 0)
    e->huge_bytes = walk.cut ? larger (e->huge_bytes, huge_bytes) : huge_bytes;
  if (e->stat_fd < 0)
    e->cgroup_bytes = walk.cut ? larger (e->cgroup_bytes, private_bytes) : private_bytes;
  settle (e, host);
  if (!walk.cut)
    e->part = (struct usage_part){ 0 };
  return !walk.cut;
}

bool
usage_refresh (struct entry *entries, unsigned count, unsigned *turn, const char *proc_dir,
               const struct usage_host *host, uint64_t deadline_ns)
{
  unsigned waiting = 0, first = count > 0 ? *turn % count : 0;
  bool whole = true, asked = false;

  for (unsigned i = 0; i < count; i++)
    if (entries[i].used)
      {
        read_books (&entries[i], host);
        if (must_ask_processes (&entries[i], host))
          waiting++;
        else
          entries[i].part = (struct usage_part){ 0 };
      }
  for (unsigned step = 0; step < count && waiting > 0; step++)
    {
      unsigned i = (first + step) % count;
      if (!entries[i].used || !must_ask_processes (&entries[i], host))
        continue;
      uint64_t now_ns = clock_boot_ns (), left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
      if (deadline_ns != 0 && left_ns == 0 && asked)
        {
          *turn = i;
          return false;
        }
      whole &= ask_processes (&entries[i], proc_dir, host, deadline_ns == 0 ? 0 : now_ns + left_ns / waiting);
      waiting--;
      asked = true;
    }
  *turn = first + 1;
  return whole;
}

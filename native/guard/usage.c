#include "guard/usage.h"

#include "common/cleanup.h"
#include "common/ledger.h"
#include "guard/clock.h"
#include "guard/proc_file.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
larger (uint64_t a, uint64_t b)
{
  return a > b ? a : b;
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
                     + proc_file_number (text, "unevictable "));
  return larger (proc_file_number (text, "total_rss ") + proc_file_number (text, "total_shmem "),
                 proc_file_number (text, "total_inactive_anon ") + proc_file_number (text, "total_active_anon ")
                   + proc_file_number (text, "total_unevictable "));
}

uint64_t
usage_hidden_bytes (int meminfo_fd)
{
  static const char *const explained[]
    = { "MemFree:", "Buffers:", "Cached:", "SwapCached:", "AnonPages:", "Slab:", "KernelStack:", "PageTables:",
        "SecPageTables:", "Percpu:", "Hugetlb:" };
  char text[8192];

  if (proc_file_read (meminfo_fd, text, sizeof text, 0) <= 0)
    return 0;
  uint64_t total_kib = proc_file_number (text, "MemTotal:"), known_kib = 0;
  for (size_t i = 0; i < sizeof explained / sizeof explained[0]; i++)
    known_kib += proc_file_number (text, explained[i]);
  return total_kib > known_kib ? (total_kib - known_kib) * 1024 : 0;
}

/* --- processes ----------------------------------------------------------------------------------------------------- */

struct process_sum {
  const char *proc_dir;
  uint64_t deadline_ns;
  uint64_t huge_kib, private_kib; /* huge pages; anonymous and shared memory, for those without a memory cgroup */
};

static int
process_add (pid_t pid, void *data)
{
  struct process_sum *sum = data;
  char status[4096];

  if (proc_file_of_pid (sum->proc_dir, pid, "status", status, sizeof status) > 0)
    {
      sum->huge_kib += proc_file_number (status, "HugetlbPages:");
      sum->private_kib += proc_file_number (status, "RssAnon:") + proc_file_number (status, "RssShmem:");
    }
  return sum->deadline_ns != 0 && clock_boot_ns () > sum->deadline_ns;
}

/* A process group has no list in the kernel: look at every process. For rehearsals only. */
static void
process_group_add (pid_t pgid, struct process_sum *sum)
{
  _Alignas (struct dirent64) char entries[4096];
  cleanup_close int fd = open (sum->proc_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ssize_t length;

  while (fd >= 0 && (length = getdents64 (fd, entries, sizeof entries)) > 0)
    for (ssize_t at = 0; at < length;)
      {
        const struct dirent64 *entry = (const struct dirent64 *) (entries + at);
        char stat[1024];
        at += entry->d_reclen;
        long pid = strtol (entry->d_name, NULL, 10);
        if (pid <= 0 || pid > INT_MAX || proc_file_of_pid (sum->proc_dir, (pid_t) pid, "stat", stat, sizeof stat) <= 0
            || (pid_t) proc_stat_field (stat, 5) != pgid)
          continue;
        if (process_add ((pid_t) pid, sum) != 0)
          return;
      }
}

static void
entry_refresh (struct entry *e, const char *proc_dir, int huge_pages_in_use, uint64_t deadline_ns)
{
  char text[8192];
  struct process_sum sum = { .proc_dir = proc_dir, .deadline_ns = deadline_ns };
  struct spark_ledger_view ledger = { 0 };

  if (e->ledger_fd >= 0 && spark_ledger_peek (e->ledger_fd, &ledger) != 0)
    ledger.used_bytes = 0;
  if (e->usage_dir_fd >= 0)
    {
      if (huge_pages_in_use)
        proc_file_each_pid (e->usage_dir_fd, process_add, &sum);
    }
  else if (e->pgid != 0)
    process_group_add (e->pgid, &sum);
  else if (e->pid > 0)
    process_add (e->pid, &sum);

  if (e->stat_fd >= 0 && proc_file_read (e->stat_fd, text, sizeof text, 0) > 0)
    e->cgroup_bytes = usage_from_memory_stat (text, e->stat_is_v2);
  else
    e->cgroup_bytes = sum.private_kib * 1024;
  e->ledger_bytes = ledger.used_bytes;
  e->driver_bytes = larger (ledger.used_bytes, sum.huge_kib * 1024);
}

unsigned
usage_refresh (struct entry *entries, unsigned count, const char *proc_dir, int huge_pages_in_use, uint64_t deadline_ns)
{
  unsigned done = 0;

  for (unsigned i = 0; i < count; i++)
    {
      if (!entries[i].used)
        continue;
      if (deadline_ns != 0 && clock_boot_ns () > deadline_ns)
        break;
      entry_refresh (&entries[i], proc_dir, huge_pages_in_use, deadline_ns);
      done++;
    }
  return done;
}

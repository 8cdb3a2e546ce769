#include "budget.h"

#include "common/meminfo.h"
#include "resolve.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <time.h>

enum {
  FIGURES_LAST_ns = 50 * 1000 * 1000,
  /* From this size on (a chunk of MAX's arena) the driver clears pages for a hundred times longer than the kernel takes to answer. */
  ASK_AFRESH_bytes = 256 << 20
};

/* Looked up: clock_gettime itself came with glibc 2.17, later than what the x86_64 shim may name. When the program starts: a child
   forked from several threads may have been left with the loader's lock held. */
static int (*clock_of_libc) (clockid_t clock, struct timespec *time);

__attribute__ ((constructor)) static void
find_clock (void)
{
  clock_of_libc = (int (*) (clockid_t, struct timespec *)) spark_libc_symbol ("clock_gettime");
}

static uint64_t
now_ns (void)
{
  struct timespec time = { 0 };
  if (clock_of_libc != NULL)
    clock_of_libc (CLOCK_MONOTONIC_COARSE, &time);
  else
    raw_syscall (SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &time, 0, 0);
  return (uint64_t) time.tv_sec * 1000000000u + (uint64_t) time.tv_nsec;
}

static uint64_t
minus (uint64_t a, uint64_t b)
{
  return a > b ? a - b : 0;
}

/* The machine's, as the kernel tells it. */
static bool
read_meminfo (const struct spark_ledger_header *header, struct spark_scratch *scratch, struct spark_meminfo *meminfo)
{
  int fd = raw_open ("/proc/meminfo", O_RDONLY);
  if (fd < 0)
    return false;
  long got = raw_is_procfs (fd) ? raw_syscall (SYS_pread64, fd, scratch->text, sizeof scratch->text, 0) : -1;
  raw_close (fd);
  int saved_errno = errno;
  bool read = got > 0 && spark_meminfo_parse (scratch->text, (size_t) got, header->withhold_bytes, meminfo) == 0;
  errno = saved_errno;
  return read;
}

/* MemAvailable - withhold - reserve. Where no file tells (no descriptor left), what is free without dropping anything: less than the truth,
   and so never into the reserve. */
static uint64_t
host_room_bytes (const struct spark_ledger_header *header, struct spark_scratch *scratch)
{
  struct spark_meminfo meminfo;
  if (read_meminfo (header, scratch, &meminfo))
    return minus (meminfo.available_bytes, header->reserve_bytes);
  struct sysinfo info = { 0 };
  if (raw_syscall (SYS_sysinfo, &info, 0, 0, 0) != 0)
    return UINT64_MAX;
  uint64_t unit = info.mem_unit != 0 ? info.mem_unit : 1;
  return minus (minus ((info.freeram + info.bufferram) * unit, header->withhold_bytes), header->reserve_bytes);
}

static void
read_figures (struct spark_budget *budget)
{
  struct spark_figures *figures = &budget->figures;
  if (budget->scratch == NULL)
    {
      budget->scratch = raw_mmap (sizeof *budget->scratch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
      if (budget->scratch == NULL)
        return;
      raw_madvise (budget->scratch, sizeof *budget->scratch, MADV_DONTFORK);
    }
  /* Of the living: what the dead held is in MemAvailable again. */
  uint64_t used = spark_ledger_used (&budget->ledger), unreclaimable_bytes = 0;
  uint64_t room = host_room_bytes (budget->ledger.header, budget->scratch);
  /* What was known stays known where it cannot be asked. */
  if (spark_cgroup_unreclaimable_bytes ("/sys/fs/cgroup", "/proc/self/cgroup", budget->in_container, budget->scratch,
                                        &unreclaimable_bytes))
    figures->unreclaimable_bytes = unreclaimable_bytes;
  figures->host_cap_bytes = room > UINT64_MAX - used ? UINT64_MAX : used + room;
  figures->read_at_ns = now_ns ();
  figures->known = true;
}

/* Figures that are not old; `afresh` asks the kernel now. In a signal handler that interrupted our own code: what was known. */
static struct spark_figures
figures_now (struct spark_budget *budget, bool afresh)
{
  struct spark_figures *figures = &budget->figures;
  if (spark_lock_is_mine (&budget->figures_lock))
    return *figures;
  spark_lock_take (&budget->figures_lock);
  if (afresh || !figures->known || now_ns () - figures->read_at_ns > FIGURES_LAST_ns)
    read_figures (budget);
  struct spark_figures known = *figures;
  spark_lock_give (&budget->figures_lock);
  return known;
}

/* What the ledger may rise to. */
static uint64_t
cap_bytes (struct spark_budget *budget, bool afresh)
{
  struct spark_figures figures = figures_now (budget, afresh);
  uint64_t cap = minus (budget->ledger.header->budget_bytes, figures.unreclaimable_bytes);
  return figures.known && cap > figures.host_cap_bytes ? figures.host_cap_bytes : cap;
}

struct spark_room
spark_budget_room (struct spark_budget *budget)
{
  struct spark_ledger_client *ledger = &budget->ledger;
  uint64_t cap = cap_bytes (budget, true);
  return (struct spark_room){ .total_bytes = ledger->header->budget_bytes,
                              .free_bytes = minus (cap, spark_ledger_used (ledger)) };
}

bool
spark_budget_try (struct spark_budget *budget, uint64_t bytes)
{
  bool afresh = bytes >= ASK_AFRESH_bytes;
  if (spark_ledger_reserve (&budget->ledger, bytes, cap_bytes (budget, afresh)))
    return true;
  /* Never refuse on an old figure. */
  return !afresh && spark_ledger_reserve (&budget->ledger, bytes, cap_bytes (budget, true));
}

void
spark_budget_refuse (struct spark_budget *budget)
{
  spark_ledger_count_refusal (&budget->ledger);
}

bool
spark_budget_pages_are_counted (struct spark_budget *budget)
{
  return figures_now (budget, false).unreclaimable_bytes > 0;
}

void
spark_budget_look_again (struct spark_budget *budget)
{
  spark_lock_take (&budget->figures_lock);
  budget->figures.known = false;
  spark_lock_give (&budget->figures_lock);
}

void
spark_budget_commit (struct spark_budget *budget)
{
  spark_ledger_commit (&budget->ledger);
}

void
spark_budget_release (struct spark_budget *budget, uint64_t bytes)
{
  spark_ledger_release (&budget->ledger, bytes);
}

bool
spark_budget_would_fit (struct spark_budget *budget, uint64_t bytes)
{
  return bytes <= spark_budget_room (budget).free_bytes;
}

/* Above 1 MiB the driver takes whole 2 MiB pages. Smaller requests it packs into pages that they share, at 512 bytes' alignment
   (measured with cuMemGetInfo, driver 580 on H200: 10,000 of 4 KiB take 40 MiB, ten of 1 MiB take 10 MiB, ten of one byte more
   20 MiB). Charged a page each, ten thousand of 4 KiB would fill a budget of 20 GiB. */
uint64_t
spark_budget_charge (uint64_t bytes)
{
  return spark_rounded_up (bytes, bytes <= (1u << 20) ? 512 : 2u << 20);
}

#include "budget.h"

#include "cgroup_memory.h"
#include "common/meminfo.h"
#include "resolve.h"
#include <errno.h>
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

/* MemAvailable - withhold - reserve; no limit where the kernel does not tell. */
static uint64_t
host_room_bytes (const struct spark_ledger_header *header)
{
  int fd = raw_open ("/proc/meminfo", O_RDONLY);
  if (fd < 0)
    return UINT64_MAX;
  struct spark_meminfo meminfo;
  int saved_errno = errno;
  int result = spark_meminfo_read (fd, header->withhold_bytes, &meminfo);
  errno = saved_errno;
  raw_close (fd);
  return result < 0 ? UINT64_MAX : minus (meminfo.available_bytes, header->reserve_bytes);
}

static void
read_figures (struct spark_budget *budget)
{
  struct spark_figures *figures = &budget->figures;
  /* Of the living: what the dead held is in MemAvailable again. */
  uint64_t used = spark_ledger_used (&budget->ledger);
  uint64_t room = host_room_bytes (budget->ledger.header);
  figures->unreclaimable_bytes
    = spark_cgroup_unreclaimable_bytes ("/sys/fs/cgroup", "/proc/self/cgroup", budget->in_container);
  figures->host_cap_bytes = room > UINT64_MAX - used ? UINT64_MAX : used + room;
  figures->read_at_ns = now_ns ();
  figures->known = true;
}

/* Takes the figures' lock, with figures that are not old; `afresh` asks the kernel now. */
static struct spark_figures *
figures_taken (struct spark_budget *budget, bool afresh)
{
  struct spark_figures *figures = &budget->figures;
  spark_lock_take (&figures->lock);
  if (afresh || !figures->known || now_ns () - figures->read_at_ns > FIGURES_LAST_ns)
    read_figures (budget);
  return figures;
}

/* What the ledger may rise to. */
static uint64_t
cap_bytes (struct spark_budget *budget, bool afresh)
{
  struct spark_figures *figures = figures_taken (budget, afresh);
  uint64_t cap = minus (budget->ledger.header->budget_bytes, figures->unreclaimable_bytes);
  if (cap > figures->host_cap_bytes)
    cap = figures->host_cap_bytes;
  spark_lock_give (&figures->lock);
  return cap;
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
  struct spark_figures *figures = figures_taken (budget, false);
  bool counted = figures->unreclaimable_bytes > 0;
  spark_lock_give (&figures->lock);
  return counted;
}

void
spark_budget_look_again (struct spark_budget *budget)
{
  spark_lock_take (&budget->figures.lock);
  budget->figures.known = false;
  spark_lock_give (&budget->figures.lock);
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
  uint64_t unit = bytes <= (1u << 20) ? 512 : 2u << 20;
  return bytes > UINT64_MAX - (unit - 1) ? UINT64_MAX : (bytes + unit - 1) / unit * unit;
}

/* How much of its budget a container has left, and taking from it. docs/design.md section 6.1, "Rules". */
#ifndef SPARK_SHIM_BUDGET_H
#define SPARK_SHIM_BUDGET_H

#include "cgroup_memory.h"
#include "ledger_client.h"

/* What the kernel tells, kept for a moment: reading it takes longer than an allocation from a pool does. */
struct spark_figures {
  bool known;
  uint64_t read_at_ns;          /* CLOCK_MONOTONIC_COARSE */
  uint64_t unreclaimable_bytes; /* what the container's memory cgroup cannot drop */
  uint64_t host_cap_bytes;      /* what the ledger may rise to before the host's reserve is touched */
};

struct spark_budget {
  struct spark_ledger_client ledger;
  struct spark_lock figures_lock;
  struct spark_figures figures;
  struct spark_scratch *scratch; /* for reading them */
  bool in_container; /* the ledger lies where a container has it */
};

/* The budget, and what is left of it: free = max (0, min (budget - used, MemAvailable - withhold - reserve)), where used = driver
   memory of living processes + what the memory cgroup cannot drop. Fresh figures. */
struct spark_room {
  uint64_t total_bytes;
  uint64_t free_bytes;
};
struct spark_room spark_budget_room (struct spark_budget *budget);

/* Takes `bytes` of driver memory; false where they do not fit. Follow with commit, or with release if the driver fails. */
bool spark_budget_try (struct spark_budget *budget, uint64_t bytes);
/* Counts one refusal. */
void spark_budget_refuse (struct spark_budget *budget);
void spark_budget_commit (struct spark_budget *budget);
void spark_budget_release (struct spark_budget *budget, uint64_t bytes);

/* True if `bytes` would fit now. For memory that the memory cgroup counts itself, but only as it is touched. */
bool spark_budget_would_fit (struct spark_budget *budget, uint64_t bytes);

/* True where a memory cgroup can be read: it counts this process's own pages, pinned and managed ones too. A process has anonymous
   pages, so a cgroup that is read says more than 0. */
bool spark_budget_pages_are_counted (struct spark_budget *budget);

/* The cgroup holds more than it did: the next question is not answered from what is remembered. */
void spark_budget_look_again (struct spark_budget *budget);

/* The least multiple of `unit`, a power of two, that holds `bytes`: UINT64_MAX where there is no such number. */
static inline uint64_t
spark_rounded_up (uint64_t bytes, uint64_t unit)
{
  return bytes > UINT64_MAX - (unit - 1) ? UINT64_MAX : (bytes + unit - 1) & ~(unit - 1);
}

/* What the driver takes for a request of `bytes`: UINT64_MAX where there is no such number. */
uint64_t spark_budget_charge (uint64_t bytes);

#endif

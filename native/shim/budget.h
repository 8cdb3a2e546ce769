/* How much of its budget a container has left, and taking from it. docs/design.md section 6.1, "Rules". */
#ifndef SPARK_SHIM_BUDGET_H
#define SPARK_SHIM_BUDGET_H

#include "ledger_client.h"

/* What the kernel tells, kept for a moment: reading it takes longer than an allocation from a pool does. */
struct spark_figures {
  struct spark_lock lock;
  bool known;
  uint64_t read_at_ns;         /* CLOCK_MONOTONIC_COARSE */
  uint64_t unreclaimable_bytes; /* what the container's memory cgroup cannot drop */
  uint64_t host_cap_bytes;      /* what the ledger may rise to before the host's reserve is touched */
};

struct spark_budget {
  struct spark_ledger_client ledger;
  struct spark_figures figures;
  bool in_container; /* the ledger lies where a container has it */
};

/* The budget, and what is left of it: free = max (0, min (budget - used, MemAvailable - withhold - reserve)), where used = driver
   memory of living processes + what the memory cgroup cannot drop. Fresh figures. */
struct spark_room {
  uint64_t total_bytes;
  uint64_t free_bytes;
};
struct spark_room spark_budget_room (struct spark_budget *budget);

/* Takes `bytes` of driver memory, or counts a refusal and returns false. Follow with commit, or with release if the driver fails. */
bool spark_budget_reserve (struct spark_budget *budget, uint64_t bytes);
void spark_budget_commit (struct spark_budget *budget);
void spark_budget_release (struct spark_budget *budget, uint64_t bytes);

/* True if `bytes` would fit now; counts a refusal where they do not. For memory that the memory cgroup counts itself. */
bool spark_budget_would_fit (struct spark_budget *budget, uint64_t bytes);

/* What the driver takes for a request of `bytes`: UINT64_MAX where there is no such number. */
uint64_t spark_budget_charge (uint64_t bytes);

#endif

/* The figures that every report function gives. */
#ifndef SPARK_SHIM_REPORT_H
#define SPARK_SHIM_REPORT_H

#include "cuda_graph.h"
#include "cuda_pool.h"
#include "process.h"

/* The budget, never above what the device really has (`real_total_bytes`; 0 = it did not say). */
static inline uint64_t
spark_report_total (struct spark_process *process, uint64_t real_total_bytes)
{
  uint64_t budget = process->budget.ledger.header->budget_bytes;
  return real_total_bytes != 0 && real_total_bytes < budget ? real_total_bytes : budget;
}

/* Total as above, and what is left; free is never above total. */
static inline struct spark_room
spark_report_room (struct spark_process *process, uint64_t real_total_bytes)
{
  if (!spark_lock_is_mine (&process->pools_lock)) /* else in a signal handler */
    {
      spark_pools_settle (process);
      spark_graphs_settle (process);
    }
  struct spark_room room = spark_budget_room (&process->budget);
  room.total_bytes = spark_report_total (process, real_total_bytes);
  if (room.free_bytes > room.total_bytes)
    room.free_bytes = room.total_bytes;
  return room;
}

#endif

/* What the shim knows about the process it is in. After a fork the child knows nothing: it takes its own slot and starts with
   empty tables, because a CUDA context does not survive a fork and the parent goes on holding what it held. */
#ifndef SPARK_SHIM_PROCESS_H
#define SPARK_SHIM_PROCESS_H

#include "budget.h"
#include "track.h"
#include "vmm_table.h"

struct spark_process {
  _Atomic uint32_t phase;
  struct spark_lock joining;
  struct spark_budget budget;

  struct spark_lock allocations_lock;
  struct spark_track allocations; /* device pointer -> bytes charged, the context that it ends with (0 = none) */

  struct spark_lock pools_lock;
  struct spark_track pools;       /* pool -> bytes charged for what it has reserved, estimates of calls on their way */
  uint64_t graph_charged_bytes;   /* what the ledger holds for graphs' memory nodes */
  _Atomic uint32_t graphs_allocate; /* a memory node was seen */

  struct spark_lock vmm_lock;
  _Atomic uint32_t arrays_are_mapped; /* memory by handle was mapped into an array */
  struct spark_vmm_table vmm; /* memory by handle: bytes charged, who holds it */

  _Atomic uint32_t kernel_tells; /* an answer of the kernel module was seen */
  struct spark_lock rm_lock;
  struct spark_track rm_objects; /* client and object of the kernel module -> bytes charged, client: what the driver took for itself */

  struct spark_lock limits_lock;
  struct spark_track own_limits; /* context and limit -> the bytes that it had by itself */
};

/* This process, its ledger joined at the first call; NULL where there is no ledger: everything is passed through then. */
struct spark_process *spark_process (void);

/* The same for who only asks what the machine has: nothing is said where the ledger cannot be used. */
struct spark_process *spark_process_quietly (void);

/* False in a program that got more rights than its caller (setuid, capabilities): it must not take files named by that caller. */
bool spark_environment_is_trusted (void);

#endif

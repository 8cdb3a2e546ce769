/* How much memory each registered container is known to hold. */
#ifndef SPARK_GUARD_USAGE_H
#define SPARK_GUARD_USAGE_H

#include "guard/entry.h"
#include <stdint.h>

/* Reads the known use of all entries anew: what the memory cgroup cannot drop, plus the larger of ledger and huge pages of its
   processes (neither is in a memory cgroup, and both stand for the driver's pages, so never their sum). After `deadline_ns`
   (CLOCK_BOOTTIME, 0 = none) the rest keep their last values. `huge_pages_in_use` false saves the walk over all processes.
   Returns how many entries were read. */
unsigned usage_refresh (struct entry *entries, unsigned count, const char *proc_dir, int huge_pages_in_use,
                        uint64_t deadline_ns);

/* What a cgroup cannot give back, from the text of its memory.stat (v1 or v2). */
uint64_t usage_from_memory_stat (const char *text, int is_v2);

/* Memory in use on the host that no line of /proc/meminfo accounts for: the driver's, and the kernel's own small unlisted rest.
   `meminfo_fd` is an open /proc/meminfo. 0 where it cannot be told. */
uint64_t usage_hidden_bytes (int meminfo_fd);

#endif

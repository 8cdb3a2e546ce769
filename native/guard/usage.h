/* How much memory each registered container is known to hold. */
#ifndef SPARK_GUARD_USAGE_H
#define SPARK_GUARD_USAGE_H

#include "guard/entry.h"
#include <stdint.h>

/* What the host has: no container holds more of it. */
struct usage_host {
  uint64_t total_bytes;       /* MemTotal. What a ledger says beyond that is not believed: the container can write it */
  uint64_t huge_in_use_bytes; /* at most; 0 saves the walk over all processes */
};

/* Reads the known use of all entries anew: what the memory cgroup cannot drop, plus the larger of ledger and huge pages of its
   processes (neither is in a memory cgroup, and both stand for the driver's pages, so never their sum). What has a book (ledger,
   memory.stat, hugetlb) is read for everybody. Only then come those whose processes must be asked one by one: all of them get
   an equal part of the time left, the first one is another one each time (`*turn`), and who is cut short keeps the last
   value, or what is already counted if that is more, and goes on from there next time. After `deadline_ns` (CLOCK_BOOTTIME, 0 = none) one
   process is still read, so that every call gets on.
   Returns true if everybody was read to the end. */
bool usage_refresh (struct entry *entries, unsigned count, unsigned *turn, const char *proc_dir,
                    const struct usage_host *host, uint64_t deadline_ns);

/* What a cgroup cannot give back, from the text of its memory.stat (v1 or v2). */
uint64_t usage_from_memory_stat (const char *text, int is_v2);

/* Open files of the kernel's about the whole machine; all but meminfo may be -1. */
struct usage_books {
  int meminfo_fd, vmstat_fd, zoneinfo_fd;
};

/* Memory in use on the host that no book of the kernel accounts for: the driver's, and the kernel's own small unlisted rest. 0 where it
   cannot be told. */
uint64_t usage_hidden_bytes (const struct usage_books *books);

#endif

/* The host's memory as the kernel tells it. No allocation, one pread per reading. */
#ifndef SPARK_COMMON_MEMINFO_H
#define SPARK_COMMON_MEMINFO_H

#include <stddef.h>
#include <stdint.h>

struct spark_meminfo {
  uint64_t total_bytes;     /* MemTotal */
  uint64_t free_bytes;      /* MemFree */
  uint64_t available_bytes; /* MemAvailable */
  uint64_t huge_total;      /* HugePages_Total + HugePages_Surp as the kernel prints Total: pages, not bytes */
  uint64_t huge_free;       /* HugePages_Free, pages */
  uint64_t huge_page_bytes; /* Hugepagesize */
  uint64_t hugetlb_bytes;   /* Hugetlb: the pools of all sizes, used or not; 0 before Linux 4.15 */
};

/* Reads an open /proc/meminfo (or a file of that form) from its start. `withhold_bytes` is taken off total, free and
   available (never below 0). Returns 0, or -1 with errno: EIO for a short read, EPROTO where MemTotal or MemAvailable is missing. */
int spark_meminfo_read (int fd, uint64_t withhold_bytes, struct spark_meminfo *meminfo);

/* The same from its text. */
int spark_meminfo_parse (const char *text, size_t length, uint64_t withhold_bytes, struct spark_meminfo *meminfo);

#endif

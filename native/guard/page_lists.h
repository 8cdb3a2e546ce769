/* Free pages that no line of /proc/meminfo has: since Linux 6.7 the kernel keeps up to an eighth of memory on each processor's own lists
   (mm/page_alloc.c, zone_highsize; "pcp"), where programs that end leave it. */
#ifndef SPARK_GUARD_PAGE_LISTS_H
#define SPARK_GUARD_PAGE_LISTS_H

#include <stdint.h>

/* Bytes on the lists of all processors and zones, from an open /proc/zoneinfo; 0 where it cannot be read or `fd` is -1. Allocates
   nothing; 23 us on a machine with two processors. */
uint64_t page_lists_bytes (int zoneinfo_fd);

#endif

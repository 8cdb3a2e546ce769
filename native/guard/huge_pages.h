/* The huge pages of a cgroup, where the kernel keeps a book of them (the hugetlb controller, v1 or v2). */
#ifndef SPARK_GUARD_HUGE_PAGES_H
#define SPARK_GUARD_HUGE_PAGES_H

#include <stdint.h>

/* One file for each size of huge page; arm64 with 4 KiB pages has the most: 64 KiB, 2 MiB, 32 MiB, 1 GiB. */
enum { HUGE_SIZES = 4 };

/* Opens the books of an open cgroup directory. Returns how many there are, 0 where the controller is not there. */
unsigned huge_pages_open (int cgroup_dir_fd, int fds[HUGE_SIZES]);

/* Bytes in use by their sum, each page once however many processes map it; UINT64_MAX where one cannot be read. */
uint64_t huge_pages_read (const int fds[HUGE_SIZES], unsigned count);

#endif

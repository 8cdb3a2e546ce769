/* What a table has the kernel map, for the tests of tables. */
#ifndef SPARK_TEST_SHIM_TABLE_BYTES_H
#define SPARK_TEST_SHIM_TABLE_BYTES_H

#include "shim/raw.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* All that this process has mapped. Takes no memory itself. */
__attribute__ ((unused)) static uint64_t
mapped_bytes (void)
{
  char text[64] = "";
  int fd = raw_open ("/proc/self/statm", O_RDONLY);
  raw_read (fd, text, sizeof text - 1);
  raw_close (fd);
  return strtoull (text, NULL, 10) * (uint64_t) sysconf (_SC_PAGESIZE);
}

/* Keeps the most that one of `count` has taken, in thousandths of bytes, and at which count. */
__attribute__ ((unused)) static void
note_most (uint64_t bytes, size_t count, uint64_t *most, size_t *worst)
{
  uint64_t each = bytes * 1000 / count;
  if (each > *most)
    {
      *most = each;
      *worst = count;
    }
}

/* Lets the kernel map nothing more, or as much as before. */
__attribute__ ((unused)) static void
stop_mapping (int stop)
{
  static rlim_t before = RLIM_INFINITY;
  struct rlimit limit;
  getrlimit (RLIMIT_AS, &limit);
  if (stop)
    before = limit.rlim_cur;
  limit.rlim_cur = stop ? 0 : before;
  setrlimit (RLIMIT_AS, &limit);
}

#endif

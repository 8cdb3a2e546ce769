/* What the tests of the host's views share: reading a meminfo, with the shim and past it. */
#ifndef SPARK_TEST_SHIM_HOST_VIEWS_H
#define SPARK_TEST_SHIM_HOST_VIEWS_H

#include "harness.h"

#include <sys/syscall.h>

#define BUDGET (2 * GIB)

/* The number of a key in bytes, 0 if there is none. */
static uint64_t
bytes_of (const char *text, const char *key)
{
  const char *line = strstr (text, key);
  return line == NULL ? 0 : strtoull (line + strlen (key) + 1, NULL, 10) * 1024;
}

/* What this machine has, past the shim. */
static uint64_t
real_total (void)
{
  char text[4096] = "";
  int fd = (int) syscall (SYS_openat, AT_FDCWD, "/proc/meminfo", O_RDONLY);
  CHECK (read (fd, text, sizeof text - 1) > 0);
  close (fd);
  return bytes_of (text, "MemTotal");
}

/* Reads a descriptor to its end in pieces and closes it. True if it tells of the budget. */
static bool
tells_budget (int fd)
{
  char text[8192];
  size_t used = 0;
  ssize_t got;
  while (used < sizeof text - 1 && (got = read (fd, text + used, 7)) > 0)
    used += (size_t) got;
  text[used] = '\0';
  close (fd);
  uint64_t free_bytes = bytes_of (text, "MemFree");
  return bytes_of (text, "MemTotal") == BUDGET && free_bytes > 0 && free_bytes <= BUDGET
         && bytes_of (text, "MemAvailable") == free_bytes && strstr (text, "SwapTotal:             0 kB\n") != NULL
         && used > 500 && text[used - 1] == '\n';
}

#endif

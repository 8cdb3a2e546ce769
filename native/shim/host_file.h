/* A descriptor of /proc/meminfo that tells of the container's budget. */
#ifndef SPARK_SHIM_HOST_FILE_H
#define SPARK_SHIM_HOST_FILE_H

#include <stdbool.h>
#include <string.h>

/* Could `path` lead to /proc/meminfo? However it is reached (a relative path, /proc/self/../meminfo), the last name is this one. */
static inline bool
spark_is_named_meminfo (const char *path)
{
  static const char name[] = "meminfo";
  enum { NAME = sizeof name - 1 };
  size_t length = strlen (path);
  return length >= NAME && memcmp (path + length - NAME, name, NAME) == 0 && (length == NAME || path[length - NAME - 1] == '/');
}

/* `fd` was just opened at `path` by the function `call`. If it is procfs's own meminfo, open for reading, and this process has a
   ledger, the descriptor leads to a read-only memory file with the container's figures from now on, its number, its offset 0 and its
   close-on-exec as before. In every other case, and where anything fails, it stays what it is. errno is not touched. */
void spark_host_file_opened (int fd, const char *path, const char *call);

/* The same for what a function returned: fd < 0 is a failure. `path` is readable where the kernel has opened it. */
static inline int
spark_host_opened (int fd, const char *path, const char *call)
{
  if (fd >= 0 && spark_is_named_meminfo (path))
    spark_host_file_opened (fd, path, call);
  return fd;
}

/* True if any descriptor was given in this process. One load. */
bool spark_host_file_any (void);

/* If `fd` is one that we gave: it gets today's figures, as the kernel's own file would have them when it is read from its start. For
   lseek to 0, which free -s, top and vmstat do for years on one descriptor. errno is not touched. */
void spark_host_file_rewound (int fd, const char *call);

#endif

/* A name that was opened may lead somewhere else by now: an open file gets no word of that. */
#ifndef SPARK_COMMON_SAME_FILE_H
#define SPARK_COMMON_SAME_FILE_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

/* True if `name` still leads to what is open as `fd`. `flags` are those of fstatat(2). */
static inline bool
spark_leads_to (int at_fd, const char *name, int flags, int fd)
{
  struct stat named, held;

  return fstatat (at_fd, name, &named, flags) == 0 && fstat (fd, &held) == 0 && named.st_dev == held.st_dev
         && named.st_ino == held.st_ino;
}

#endif

/* A text as an open file that no disk has. */
#ifndef SPARK_TEST_MEMORY_FILE_H
#define SPARK_TEST_MEMORY_FILE_H

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static inline int
memory_file (const char *text, size_t length)
{
  int fd = memfd_create ("text", MFD_CLOEXEC);
  if (fd < 0 || write (fd, text, length) != (ssize_t) length)
    abort ();
  return fd;
}

#endif

/* All of a text, however often the kernel takes only a part. */
#ifndef SPARK_COMMON_WRITE_ALL_H
#define SPARK_COMMON_WRITE_ALL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

/* Returns false with errno where it could not write all. */
static inline bool
spark_write_all (int fd, const char *text, size_t length)
{
  while (length > 0)
    {
      ssize_t written = write (fd, text, length);
      if (written < 0 && errno != EINTR)
        return false;
      if (written > 0)
        {
          text += written;
          length -= (size_t) written;
        }
    }
  return true;
}

#endif

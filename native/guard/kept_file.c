#include "guard/kept_file.h"

#include "common/cleanup.h"
#include "guard/proc_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

char boot_id[BOOT_ID_SIZE];

void
boot_id_read (const char *proc_dir)
{
  char path[320], text[64];

  snprintf (path, sizeof path, "%s/sys/kernel/random/boot_id", proc_dir);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && proc_file_read (fd, text, sizeof text, 0) > 0)
    snprintf (boot_id, sizeof boot_id, "%.36s", text);
}

int
kept_file_open (int run_fd, const char *name, off_t bytes, void *found, size_t size, ssize_t *length)
{
  int fd = openat (run_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

  *length = 0;
  if (fd < 0)
    return -1;
  *length = pread (fd, found, size, 0);
  int status = posix_fallocate (fd, 0, bytes);
  if (status != 0)
    {
      close (fd);
      errno = status;
      return -1;
    }
  return fd;
}

/* A write within one page is not cut in two by a signal. */
void
kept_file_put (int fd, const void *bytes, size_t length, off_t at)
{
  if (fd >= 0 && pwrite (fd, bytes, length, at) != (ssize_t) length)
    return;
}

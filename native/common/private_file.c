#include "private_file.h"

#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Returns `fd`, or -1 with errno where it stays open to others. */
static int
close_to_others (int fd, mode_t mode)
{
  struct stat status;
  if (fd < 0 || (fstat (fd, &status) == 0 && ((status.st_mode & 077) == 0 || fchmod (fd, mode) == 0)))
    return fd;
  int reason = errno;
  close (fd);
  errno = reason;
  return -1;
}

int
spark_private_lock_open (int directory_fd, const char *name)
{
  return close_to_others (openat (directory_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), 0600);
}

int
spark_private_directory_open (int directory_fd, const char *name)
{
  if (mkdirat (directory_fd, name, 0700) != 0 && errno != EEXIST)
    return -1;
  return close_to_others (openat (directory_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), 0700);
}

#include "run_dir.h"

#include "common/cleanup.h"
#include "common/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

/* Ledgers are writable for every user of a container, and notes of admission are nobody's business but ours. The engine
   mounts a ledger as root, from outside, so no container needs to enter the directory. */
static bool
is_private (const char *name)
{
  return strcmp (name, "ledgers") == 0 || strcmp (name, "admitted") == 0;
}

int
spark_run_dir_open (const char *run_dir, const char *name, struct spark_error *error)
{
  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/%s", run_dir, name);
  mode_t mode = is_private (name) ? 0700 : 0755;
  if ((mkdir (run_dir, 0755) != 0 && errno != EEXIST) || (mkdir (path, mode) != 0 && errno != EEXIST))
    return spark_fail (error, errno, "%s cannot be made (spark-run keeps its registry there)", path);
  int fd = is_private (name) ? spark_private_directory_open (AT_FDCWD, path)
                             : open (path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return spark_fail (error, errno, "%s cannot be opened (spark-run keeps its registry there)", path);
  if (faccessat (fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
    {
      int status = errno;
      close (fd);
      return spark_fail (error, status, "%s is not writable, so no container can be registered", path);
    }
  return fd;
}

int
spark_run_dir_lock (const char *run_dir, struct spark_error *error)
{
  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/admission.lock", run_dir);
  if (mkdir (run_dir, 0755) != 0 && errno != EEXIST)
    return spark_fail (error, errno, "%s cannot be made (spark-run keeps its registry there)", run_dir);
  int fd = spark_private_lock_open (AT_FDCWD, path);
  if (fd < 0)
    return spark_fail (error, errno, "%s cannot be opened, so no container can be admitted", path);
  for (int attempt = 0; flock (fd, LOCK_EX | LOCK_NB) != 0; attempt++)
    {
      if (attempt == 500)
        {
          close (fd);
          return spark_fail (error, 0, "%s has been held for 5 s by another admission; look for a stuck spark-runtime or "
                                       "spark-hook and try again", path);
        }
      nanosleep (&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
    }
  return fd;
}

#include "bundle.h"

#include "common/cleanup.h"
#include "common/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

int
spark_bundle_open (const char *directory, const char *config_name, struct spark_bundle *bundle, struct spark_error *error)
{
  char what[PATH_MAX * 2];
  memset (bundle, 0, sizeof *bundle);
  bundle->config_name = config_name;
  bundle->directory_fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (bundle->directory_fd < 0)
    return spark_fail (error, errno, "the bundle %s cannot be opened", directory);
  snprintf (what, sizeof what, "%s/%s", directory, config_name);
  cleanup_close int fd = openat (bundle->directory_fd, config_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 || fstat (fd, &bundle->status) != 0)
    return spark_fail (error, errno, "%s cannot be opened", what);
  if (!S_ISREG (bundle->status.st_mode))
    return spark_fail (error, 0, "%s is not a regular file", what);
  bundle->text = spark_read_all (fd, SPARK_JSON_FILE_MAX, what, &bundle->length, error);
  if (bundle->text == NULL)
    return -1;
  bundle->config = spark_json_parse (bundle->text, bundle->length, what, error);
  return bundle->config != NULL ? 0 : -1;
}

static int
replace (const struct spark_bundle *bundle, const char *text, size_t length, struct spark_error *error)
{
  char temporary[PATH_MAX];
  snprintf (temporary, sizeof temporary, "%s.spark-%d.tmp", bundle->config_name, (int) getpid ());
  unlinkat (bundle->directory_fd, temporary, 0);
  cleanup_close int fd
    = openat (bundle->directory_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  /* The owner may not be ours to give (rootless); the mode always is. Owner first: chown drops mode bits. */
  if (fd < 0
      || (fchown (fd, bundle->status.st_uid, bundle->status.st_gid) != 0 && errno != EPERM)
      || fchmod (fd, bundle->status.st_mode & 07777) != 0 || !spark_write_all (fd, text, length)
      || renameat (bundle->directory_fd, temporary, bundle->directory_fd, bundle->config_name) != 0)
    {
      int status = errno;
      unlinkat (bundle->directory_fd, temporary, 0);
      return spark_fail (error, status, "the bundle's %s cannot be written", bundle->config_name);
    }
  return 0;
}

int
spark_bundle_write (const struct spark_bundle *bundle, struct spark_error *error)
{
  size_t length;
  const char *text = spark_json_text (bundle->config, &length);
  if (text == NULL)
    return spark_fail (error, ENOMEM, "the bundle's %s cannot be written", bundle->config_name);
  return replace (bundle, text, length, error);
}

int
spark_bundle_restore (const struct spark_bundle *bundle, struct spark_error *error)
{
  return replace (bundle, bundle->text, bundle->length, error);
}

void
spark_bundle_close (struct spark_bundle *bundle)
{
  json_object_put (bundle->config);
  free (bundle->text);
  spark_cleanup_close (&bundle->directory_fd);
}

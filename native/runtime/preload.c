#include "preload.h"

#include "common/cleanup.h"
#include "container.h"
#include "run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char preload_path[] = "/etc/ld.so.preload";
enum { IMAGE_PRELOAD_MAX = 64 * 1024 };

/* --- the image's own file ------------------------------------------------------------------------------------------- */

/* Opens a file of the image: links in it resolve inside the image, never on the host. */
static int
open_in_image (int root_fd)
{
  struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                          .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
  long fd = syscall (SYS_openat2, root_fd, preload_path + 1, &how, sizeof how);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
    return (int) fd;
  /* Kernels before 5.6, and seccomp profiles as old: step by step and through no link at all. */
  cleanup_close int etc_fd = openat (root_fd, "etc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return etc_fd < 0 ? -1
                    : openat (etc_fd, "ld.so.preload", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

enum image_preload { IMAGE_HAS_NONE, IMAGE_HAS_TEXT, IMAGE_HAS_ODD };

/* `*text` (free it) is set only for IMAGE_HAS_TEXT. */
static enum image_preload
image_preload_read (json_object *config, const char *bundle, char **text)
{
  char path[PATH_MAX * 2];
  const char *root = spark_json_string (spark_json_at (config, "root", NULL), "path");
  if (root == NULL)
    return IMAGE_HAS_NONE;
  snprintf (path, sizeof path, "%s%s%s", root[0] == '/' ? "" : bundle, root[0] == '/' ? "" : "/", root);
  cleanup_close int root_fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cleanup_close int fd = root_fd < 0 ? -1 : open_in_image (root_fd);
  struct stat file;
  if (fd < 0 || fstat (fd, &file) != 0)
    return IMAGE_HAS_NONE;
  size_t length;
  if (!S_ISREG (file.st_mode))
    return IMAGE_HAS_ODD;
  if ((*text = spark_read_all (fd, IMAGE_PRELOAD_MAX, preload_path, &length, NULL)) == NULL)
    return IMAGE_HAS_ODD;
  return length > 0 ? IMAGE_HAS_TEXT : IMAGE_HAS_NONE;
}

/* --- merged content ------------------------------------------------------------------------------------------------- */

/* Our line, then theirs without ours. New memory. */
static char *
preload_merge (const char *ours, const char *theirs)
{
  size_t size = strlen (ours) + strlen (theirs) + 3;
  char *merged = malloc (size);
  if (merged == NULL)
    return NULL;
  size_t used = (size_t) snprintf (merged, size, "%s\n", ours);
  for (const char *line = theirs; *line != '\0';)
    {
      size_t length = strcspn (line, "\n");
      if (length > 0 && !(length == strlen (ours) && strncmp (line, ours, length) == 0))
        {
          memcpy (merged + used, line, length);
          used += length;
          merged[used++] = '\n';
        }
      line += length + (line[length] == '\n');
    }
  merged[used] = '\0';
  return merged;
}

static bool
file_holds (int directory_fd, const char *name, const char *content)
{
  cleanup_close int fd = openat (directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  size_t length;
  cleanup_free char *found = fd < 0 ? NULL : spark_read_all (fd, IMAGE_PRELOAD_MAX * 2, name, &length, NULL);
  return found != NULL && length == strlen (content) && memcmp (found, content, length) == 0;
}

static int
file_write (int directory_fd, const char *name, const char *content, struct spark_error *error)
{
  char temporary[64];
  snprintf (temporary, sizeof temporary, ".%d.tmp", (int) getpid ());
  unlinkat (directory_fd, temporary, 0);
  cleanup_close int fd
    = openat (directory_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  size_t length = strlen (content);
  if (fd < 0 || fchmod (fd, 0644) != 0 || write (fd, content, length) != (ssize_t) length
      || renameat (directory_fd, temporary, directory_fd, name) != 0)
    {
      int status = errno;
      unlinkat (directory_fd, temporary, 0);
      return spark_fail (error, status, "the merged ld.so.preload cannot be written");
    }
  return 0;
}

/* FNV-1a, 64 bits: a name, not a proof; the content is compared before a file is used. */
static uint64_t
content_hash (const char *content)
{
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  for (; *content != '\0'; content++)
    hash = (hash ^ (unsigned char) *content) * UINT64_C (0x100000001b3);
  return hash;
}

/* The file with this content in <runDir>/preload, made where it is not there yet. */
static int
preload_file (const struct spark_plan *plan, const char *content, char *path, size_t path_size, struct spark_error *error)
{
  cleanup_close int directory_fd = spark_run_dir_open (plan->run_dir, "preload", error);
  if (directory_fd < 0)
    return -1;
  char name[32];
  for (unsigned attempt = 0; attempt < 16; attempt++)
    {
      snprintf (name, sizeof name, "%016llx", (unsigned long long) content_hash (content) + attempt);
      snprintf (path, path_size, "%s/preload/%s", plan->run_dir, name);
      if (file_holds (directory_fd, name, content))
        return 0;
      if (faccessat (directory_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return file_write (directory_fd, name, content, error);
    }
  return spark_fail (error, 0, "%s/preload holds strange files; remove them and try again", plan->run_dir);
}

/* --- the mount ------------------------------------------------------------------------------------------------------ */

static int
mount_add (json_object *config, const char *source, struct spark_error *error)
{
  static const char *const options[] = { "bind", "ro", "nosuid", "nodev", "noexec" };
  json_object *mounts = spark_json_array_member (config, "mounts");
  if (mounts == NULL)
    return spark_fail (error, 0, "config.json: mounts is not an array");
  json_object *mount = json_object_new_object (), *list = json_object_new_array ();
  for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
    json_object_array_add (list, json_object_new_string (options[i]));
  json_object_object_add (mount, "destination", json_object_new_string (preload_path));
  json_object_object_add (mount, "type", json_object_new_string ("bind"));
  json_object_object_add (mount, "source", json_object_new_string (source));
  json_object_object_add (mount, "options", list);
  json_object_array_add (mounts, mount);
  return 0;
}

/* True for one of our own files, from an earlier pass over the same configuration. */
static bool
ours_already (const struct spark_plan *plan, json_object *mount)
{
  const char *source = spark_json_string (mount, "source");
  size_t run_length = strlen (plan->run_dir), lib_length = strlen (plan->lib_dir);
  return source != NULL
         && ((strncmp (source, plan->run_dir, run_length) == 0 && strncmp (source + run_length, "/preload/", 9) == 0)
             || (strncmp (source, plan->lib_dir, lib_length) == 0
                 && strcmp (source + lib_length, "/ld.so.preload") == 0));
}

int
spark_preload_edit (const struct spark_plan *plan, json_object *config, const char *bundle,
                    const struct spark_subject *subject, struct spark_error *error)
{
  static const char user_mount[] = "the shim is not loaded in this container: %s is mounted by its user; add the line %s to it";
  char sentence[1024];
  if (plan->preload == NULL)
    return 0;
  json_object *mount = spark_container_mount_at (config, preload_path);
  if (mount != NULL && ours_already (plan, mount))
    return 0;
  /* With /etc itself mounted from outside, our mount point would be made in somebody's directory on the host. */
  if (mount != NULL || spark_container_mount_at (config, "/etc") != NULL)
    {
      snprintf (sentence, sizeof sentence, user_mount, mount != NULL ? preload_path : "/etc", plan->preload);
      spark_report_event (plan->log_dir, "warning", subject, sentence);
      return 0;
    }
  cleanup_free char *theirs = NULL;
  enum image_preload found = image_preload_read (config, bundle, &theirs);
  if (found == IMAGE_HAS_ODD)
    {
      snprintf (sentence, sizeof sentence,
                "the shim is not loaded in this container: its image's %s is no regular file of at most %d KiB",
                preload_path, IMAGE_PRELOAD_MAX / 1024);
      spark_report_event (plan->log_dir, "warning", subject, sentence);
      return 0;
    }
  cleanup_free char *content = preload_merge (plan->preload, found == IMAGE_HAS_TEXT ? theirs : "");
  if (content == NULL)
    return spark_fail (error, ENOMEM, "the merged ld.so.preload cannot be written");
  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/ld.so.preload", plan->lib_dir);
  cleanup_close int lib_fd = found == IMAGE_HAS_TEXT ? -1 : open (plan->lib_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lib_fd < 0 || !file_holds (lib_fd, "ld.so.preload", content))
    if (preload_file (plan, content, path, sizeof path, error) != 0)
      return -1;
  return mount_add (config, path, error);
}

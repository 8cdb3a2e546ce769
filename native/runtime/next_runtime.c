#include "next_runtime.h"

#include "common/cleanup.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static const char *const standard_places[]
  = { "/usr/bin/runc",       "/usr/sbin/runc", "/usr/local/bin/runc", "/usr/local/sbin/runc",
      "/usr/bin/crun",       "/usr/local/bin/crun" };

/* A copy of us has another inode; its name still tells. */
static bool
named_like_us (const char *path)
{
  char resolved[PATH_MAX];
  if (realpath (path, resolved) == NULL)
    return false;
  const char *name = strrchr (resolved, '/') + 1;
  return strcmp (name, "spark-runtime") == 0 || strcmp (name, "spark-hook") == 0;
}

int
spark_next_runtime_check (const char *path, struct spark_error *error)
{
  static const char cure[] = "set nextRuntime in spark-run's config.json to runc's absolute path and run: spark-run install docker (or podman)";
  struct stat file, self;
  if (path[0] != '/')
    return spark_fail (error, 0, "the next runtime \"%s\" is not an absolute path; %s", path, cure);
  if (stat (path, &file) != 0)
    return spark_fail (error, 0, "the next runtime %s is missing (%s); %s", path, strerrordesc_np (errno), cure);
  if (!S_ISREG (file.st_mode) || access (path, X_OK) != 0)
    return spark_fail (error, 0, "the next runtime %s is not an executable file; %s", path, cure);
  if ((stat ("/proc/self/exe", &self) == 0 && self.st_dev == file.st_dev && self.st_ino == file.st_ino)
      || named_like_us (path))
    return spark_fail (error, 0, "the next runtime %s is spark-runtime itself, which would never end; %s", path, cure);
  if ((file.st_uid != 0 && file.st_uid != geteuid ()) || (file.st_mode & S_IWOTH) != 0)
    return spark_fail (error, 0, "the next runtime %s can be changed by others than root, so it is not started; %s", path,
                       cure);
  return 0;
}

void
spark_next_runtime_remember (const char *run_dir, const char *path)
{
  char file[PATH_MAX], temporary[PATH_MAX + 8], known[PATH_MAX];
  snprintf (file, sizeof file, "%s/next-runtime", run_dir);
  ssize_t length = readlink (file, known, sizeof known - 1);
  if (length > 0 && (size_t) length == strlen (path) && memcmp (known, path, (size_t) length) == 0)
    return;
  snprintf (temporary, sizeof temporary, "%s.tmp", file);
  unlink (temporary);
  if (symlink (path, temporary) == 0 && rename (temporary, file) != 0)
    unlink (temporary);
}

static int
from_broken_plan (const char *plan_file, char *path, size_t path_size)
{
  cleanup_close int fd = open (plan_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  size_t length;
  cleanup_free char *text = fd < 0 ? NULL : spark_read_all (fd, 1024 * 1024, "the plan", &length, NULL);
  cleanup_json json_object *root = text == NULL ? NULL : spark_json_parse (text, length, "the plan", NULL);
  const char *next = root == NULL ? NULL : spark_json_string (root, "nextRuntime");
  if (next == NULL || spark_next_runtime_check (next, NULL) != 0)
    return -1;
  snprintf (path, path_size, "%s", next);
  return 0;
}

/* All our directories move under one prefix: <prefix>/etc/spark-run/plan.json knows <prefix>/run/spark-run. */
static int
remembered (const char *plan_file, char *path, size_t path_size)
{
  static const char tail[] = "/etc/spark-run/plan.json";
  size_t length = strlen (plan_file);
  if (length < sizeof tail - 1 || strcmp (plan_file + length - (sizeof tail - 1), tail) != 0)
    return -1;
  char file[PATH_MAX];
  snprintf (file, sizeof file, "%.*s/run/spark-run/next-runtime", (int) (length - (sizeof tail - 1)), plan_file);
  ssize_t got = readlink (file, path, path_size - 1);
  if (got <= 0)
    return -1;
  path[got] = '\0';
  return spark_next_runtime_check (path, NULL);
}

int
spark_next_runtime_fallback (const char *plan_file, char *path, size_t path_size)
{
  if (from_broken_plan (plan_file, path, path_size) == 0 || remembered (plan_file, path, path_size) == 0)
    return 0;
  for (size_t i = 0; i < sizeof standard_places / sizeof standard_places[0]; i++)
    if (spark_next_runtime_check (standard_places[i], NULL) == 0)
      {
        snprintf (path, path_size, "%s", standard_places[i]);
        return 0;
      }
  return -1;
}

int
spark_next_runtime_exec (const char *path, char **next_argv, struct spark_error *error)
{
  next_argv[0] = (char *) path;
  execv (path, next_argv);
  return spark_fail (error, errno, "the next runtime %s cannot be started", path);
}

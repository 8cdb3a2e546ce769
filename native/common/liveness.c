/* Whether a registered container lives, and which cgroups are its own. */
#include "registry.h"

#include "cleanup.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
spark_cgroup_open (const char *path, uint64_t id)
{
  struct stat status;
  cleanup_close int fd = open (path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &status) != 0)
    return -1;
  if (id != 0 && status.st_ino != id)
    {
      errno = ESTALE;
      return -1;
    }
  int result = fd;
  fd = -1;
  return result;
}

static uint64_t
cgroup_id (const char *path)
{
  struct stat status;
  return path[0] != '\0' && lstat (path, &status) == 0 ? status.st_ino : 0;
}

void
spark_container_note_cgroups (struct spark_container *c)
{
  c->cgroup_v2_id = cgroup_id (c->cgroup_v2);
  c->cgroup_memory_id = cgroup_id (c->cgroup_memory);
  c->cgroup_freezer_id = cgroup_id (c->cgroup_freezer);
}

/* The kernel gives as much as fits at once. */
static ssize_t
file_read (int directory, const char *name, char *buffer, size_t size)
{
  cleanup_close int fd = openat (directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
  return fd < 0 ? -1 : read (fd, buffer, size);
}

static bool
cgroup_holds_process (const char *path, uint64_t id)
{
  char text[256];
  cleanup_close int directory = path[0] != '\0' ? spark_cgroup_open (path, id) : -1;
  if (directory < 0)
    return false;
  /* cgroup.events (v2) counts child groups too; v1 has only the list of its own processes. */
  ssize_t length = file_read (directory, "cgroup.events", text, sizeof text - 1);
  if (length > 0)
    {
      text[length] = '\0';
      return strstr (text, "populated 1") != NULL;
    }
  return file_read (directory, "cgroup.procs", text, 1) > 0;
}

bool
spark_container_live (const struct spark_container *c, const char *proc_path)
{
  uint64_t pid_start;
  return (spark_process_start (proc_path, c->pid, &pid_start) == 0 && pid_start == c->pid_start)
         || cgroup_holds_process (c->cgroup_v2, c->cgroup_v2_id) || cgroup_holds_process (c->cgroup_memory, c->cgroup_memory_id)
         || cgroup_holds_process (c->cgroup_freezer, c->cgroup_freezer_id);
}

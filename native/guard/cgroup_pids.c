#include "guard/cgroup_pids.h"

#include "common/cleanup.h"
#include "guard/proc_file.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Deeper than any engine nests; the locked stack holds it. */
enum { DEPTH_MAX = 12, ENTRIES_BYTES = 1024 };

struct visit {
  int (*each) (pid_t pid, void *data);
  void *data;
  int count;
  bool stopped;
};

static int
visit_pid (pid_t pid, void *data)
{
  struct visit *visit = data;

  visit->count++;
  visit->stopped = visit->each (pid, visit->data) != 0;
  return visit->stopped;
}

/* A cgroup's directory has two links, and one for each below it (kernfs): most have none, and need no list. */
static bool
has_children (int fd)
{
  struct stat status;

  return fstat (fd, &status) == 0 && status.st_nlink > 2;
}

static void
visit_children (int fd, struct visit *visit, unsigned depth)
{
  _Alignas (struct dirent64) char entries[ENTRIES_BYTES];
  ssize_t length;

  if (depth == DEPTH_MAX || visit->stopped || !has_children (fd))
    return;
  cleanup_close int list_fd = openat (fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  while (list_fd >= 0 && (length = getdents64 (list_fd, entries, sizeof entries)) > 0)
    for (ssize_t at = 0; at < length && !visit->stopped;)
      {
        const struct dirent64 *entry = (const struct dirent64 *) (entries + at);
        at += entry->d_reclen;
        if (entry->d_type != DT_DIR || strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
          continue;
        cleanup_close int child = openat (fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (child < 0)
          continue;
        proc_file_each_pid (child, visit_pid, visit);
        visit_children (child, visit, depth + 1);
      }
}

int
cgroup_pids_each (int cgroup_dir_fd, int (*each) (pid_t pid, void *data), void *data)
{
  struct visit visit = { .each = each, .data = data };

  if (proc_file_each_pid (cgroup_dir_fd, visit_pid, &visit) < 0)
    return -1;
  visit_children (cgroup_dir_fd, &visit, 0);
  return visit.count;
}

#include "guard/processes.h"

#include "common/cleanup.h"
#include "guard/cgroup_pids.h"
#include "guard/proc_file.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

/* A process group has no list in the kernel: look at every process. For rehearsals only. */
static void
process_group_each (pid_t pgid, const char *proc_dir, int (*each) (pid_t pid, void *data), void *data)
{
  _Alignas (struct dirent64) char entries[4096];
  cleanup_close int fd = open (proc_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ssize_t length;

  while (fd >= 0 && (length = getdents64 (fd, entries, sizeof entries)) > 0)
    for (ssize_t at = 0; at < length;)
      {
        const struct dirent64 *entry = (const struct dirent64 *) (entries + at);
        char stat[1024];
        at += entry->d_reclen;
        long pid = strtol (entry->d_name, NULL, 10);
        if (pid <= 0 || pid > INT_MAX || proc_file_of_pid (proc_dir, (pid_t) pid, "stat", stat, sizeof stat) <= 0
            || (pid_t) proc_stat_field (stat, 5) != pgid)
          continue;
        if (each ((pid_t) pid, data) != 0)
          return;
      }
}

void
processes_each (const struct entry *e, const char *proc_dir, int (*each) (pid_t pid, void *data), void *data)
{
  if (e->usage_dir_fd >= 0)
    cgroup_pids_each (e->usage_dir_fd, each, data);
  else if (e->pgid != 0)
    process_group_each (e->pgid, proc_dir, each, data);
  else if (e->pid > 0)
    each (e->pid, data);
}

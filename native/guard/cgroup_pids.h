/* The processes of a cgroup and of all below it: what a container's init, an inner engine say, has moved into cgroups of its own
   belongs to it as much. */
#ifndef SPARK_GUARD_CGROUP_PIDS_H
#define SPARK_GUARD_CGROUP_PIDS_H

#include <sys/types.h>

/* Calls `each` for every pid below an open cgroup directory, until it returns non-zero. Returns how many there were, -1 with errno
   where the cgroup itself cannot be read. Allocates nothing. */
int cgroup_pids_each (int cgroup_dir_fd, int (*each) (pid_t pid, void *data), void *data);

#endif

/* Where a process's cgroups are in this host's file system: cgroup v1, v2 and both at once. */
#ifndef SPARK_COMMON_CGROUP_PATH_H
#define SPARK_COMMON_CGROUP_PATH_H

#include "error.h"
#include <stdbool.h>
#include <sys/types.h>

enum { SPARK_CGROUP_PATH_MAX = 512 };

/* Absolute directories; empty where the hierarchy does not exist here or the process sits at its root. */
struct spark_cgroup_paths {
  char v2[SPARK_CGROUP_PATH_MAX];
  char memory[SPARK_CGROUP_PATH_MAX];  /* v1 */
  char freezer[SPARK_CGROUP_PATH_MAX]; /* v1 */
};

/* Joins /proc/<pid>/cgroup with /proc/self/mountinfo; knows bind-mounted and namespaced roots. `proc_path` is "/proc". */
int spark_cgroup_paths (const char *proc_path, pid_t pid, struct spark_cgroup_paths *paths, struct spark_error *error);

/* Empties every path of `paths` that also holds the process `other`: a cgroup shared with it (a container that was given
   no cgroup of its own shares its engine's) must never be killed as a whole. */
void spark_cgroup_paths_without (const char *proc_path, pid_t other, struct spark_cgroup_paths *paths);

enum spark_memory_controller { SPARK_MEMORY_NONE, SPARK_MEMORY_V1, SPARK_MEMORY_V2 };

/* Which hierarchy can limit memory here. `*swap` (may be NULL): whether it can limit swap too. */
enum spark_memory_controller spark_memory_controller (const char *proc_path, bool *swap);

#endif

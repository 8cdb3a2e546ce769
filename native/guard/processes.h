/* The processes of a registered container. */
#ifndef SPARK_GUARD_PROCESSES_H
#define SPARK_GUARD_PROCESSES_H

#include "guard/entry.h"

/* Calls `each` for every process of the entry's cgroup, or of its process group, or for its init where that is all there is,
   until it returns non-zero. Allocates nothing. */
void processes_each (const struct entry *entry, const char *proc_dir, int (*each) (pid_t pid, void *data), void *data);

#endif

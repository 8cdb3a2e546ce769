/* What the container's memory cgroup holds and cannot drop. */
#ifndef SPARK_SHIM_CGROUP_MEMORY_H
#define SPARK_SHIM_CGROUP_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of anonymous, shared and locked memory in the memory cgroup of this container, each page once; 0 where it cannot be known.
   `cgroup_root` is "/sys/fs/cgroup", `proc_cgroup` "/proc/self/cgroup". `in_container`: false forbids to follow `proc_cgroup`, for
   outside a container that names a whole login session. The root cgroup of a machine is never read: it holds everybody. */
uint64_t spark_cgroup_unreclaimable_bytes (const char *cgroup_root, const char *proc_cgroup, bool in_container);

/* The same sum from the text of a memory.stat, v1 or v2. */
uint64_t spark_cgroup_parse_stat (const char *text);

#endif

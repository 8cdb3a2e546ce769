/* What the container's memory cgroup holds and cannot drop. */
#ifndef SPARK_SHIM_CGROUP_MEMORY_H
#define SPARK_SHIM_CGROUP_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Room to read and to put paths together in: not on the stack, which a thread or a signal handler may have 8 KiB of. */
enum { SPARK_SCRATCH_PATH_BYTES = 1024, SPARK_SCRATCH_TEXT_BYTES = 8192 };
struct spark_scratch {
  char mount[SPARK_SCRATCH_PATH_BYTES];
  char directory[SPARK_SCRATCH_PATH_BYTES];
  char path[SPARK_SCRATCH_PATH_BYTES];
  char text[SPARK_SCRATCH_TEXT_BYTES];
};

/* Bytes of anonymous, shared and locked memory in the memory cgroup of this container, each page once. False where it cannot be known now
   (no descriptor is left); true with 0 where there is no such cgroup.
   `cgroup_root` is "/sys/fs/cgroup", `proc_cgroup` "/proc/self/cgroup". `in_container`: false forbids to follow `proc_cgroup`, for
   outside a container that names a whole login session. The root cgroup of a machine is never read: it holds everybody. */
bool spark_cgroup_unreclaimable_bytes (const char *cgroup_root, const char *proc_cgroup, bool in_container,
                                       struct spark_scratch *scratch, uint64_t *bytes);

/* The same sum from the text of a memory.stat, v1 or v2. */
uint64_t spark_cgroup_parse_stat (const char *text);

#endif

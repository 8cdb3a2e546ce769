/* Who a process is: a pid together with the moment it started, so that a reused pid is never taken for the old one. */
#ifndef SPARK_COMMON_PROCESS_H
#define SPARK_COMMON_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* Start time of a living process: field 22 of /proc/<pid>/stat, clock ticks since boot. `proc_path` is "/proc".
   Returns 0, or -1 where the process is gone or a zombie. Allocates nothing. */
int spark_process_start (const char *proc_path, pid_t pid, uint64_t *pid_start);

/* CLOCK_BOOTTIME now, in nanoseconds. */
uint64_t spark_boottime_ns (void);

#endif

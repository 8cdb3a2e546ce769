/* The guard's command line: docs/formats.md section 9. */
#ifndef SPARK_GUARD_OPTIONS_H
#define SPARK_GUARD_OPTIONS_H

#include "common/error.h"
#include <stdbool.h>
#include <stdint.h>

struct guard_options {
  const char *run_dir, *log_dir;
  const char *meminfo;     /* "/proc/meminfo" */
  const char *drop_caches; /* "/proc/sys/vm/drop_caches" */
  const char *proc_dir;    /* "/proc" */
  const char *cgroup_root; /* "/sys/fs/cgroup" */
  uint64_t reserve_bytes, withhold_bytes;
  bool allow_process_groups;
  bool on_foreign_largest; /* --on-foreign kill-largest */
  int ready_fd; /* -1 = nobody asked */
  bool supervise;
  uint64_t watchdog_ms; /* silence after which a supervised guard is replaced */
  bool help;
};

/* Returns 0, or -1 with one sentence that says what was given, what is allowed and what to do. */
int guard_options_parse (int argc, char **argv, struct guard_options *options, struct spark_error *error);

extern const char guard_usage[];

#endif

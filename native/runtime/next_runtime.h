/* The runtime behind us: runc, crun or nvidia-container-runtime. */
#ifndef SPARK_RUNTIME_NEXT_RUNTIME_H
#define SPARK_RUNTIME_NEXT_RUNTIME_H

#include "common/error.h"
#include <stddef.h>

/* Says whether `path` can be handed a container: absolute, an executable file that only root (or we) can change, not
   ourselves under any name. */
int spark_next_runtime_check (const char *path, struct spark_error *error);

/* Remembers `path` in <run_dir>/next-runtime for spark_next_runtime_fallback. Best effort. */
void spark_next_runtime_remember (const char *run_dir, const char *path);

/* For a plan that cannot be used and a verb that must work all the same (state, kill, delete of containers that run):
   the `nextRuntime` of whatever JSON is there, the one remembered last, or the first of runc and crun in the standard
   places. Fills `path` and returns 0, or -1. */
int spark_next_runtime_fallback (const char *plan_file, char *path, size_t path_size);

/* Becomes the next runtime: same process, environment, files. Returns -1 only where that fails. */
int spark_next_runtime_exec (const char *path, char **next_argv, struct spark_error *error);

#endif

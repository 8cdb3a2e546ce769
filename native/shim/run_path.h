/* A caller's own search path for libraries. */
#ifndef SPARK_SHIM_RUN_PATH_H
#define SPARK_SHIM_RUN_PATH_H

#include "resolve.h"

/* Looks for `file` in the DT_RUNPATH of `caller` (DT_RPATH where it has none), $ORIGIN meaning its directory. Writes the first path that
   exists. Entries with other $ words are passed over. */
bool spark_find_in_run_path (const struct spark_object *caller, const char *file, char *path, size_t path_size);

#endif

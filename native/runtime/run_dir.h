/* The directories under <runDir>, made when needed: /run is empty after every boot. */
#ifndef SPARK_RUNTIME_RUN_DIR_H
#define SPARK_RUNTIME_RUN_DIR_H

#include "common/error.h"

/* Opens <run_dir>/<name> as a directory; ledgers and admitted have mode 0700, what else has to be made 0755. Returns a
   descriptor or -1. */
int spark_run_dir_open (const char *run_dir, const char *name, struct spark_error *error);

/* Takes <run_dir>/admission.lock, waiting at most five seconds. Close the descriptor to let go. */
int spark_run_dir_lock (const char *run_dir, struct spark_error *error);

#endif

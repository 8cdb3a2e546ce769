/* A parent for the guard where there is no service manager: starts it again when it ends, and when it does not answer. */
#ifndef SPARK_GUARD_SUPERVISE_H
#define SPARK_GUARD_SUPERVISE_H

#include "guard/options.h"

/* Forks guards, each of which runs `guard` and ends with what it returns, until SIGTERM or SIGINT or until one ends with 0.
   Returns the exit code of the program. */
int guard_supervise (const struct guard_options *options, int (*guard) (const struct guard_options *options));

#endif

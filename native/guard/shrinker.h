/* The shrinker: a child process that drops the kernel's caches when told to. A process of its own, because that takes seconds
   and must not wait behind a stuck disk, nor hold up what is to be written. */
#ifndef SPARK_GUARD_SHRINKER_H
#define SPARK_GUARD_SHRINKER_H

#include "guard/helper.h"

/* Starts it on an open /proc/sys/vm/drop_caches. */
int shrinker_start (struct helper *shrinker, int drop_caches_fd, struct spark_error *error);

/* Returns at once; -1 where it could not be told. */
int shrinker_drop_caches (const struct helper *shrinker);

#endif

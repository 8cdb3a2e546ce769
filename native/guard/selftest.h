/* Proof at start that the guard can kill here. */
#ifndef SPARK_GUARD_SELFTEST_H
#define SPARK_GUARD_SELFTEST_H

#include "common/error.h"
#include "guard/entry.h"

/* Makes a child in a cgroup of its own and kills it the way containers will be killed; tries cgroup.kill, then the freezer,
   then (only where process groups are allowed) a process group. Returns the best way that works, or KILL_BY_NOTHING with a
   sentence. Leaves nothing behind. */
enum kill_by selftest_run (const struct entry_place *place, struct spark_error *error);

#endif

/* A container that the guard killed does not come back into the same wall at once: it cools down, each time in a row for twice as long. */
#ifndef SPARK_RUNTIME_COOLDOWN_H
#define SPARK_RUNTIME_COOLDOWN_H

#include "plan.h"

struct spark_cooldown {
  unsigned kills;   /* in a row; 0 = none, or long ago */
  uint64_t left_ns; /* of the time that it may not start */
};

/* What the tombstone of container `id` says, at `now_ns` of CLOCK_BOOTTIME. One that is missing or cannot be read holds nobody up. */
struct spark_cooldown spark_cooldown_of (const char *run_dir, const char *id, uint64_t now_ns);

/* Waits out a short cool-down, and then, for as long as that would have been waited for at most (20 s in all), a shortage of memory
   that the container itself may have left: engines bring one back by themselves (--restart=always), and one that is refused they
   give up. A long cool-down is refused with a sentence. */
int spark_cooldown_pass (const struct spark_plan *plan, const char *id, struct spark_error *error);

#endif

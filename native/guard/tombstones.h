/* The process that writes tombstones. Not the scribe: /run is memory and always answers, the event log's disk may not, and what
   cools a container down stands in its tombstone. */
#ifndef SPARK_GUARD_TOMBSTONES_H
#define SPARK_GUARD_TOMBSTONES_H

#include "guard/helper.h"

/* Starts the child. A message is the kill's number (16 hexadecimal digits), `<id>\n` and the tombstone, which replaces <id>.json
   in the run directory's tombstones/ atomically. It writes nothing while one of a guard before is still at work. */
int tombstones_start (struct helper *stones, int run_fd, struct spark_error *error);

#endif

/* Is a guard watching this host? docs/formats.md section 8. */
#ifndef SPARK_COMMON_GUARD_PRESENCE_H
#define SPARK_COMMON_GUARD_PRESENCE_H

#include <stdbool.h>

struct spark_guard_presence {
  bool running; /* a live guard holds guard.lock */
  bool soft;    /* it says that memory is under the soft line: admission is closed */
};

/* Looks at <run_dir>/guard.lock and guard.state. Never waits; whatever cannot be read counts as no guard. Only the lock is
   proof; who may not open it (it is root's) gets what guard.state says, if the process that it names lives. */
struct spark_guard_presence spark_guard_presence (const char *run_dir);

#endif

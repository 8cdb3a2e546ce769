/* What keeps the guard running while the host is out of memory. */
#ifndef SPARK_GUARD_REALTIME_H
#define SPARK_GUARD_REALTIME_H

#include <stdbool.h>

struct realtime {
  bool scheduled;   /* SCHED_FIFO */
  bool locked;      /* mlockall */
  bool unkillable;  /* oom_score_adj -1000 */
};

/* Takes what is allowed. For each that is not, calls `warn` with one sentence: what is missing and what it means. */
struct realtime realtime_enter (const char *proc_dir, void (*warn) (const char *sentence));

/* The same for whoever watches the guard: a little more urgent than that one. */
struct realtime realtime_enter_above (const char *proc_dir, void (*warn) (const char *sentence));

/* Above everything that is not real-time by trade. True if that is allowed. */
bool realtime_be_urgent (void);

/* Keeps all pages of this process in memory, its own and not shared with a child any more: to be repeated after each fork, which has
   the next write copy a page. */
bool realtime_lock_memory (void);

#endif

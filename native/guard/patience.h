/* How long a supervising parent waits: for a sign of life, and before it starts a guard again. */
#ifndef SPARK_GUARD_PATIENCE_H
#define SPARK_GUARD_PATIENCE_H

#include <stdint.h>

/* The time that counts against a guard. It stands still while the machine sleeps, and goes on by two ticks at most from one look to
   the next: who was not let run in between cannot tell whether the guard was. */
struct fair_clock {
  uint64_t now_ns, seen_ns, tick_ns;
};

/* With ticks fit for noticing a silence of `silence_ns`. */
void fair_clock_start (struct fair_clock *clock, uint64_t silence_ns);
/* To be called once a tick at least. */
void fair_clock_look (struct fair_clock *clock);
/* The same, at `monotonic_ns` of CLOCK_MONOTONIC. */
void fair_clock_look_at (struct fair_clock *clock, uint64_t monotonic_ns);

/* How long a guard that ended after `lived_ns` stays down; `*last_ns` is that of the one before, 0 for the first. */
uint64_t patience_pause_ns (uint64_t lived_ns, uint64_t *last_ns);

#endif

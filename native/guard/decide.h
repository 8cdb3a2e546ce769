/* When to kill, as pure functions of readings: no clock, no file, no state of their own. */
#ifndef SPARK_GUARD_DECIDE_H
#define SPARK_GUARD_DECIDE_H

#include "guard/samples.h"
#include <stdbool.h>
#include <stdint.h>

/* By urgency. The middle two are forecasts: they hold only against a container that is known to be where it may not be, because
   an engine that keeps to its budget stops by itself, often closer to the reserve than a forecast can tell. */
enum verdict {
  VERDICT_CALM,
  VERDICT_CROSSING,      /* the reserve will be crossed within the time that a kill takes */
  VERDICT_FALLING,       /* the fall reaches zero soon */
  VERDICT_UNDER_RESERVE, /* two readings in a row under the reserve */
};

struct judgement {
  enum verdict verdict;
  int64_t slope_bytes_per_second; /* of MemAvailable over the last 100 ms; negative while it falls */
};

/* Judges the newest readings against the reserve. */
struct judgement decide (const struct samples *samples, uint64_t reserve_bytes);

/* How long to sleep before the next reading: half of the time in which the fastest fill there is (50 GiB/s, the speed at which
   GB10's memory can be zeroed) would reach the reserve, within 1 ms and 100 ms. */
uint64_t decide_sleep_ns (uint64_t available_bytes, uint64_t reserve_bytes);

/* The soft line is twice the reserve; once under it, it is left an eighth of the reserve higher, so that it does not flicker. The kernel is
   a second witness: where everybody waited for memory in a tenth of the last 10 s (`psi_permille`; below 0 = it does not tell) the line
   is four times the reserve, until it is a twentieth. Memory that is "available" on paper only, pinned or scattered, shows so. */
bool decide_soft (bool soft_now, uint64_t available_bytes, uint64_t reserve_bytes, int psi_permille);

/* After a kill: what is known of the victim's death. */
struct aftermath {
  uint64_t killed_ns;
  uint64_t empty_ns;  /* when its last process was gone; 0 = not yet */
  uint64_t shrunk_ns; /* when the shrinkers were asked; 0 = not */
  uint64_t use_bytes; /* its known use at the kill */
  uint64_t lowest_bytes; /* lowest MemAvailable since the kill */
  uint64_t highest_bytes; /* highest since that */
  uint64_t risen_ns;      /* when it last became higher */
};

/* Notes a reading in lowest, highest and risen. */
void aftermath_follow (struct aftermath *aftermath, uint64_t now_ns, uint64_t available_bytes);

enum after {
  AFTER_WAIT,     /* judge nobody yet */
  AFTER_SHRINK,   /* dead, but nothing came back: run the shrinkers, once, and wait on */
  AFTER_RETURNED, /* dead, and its memory is back or has stopped coming: judge again */
  AFTER_NOTHING,  /* dead, and nothing came back in time: judge again */
  AFTER_STUCK,    /* it does not die */
};

enum after decide_after (const struct aftermath *aftermath, uint64_t now_ns, uint64_t available_bytes, uint64_t reserve_bytes);

#endif

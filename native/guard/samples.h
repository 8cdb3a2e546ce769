/* What MemAvailable was: every reading of the last moments for deciding, and the last 10 s, thinned out, for telling. */
#ifndef SPARK_GUARD_SAMPLES_H
#define SPARK_GUARD_SAMPLES_H

#include <stdint.h>

struct sample {
  uint64_t at_ns; /* CLOCK_BOOTTIME */
  uint64_t available_bytes;
};

enum {
  SAMPLES_RECENT = 256,   /* at 1 ms a reading: more than the 100 ms that decisions look at */
  SAMPLES_HISTORY = 1024, /* at one per 10 ms: the last 10 s */
};
#define SAMPLES_HISTORY_STEP_NS UINT64_C (10000000)
#define SAMPLES_HISTORY_SPAN_NS UINT64_C (10000000000)

struct samples {
  struct sample recent[SAMPLES_RECENT];
  struct sample history[SAMPLES_HISTORY]; /* of each 10 ms the lowest reading */
  uint64_t recent_count, history_count;   /* ever added */
};

void samples_add (struct samples *samples, uint64_t at_ns, uint64_t available_bytes);

/* The reading `age` steps back (0 = newest), or NULL where none is kept. */
const struct sample *samples_recent (const struct samples *samples, unsigned age);

/* Calls `each`, oldest first, for the kept history between `until_ns` − 10 s and `until_ns`. */
void samples_history (const struct samples *samples, uint64_t until_ns, void (*each) (const struct sample *sample, void *data),
                      void *data);

#endif

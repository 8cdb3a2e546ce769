#include "guard/patience.h"

#include "guard/clock.h"

#define TICKS_IN_SILENCE 10
#define PAUSE_MOST_NS (30 * NS_PER_SECOND)
#define LONG_LIFE_NS (60 * NS_PER_SECOND)

/* Without the time that the machine slept, which clock_boot_ns counts: a guard cannot answer in its sleep. */
static uint64_t
monotonic_ns (void)
{
  return spark_clock_ns (CLOCK_MONOTONIC);
}

void
fair_clock_start (struct fair_clock *clock, uint64_t silence_ns)
{
  *clock = (struct fair_clock){ .seen_ns = monotonic_ns (), .tick_ns = silence_ns / TICKS_IN_SILENCE };
  if (clock->tick_ns > NS_PER_SECOND)
    clock->tick_ns = NS_PER_SECOND;
}

void
fair_clock_look_at (struct fair_clock *clock, uint64_t at_ns)
{
  uint64_t passed_ns = at_ns - clock->seen_ns, most_ns = 2 * clock->tick_ns;

  clock->seen_ns = at_ns;
  clock->now_ns += passed_ns < most_ns ? passed_ns : most_ns;
}

void
fair_clock_look (struct fair_clock *clock)
{
  fair_clock_look_at (clock, monotonic_ns ());
}

uint64_t
patience_pause_ns (uint64_t lived_ns, uint64_t *last_ns)
{
  if (lived_ns >= LONG_LIFE_NS)
    *last_ns = 0;
  *last_ns = *last_ns == 0 ? NS_PER_SECOND : *last_ns * 2 < PAUSE_MOST_NS ? *last_ns * 2 : PAUSE_MOST_NS;
  return *last_ns;
}

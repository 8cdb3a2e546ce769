/* The guard's two clocks. */
#ifndef SPARK_GUARD_CLOCK_H
#define SPARK_GUARD_CLOCK_H

#include "common/clock.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define NS_PER_MS UINT64_C (1000000)
#define NS_PER_SECOND UINT64_C (1000000000)

/* Nanoseconds since boot, sleep included: a clock that nobody can set. */
static inline uint64_t
clock_boot_ns (void)
{
  return spark_clock_ns (CLOCK_BOOTTIME);
}

enum { CLOCK_TEXT_SIZE = 32 };

/* The time of day as "2026-01-31T12:00:00.000Z". gmtime is not used because it may read a time zone file. */
static inline char *
clock_text (char text[CLOCK_TEXT_SIZE])
{
  struct timespec now;
  clock_gettime (CLOCK_REALTIME, &now);
  int64_t seconds = now.tv_sec > 0 ? now.tv_sec : 0, day_second = seconds % 86400;
  /* Civil date from days since 1970-01-01, in years that begin in March so that the leap day comes last. */
  int64_t days = seconds / 86400 + 719468, era = days / 146097, day_of_era = days % 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t march_month = (5 * day_of_year + 2) / 153, day = day_of_year - (153 * march_month + 2) / 5 + 1;
  int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  int64_t year = era * 400 + year_of_era + (month <= 2);
  snprintf (text, CLOCK_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned) year % 10000, (unsigned) month % 100,
            (unsigned) day % 100, (unsigned) (day_second / 3600) % 100, (unsigned) (day_second / 60 % 60),
            (unsigned) (day_second % 60), (unsigned) (now.tv_nsec / 1000000) % 1000);
  return text;
}

#endif

/* Sums of numbers that somebody else wrote. */
#ifndef SPARK_COMMON_SUM_H
#define SPARK_COMMON_SUM_H

#include <stdint.h>

/* a + b, or the largest number where that is more: a sum never comes out smaller than what went into it. */
static inline uint64_t
spark_sum (uint64_t a, uint64_t b)
{
  uint64_t sum;
  return __builtin_add_overflow (a, b, &sum) ? UINT64_MAX : sum;
}

#endif

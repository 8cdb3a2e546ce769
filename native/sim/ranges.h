/* A set of address ranges that do not overlap, found by any address inside them. The caller holds the lock. */
#ifndef SPARK_SIM_RANGES_H
#define SPARK_SIM_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_ranges {
  struct sim_range *items; /* by base, ascending */
  size_t count;
  size_t capacity;
};

/* What is behind an address. `owner` and `pages_offset` mean what the kind says. */
struct sim_range {
  uintptr_t base;
  uint64_t bytes;
  int kind;
  unsigned flags;
  void *owner; /* context, pool or allocation handle */
  uint64_t pages_offset;
  uint64_t pages_bytes;
};

/* The range that holds `address`, or NULL. Valid until the set changes. */
struct sim_range *sim_ranges_find (const struct sim_ranges *ranges, uintptr_t address);

/* The first range that touches [base, base + bytes), or NULL. */
struct sim_range *sim_ranges_overlap (const struct sim_ranges *ranges, uintptr_t base, uint64_t bytes);

/* False without memory for it. The range must not overlap another one. */
bool sim_ranges_add (struct sim_ranges *ranges, const struct sim_range *range);

void sim_ranges_remove (struct sim_ranges *ranges, struct sim_range *range);

#endif

#include "ranges.h"

#include <stdlib.h>
#include <string.h>

/* Index of the first range that ends after `address`. */
static size_t
position (const struct sim_ranges *ranges, uintptr_t address)
{
  size_t low = 0, high = ranges->count;
  while (low < high)
    {
      size_t middle = low + (high - low) / 2;
      if (ranges->items[middle].base + ranges->items[middle].bytes <= address)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

struct sim_range *
sim_ranges_overlap (const struct sim_ranges *ranges, uintptr_t base, uint64_t bytes)
{
  size_t i = position (ranges, base);
  if (i == ranges->count || ranges->items[i].base >= base + bytes)
    return NULL;
  return &ranges->items[i];
}

struct sim_range *
sim_ranges_find (const struct sim_ranges *ranges, uintptr_t address)
{
  return sim_ranges_overlap (ranges, address, 1);
}

bool
sim_ranges_add (struct sim_ranges *ranges, const struct sim_range *range)
{
  if (ranges->count == ranges->capacity)
    {
      size_t capacity = ranges->capacity == 0 ? 64 : ranges->capacity * 2;
      struct sim_range *items = realloc (ranges->items, capacity * sizeof *items);
      if (items == NULL)
        return false;
      ranges->items = items;
      ranges->capacity = capacity;
    }
  size_t i = position (ranges, range->base);
  memmove (&ranges->items[i + 1], &ranges->items[i], (ranges->count - i) * sizeof *ranges->items);
  ranges->items[i] = *range;
  ranges->count++;
  return true;
}

void
sim_ranges_remove (struct sim_ranges *ranges, struct sim_range *range)
{
  size_t i = (size_t) (range - ranges->items);
  ranges->count--;
  memmove (&ranges->items[i], &ranges->items[i + 1], (ranges->count - i) * sizeof *ranges->items);
}

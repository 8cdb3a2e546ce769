#include "track.h"

#include "raw.h"
#include <sys/mman.h>

enum { FIRST_CAPACITY = 512 };

/* Pointers differ in their middle bits only; one multiplication spreads those over the top ones. 2^64 / golden ratio. */
static size_t
home_of (const struct spark_track *track, uint64_t key)
{
  return (size_t) ((key * 0x9e3779b97f4a7c15u) >> 32) & (track->capacity - 1);
}

static size_t
find_index (const struct spark_track *track, uint64_t key)
{
  size_t at = home_of (track, key);
  while (track->entries[at].key != 0 && track->entries[at].key != key)
    at = (at + 1) & (track->capacity - 1);
  return at;
}

struct spark_track_entry *
spark_track_find (struct spark_track *track, uint64_t key)
{
  if (key == 0 || track->count == 0)
    return NULL;
  struct spark_track_entry *entry = &track->entries[find_index (track, key)];
  return entry->key == 0 ? NULL : entry;
}

static bool
grow (struct spark_track *track)
{
  size_t capacity = track->capacity == 0 ? FIRST_CAPACITY : track->capacity * 2;
  size_t size = capacity * sizeof track->entries[0];
  struct spark_track_entry *entries = raw_mmap (size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (entries == NULL)
    return false;
  /* A forked child starts with an empty table and need not carry ours. */
  raw_madvise (entries, size, MADV_DONTFORK);
  struct spark_track old = *track;
  *track = (struct spark_track){ .entries = entries, .capacity = capacity, .count = old.count };
  for (size_t i = 0; i < old.capacity; i++)
    if (old.entries[i].key != 0)
      entries[find_index (track, old.entries[i].key)] = old.entries[i];
  spark_track_drop (&old);
  return true;
}

bool
spark_track_put (struct spark_track *track, struct spark_track_entry entry, struct spark_track_entry *replaced)
{
  *replaced = (struct spark_track_entry){ 0 };
  if (entry.key == 0)
    return false;
  /* Full at three quarters: 24 bytes an entry, so 32 to 64 bytes for each live one. */
  if (track->count + 1 > track->capacity / 4 * 3 && !grow (track))
    return false;
  struct spark_track_entry *at = &track->entries[find_index (track, entry.key)];
  if (at->key != 0)
    *replaced = *at;
  else
    track->count++;
  *at = entry;
  return true;
}

bool
spark_track_take (struct spark_track *track, uint64_t key, struct spark_track_entry *entry)
{
  struct spark_track_entry *found = spark_track_find (track, key);
  if (found == NULL)
    return false;
  *entry = *found;
  /* Close the gap, so that no search ever has to step over removed entries: move back whatever may live here. */
  size_t mask = track->capacity - 1, gap = (size_t) (found - track->entries);
  for (size_t at = (gap + 1) & mask; track->entries[at].key != 0; at = (at + 1) & mask)
    if (((at - home_of (track, track->entries[at].key)) & mask) >= ((at - gap) & mask))
      {
        track->entries[gap] = track->entries[at];
        gap = at;
      }
  track->entries[gap] = (struct spark_track_entry){ 0 };
  track->count--;
  return true;
}

uint64_t
spark_track_take_all (struct spark_track *track, uint64_t extra)
{
  uint64_t bytes = 0;
  struct spark_track_entry taken;
  for (size_t at = 0; at < track->capacity; at++)
    /* Again at the same place: what closes a gap comes from behind it. */
    while (track->entries[at].key != 0 && track->entries[at].extra == extra)
      {
        spark_track_take (track, track->entries[at].key, &taken);
        bytes += taken.bytes;
      }
  return bytes;
}

uint64_t
spark_track_change_all (struct spark_track *track, uint64_t from, uint64_t to)
{
  uint64_t bytes = 0;
  for (size_t at = 0; at < track->capacity; at++)
    if (track->entries[at].key != 0 && track->entries[at].extra == from)
      {
        track->entries[at].extra = to;
        bytes += track->entries[at].bytes;
      }
  return bytes;
}

void
spark_track_drop (struct spark_track *track)
{
  if (track->entries != NULL)
    raw_munmap (track->entries, track->capacity * sizeof track->entries[0]);
  *track = (struct spark_track){ 0 };
}

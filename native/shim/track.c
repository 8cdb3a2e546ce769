#include "track.h"

#include "raw.h"
#include "table.h"

enum { FIRST_CAPACITY = 340, GIVEN_BACK_BYTES = 4 << 20, LONG_WAY = 32 };

/* What every search consists of is put into its place, and what happens seldom kept out of there. */
#define IN_PLACE static inline __attribute__ ((always_inline))
#define SELDOM static __attribute__ ((cold, noinline))

IN_PLACE size_t
home_of (const struct spark_track *track, uint64_t key)
{
  return spark_table_slot (key, track->factor, track->capacity);
}

/* How far `at` is behind `home`: the searches go up, and on from the start. */
IN_PLACE size_t
way (const struct spark_track *track, size_t home, size_t at)
{
  return at >= home ? at - home : at + track->capacity - home;
}

IN_PLACE size_t
find_from (const struct spark_track *track, size_t at, uint64_t key)
{
  while (track->entries[at].key != 0 && track->entries[at].key != key)
    at = at + 1 == track->capacity ? 0 : at + 1;
  return at;
}

IN_PLACE size_t
find_index (const struct spark_track *track, uint64_t key)
{
  return find_from (track, home_of (track, key), key);
}

struct spark_track_entry *
spark_track_find (struct spark_track *track, uint64_t key)
{
  if (key == 0 || track->count == 0)
    return NULL;
  struct spark_track_entry *entry = &track->entries[find_index (track, key)];
  return entry->key == 0 ? NULL : entry;
}

/* A new table, half full. Entries lie in the order of their homes, so it fills from its front as the old one is emptied from its own,
   which goes back to the kernel meanwhile: the two never take much more than the larger one. */
SELDOM bool
move (struct spark_track *track)
{
  struct spark_track old = *track;
  size_t capacity = old.count * 2 > FIRST_CAPACITY ? old.count * 2 : FIRST_CAPACITY, given_bytes = 0;
  struct spark_track_entry *entries = spark_table_take (capacity * sizeof *entries);
  if (entries == NULL)
    return false;
  track->entries = entries;
  track->capacity = capacity;
  track->factor += old.factor == 0 ? SPARK_TABLE_FACTOR : 0;
  for (size_t i = 0; i < old.capacity; i++)
    {
      if (old.entries[i].key != 0)
        entries[find_index (track, old.entries[i].key)] = old.entries[i];
      if ((i + 1) * sizeof *entries - given_bytes > GIVEN_BACK_BYTES)
        {
          raw_munmap ((char *) old.entries + given_bytes, GIVEN_BACK_BYTES);
          given_bytes += GIVEN_BACK_BYTES;
        }
    }
  if (old.entries != NULL)
    spark_table_give (old.entries, old.capacity * sizeof *entries, given_bytes);
  return true;
}

/* Full at three fifths, and thinned out at two fifths: 24 bytes an entry, so 40 to 60 for each live one. */
IN_PLACE bool
make_room (struct spark_track *track)
{
  return (track->count + 1) * 5 <= track->capacity * 3 || move (track);
}

IN_PLACE void
thin_out (struct spark_track *track)
{
  if (track->count * 5 < track->capacity * 2 && track->capacity > FIRST_CAPACITY)
    move (track); /* where there is no memory for that it stays as it is */
}

/* One factor makes heaps of keys at some distances (with the first: 64 KiB, 124 KiB), another of keys at others. Tried seldom enough that
   it costs each entry a fixed part. */
SELDOM void
try_other_factor (struct spark_track *track)
{
  uint64_t factor = track->factor;
  track->factor *= SPARK_TABLE_FACTOR;
  if (!move (track))
    track->factor = factor;
  track->patience = track->count + track->count / 4;
}

bool
spark_track_put (struct spark_track *track, struct spark_track_entry entry, struct spark_track_entry *replaced)
{
  *replaced = (struct spark_track_entry){ 0 };
  if (entry.key == 0)
    return false;
  if (!make_room (track))
    return false;
  size_t home = home_of (track, entry.key), index = find_from (track, home, entry.key);
  if (way (track, home, index) > LONG_WAY && track->count >= track->patience)
    {
      try_other_factor (track);
      index = find_index (track, entry.key);
    }
  struct spark_track_entry *at = &track->entries[index];
  if (at->key != 0)
    *replaced = *at;
  else
    track->count++;
  *at = entry;
  return true;
}

/* Closes the gap, so that no search ever has to step over removed entries: moves back whatever may live there. */
IN_PLACE void
remove_at (struct spark_track *track, size_t gap)
{
  size_t capacity = track->capacity, distance = 0;
  for (size_t at = gap;;)
    {
      at = at + 1 == capacity ? 0 : at + 1;
      distance++;
      if (track->entries[at].key == 0)
        break;
      if (way (track, home_of (track, track->entries[at].key), at) >= distance)
        {
          track->entries[gap] = track->entries[at];
          gap = at;
          distance = 0;
        }
    }
  track->entries[gap] = (struct spark_track_entry){ 0 };
  track->count--;
}

bool
spark_track_take (struct spark_track *track, uint64_t key, struct spark_track_entry *entry)
{
  struct spark_track_entry *found = spark_track_find (track, key);
  if (found == NULL)
    return false;
  *entry = *found;
  remove_at (track, (size_t) (found - track->entries));
  thin_out (track);
  return true;
}

uint64_t
spark_track_take_all (struct spark_track *track, uint64_t extra)
{
  uint64_t bytes = 0;
  for (size_t at = 0; at < track->capacity; at++)
    /* Again at the same place: what closes a gap comes from behind it. */
    while (track->entries[at].key != 0 && track->entries[at].extra == extra)
      {
        bytes += track->entries[at].bytes;
        remove_at (track, at);
      }
  thin_out (track);
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
    spark_table_give (track->entries, track->capacity * sizeof track->entries[0], 0);
  *track = (struct spark_track){ 0 };
}

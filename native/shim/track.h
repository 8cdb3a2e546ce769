/* A table from a 64-bit key (pointer, handle) to two words. Constant time at any size, at most 64 bytes a live entry from 1,000 on.
   It takes its memory straight from the kernel, never from malloc (the program may replace that), and its caller locks. */
#ifndef SPARK_SHIM_TRACK_H
#define SPARK_SHIM_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spark_track_entry {
  uint64_t key; /* 0 = empty */
  uint64_t bytes;
  uint64_t extra;
};

/* All zeros is an empty table. */
struct spark_track {
  struct spark_track_entry *entries;
  size_t capacity;
  size_t count;
  uint64_t factor;   /* what spreads the keys */
  size_t patience;   /* the count from which on another factor may be tried */
};

/* The entry of `key`, or NULL. Valid until the next put or take. */
struct spark_track_entry *spark_track_find (struct spark_track *track, uint64_t key);

/* Adds an entry; one of the same key is overwritten and copied to `*replaced` (bytes 0 where there was none). False for key 0
   and where the kernel gives no memory; the table is unchanged then. */
bool spark_track_put (struct spark_track *track, struct spark_track_entry entry, struct spark_track_entry *replaced);

/* Removes the entry of `key` and copies it to `*entry`; false if there is none. */
bool spark_track_take (struct spark_track *track, uint64_t key, struct spark_track_entry *entry);

/* Removes all entries whose extra word is `extra`; the sum of their bytes. Looks at the whole table. */
uint64_t spark_track_take_all (struct spark_track *track, uint64_t extra);

/* Gives the extra word `to` to all entries whose is `from`; the sum of their bytes. Looks at the whole table. */
uint64_t spark_track_change_all (struct spark_track *track, uint64_t from, uint64_t to);

/* Gives the memory back. */
void spark_track_drop (struct spark_track *track);

#endif

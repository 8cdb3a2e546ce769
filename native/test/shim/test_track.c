/* The table from pointers to sizes, against a plain array that knows the right answer. */
#include "shim/track.h"
#include "table_bytes.h"
#include "test/check.h"

enum { KEYS = 3000, STEPS = 200000 };

static void
test_model (void)
{
  static uint64_t model[KEYS];
  struct spark_track track = { 0 };
  struct spark_track_entry entry;
  size_t live = 0;
  srand (7);
  for (int step = 0; step < STEPS; step++)
    {
      size_t i = (size_t) rand () % KEYS;
      uint64_t key = (i + 1) * 512 + ((uint64_t) (i % 5) << 40);
      if (rand () % 2)
        {
          uint64_t bytes = (uint64_t) rand () + 1;
          CHECK (spark_track_put (&track, (struct spark_track_entry){ key, bytes, ~bytes }, &entry));
          CHECK (entry.bytes == model[i]);
          live += model[i] == 0;
          model[i] = bytes;
        }
      else
        {
          CHECK (spark_track_take (&track, key, &entry) == (model[i] != 0));
          CHECK (model[i] == 0 || (entry.bytes == model[i] && entry.extra == ~model[i] && entry.key == key));
          live -= model[i] != 0;
          model[i] = 0;
        }
      CHECK (track.count == live);
      if (check_failed_here)
        break;
    }
  for (size_t i = 0; i < KEYS; i++)
    {
      struct spark_track_entry *found = spark_track_find (&track, (i + 1) * 512 + ((uint64_t) (i % 5) << 40));
      CHECK ((found == NULL) == (model[i] == 0) && (found == NULL || found->bytes == model[i]));
    }
  spark_track_drop (&track);
  test_done ("200,000 random steps agree with a plain array");
}

/* Groups by the extra word go together, wherever the table had to put them. */
static void
test_take_all (void)
{
  struct spark_track track = { 0 };
  struct spark_track_entry entry;
  srand (11);
  for (int round = 0; round < 200; round++)
    {
      uint64_t sums[3] = { 0 };
      size_t counts[3] = { 0 };
      for (int i = 0; i < 204; i++) /* just below the first growth, where chains are longest and wrap around */
        {
          uint64_t bytes = (uint64_t) rand () + 1, group = (uint64_t) rand () % 3;
          spark_track_put (&track, (struct spark_track_entry){ ((uint64_t) rand () << 9) + (uint64_t) i + 1, bytes, group }, &entry);
          if (entry.bytes != 0)
            sums[entry.extra] -= entry.bytes, counts[entry.extra]--;
          sums[group] += bytes, counts[group]++;
        }
      CHECK (spark_track_take_all (&track, 9) == 0);
      for (size_t group = 0; group < 3; group++)
        {
          size_t before = track.count;
          CHECK (spark_track_take_all (&track, group) == sums[group] && before - track.count == counts[group]);
        }
      CHECK (track.count == 0);
      if (check_failed_here)
        break;
    }
  spark_track_drop (&track);
  CHECK (spark_track_take_all (&track, 0) == 0);
  test_done ("all entries of one owner are taken together, and no other");
}

static void
test_edges (void)
{
  struct spark_track track = { 0 };
  struct spark_track_entry entry;
  CHECK (spark_track_find (&track, 1) == NULL && !spark_track_take (&track, 1, &entry));
  CHECK (!spark_track_put (&track, (struct spark_track_entry){ 0, 1, 1 }, &entry) && track.count == 0);
  spark_track_drop (&track);
  test_done ("an empty table, and the key 0");
}

static void
fill (struct spark_track *track, size_t from, size_t to)
{
  struct spark_track_entry entry;
  for (uint64_t i = from; i < to; i++)
    CHECK (spark_track_put (track, (struct spark_track_entry){ (i + 1) * 512, i, 0 }, &entry));
}

static void
test_no_memory (void)
{
  struct spark_track track = { 0 };
  struct spark_track_entry entry = { .key = 512 };
  uint64_t next = 20000;
  fill (&track, 0, next);
  stop_mapping (1);
  while (spark_track_put (&track, (struct spark_track_entry){ (next + 1) * 512, next, 0 }, &entry))
    next++;
  size_t count = track.count;
  bool all = true;
  for (uint64_t i = next; i > 0; i--)
    all &= spark_track_take (&track, i * 512, &entry) && entry.bytes == i - 1;
  stop_mapping (0);
  CHECK (count == next && next < 100000 && all && track.count == 0);
  fill (&track, 0, 10);
  CHECK (track.count == 10);
  spark_track_drop (&track);
  test_done ("where the kernel gives no memory nothing is added and all that is there stays");
}

/* What the kernel has mapped for it, on the way up and down again: just before and after every change of size are among the counts. */
static void
test_bytes (void)
{
  struct spark_track track = { 0 };
  struct spark_track_entry entry;
  uint64_t before = mapped_bytes (), most = 0;
  size_t count = 0, worst = 0;
  for (size_t next = 1000; next <= 2000000; next += next / 97 + 1)
    {
      fill (&track, count, next);
      count = next;
      note_most (mapped_bytes () - before, count, &most, &worst);
    }
  printf ("# growing: at most %.1f bytes each, at %zu\n", (double) most / 1000, worst);
  CHECK (most <= 64000);
  test_done ("1,000 to 2,000,000 live allocations take at most 64 bytes each");
  most = 0;
  for (; count > 1000; count--)
    {
      CHECK (spark_track_take (&track, count * 512, &entry));
      if (count % 997 == 0)
        note_most (mapped_bytes () - before, count - 1, &most, &worst);
    }
  printf ("# shrinking: at most %.1f bytes each, at %zu\n", (double) most / 1000, worst);
  CHECK (most <= 64000 && spark_track_find (&track, 512 * 700)->bytes == 699);
  spark_track_drop (&track);
  CHECK (mapped_bytes () == before);
  test_done ("and no more when most have been freed, and nothing is left behind");
}

/* The entries that a search may look at, told by which are in use: `most` by any, `mean` from anywhere for a key that is not there. */
static void
measure_runs (const struct spark_track *track, size_t *most, double *mean)
{
  size_t first = 0, run = 0;
  double sum = 0;
  while (track->entries[first].key != 0)
    first++;
  *most = 0;
  for (size_t i = 1; i <= track->capacity; i++)
    if (track->entries[(first + i) % track->capacity].key != 0)
      run++;
    else
      {
        sum += (double) run * (double) (run + 1) / 2;
        *most = run > *most ? run : *most;
        run = 0;
      }
  *mean = 1 + sum / (double) track->capacity;
}

/* A million pointers at a distance. Some distances are bad for one factor or another (found by trying all up to 2 MiB). */
static void
test_steps (void)
{
  static const uint64_t distances[] = { 512, 3 * 512, 4096, 64 << 10, 2 << 20, 6 << 20, 248 * 512, 757 * 512, 1148 * 512 };
  for (size_t d = 0; d < sizeof distances / sizeof distances[0]; d++)
    {
      struct spark_track track = { 0 };
      struct spark_track_entry entry;
      size_t most;
      double mean;
      for (uint64_t i = 0; i < 1000000; i++)
        CHECK (spark_track_put (&track, (struct spark_track_entry){ ((uint64_t) 1 << 40) + i * distances[d], i, 0 }, &entry));
      measure_runs (&track, &most, &mean);
      printf ("# %llu bytes apart: at most %zu steps, %.2f on average\n", (unsigned long long) distances[d], most + 1, mean);
      CHECK (most < 64 && mean < 7);
      spark_track_drop (&track);
    }
  test_done ("at a million live allocations a search takes a few steps, whatever they lie apart");
}

int
main (void)
{
  test_model ();
  test_take_all ();
  test_edges ();
  test_no_memory ();
  test_bytes ();
  test_steps ();
  return check_done ();
}

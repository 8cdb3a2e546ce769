/* The table from pointers to sizes, against a plain array that knows the right answer. */
#include "shim/track.h"
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
      for (int i = 0; i < 380; i++) /* just below the first growth, where chains are longest and wrap around */
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
  size_t count = 1000000;
  for (uint64_t i = 1; i <= count; i++)
    spark_track_put (&track, (struct spark_track_entry){ i << 21, i, 0 }, &entry);
  CHECK (track.count == count);
  CHECK (track.capacity * sizeof track.entries[0] <= 64 * count);
  CHECK (spark_track_find (&track, (uint64_t) 777777 << 21)->bytes == 777777);
  spark_track_drop (&track);
  test_done ("a million allocations take at most 64 bytes each");
}

int
main (void)
{
  test_model ();
  test_take_all ();
  test_edges ();
  return check_done ();
}

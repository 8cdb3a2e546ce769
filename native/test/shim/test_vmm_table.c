/* The table of memory by handle, against plain arrays that know the right answer. */
#include "shim/vmm_table.h"
#include "table_bytes.h"
#include "test/check.h"

enum { MEMORIES = 4000, HANDLES = 1500, PLACES = 3000, STEPS = 400000 };
#define GRANULE ((uint64_t) 2 << 20)
#define BASE ((uint64_t) 1 << 44)

/* The model: handle values are few and given out anew as soon as nothing refers to them; a memory may have several. */
static struct { uint64_t bytes; uint32_t holders; } memories[MEMORIES];
static struct { uint32_t memory, references; } handles[HANDLES]; /* value - 1 */
static struct { uint32_t memory, granules; } places[PLACES];     /* a mapping begins here */

static uint64_t
address_of (size_t place)
{
  return BASE + place * GRANULE;
}

static uint64_t
model_drop (uint32_t memory)
{
  if (memory == 0 || --memories[memory].holders != 0)
    return 0;
  uint64_t bytes = memories[memory].bytes;
  memories[memory].bytes = 0;
  return bytes;
}

static void
step_create (struct spark_vmm_table *table, size_t handle)
{
  static uint32_t next;
  if (handles[handle].references != 0)
    return;
  for (int tries = 0; tries < 50; tries++)
    {
      next = next % (MEMORIES - 1) + 1;
      if (memories[next].bytes == 0)
        {
          memories[next].bytes = ((uint64_t) rand () % 3 + 1) * GRANULE;
          memories[next].holders = handles[handle].references = 1;
          handles[handle].memory = next;
          CHECK (spark_vmm_create (table, handle + 1, memories[next].bytes) == 0);
          return;
        }
    }
}

static void
step_map (struct spark_vmm_table *table, size_t handle, size_t place)
{
  /* Memory of others, by a handle that nobody knows, as well. */
  uint32_t memory = handles[handle].references != 0 ? handles[handle].memory : 0;
  uint32_t granules = memory != 0 && rand () % 4 ? (uint32_t) (memories[memory].bytes / GRANULE) : (uint32_t) rand () % 3 + 1;
  for (size_t at = place < 3 ? 0 : place - 3; at < place; at++)
    if (places[at].granules > place - at)
      return;
  for (size_t at = place; at < place + granules; at++)
    if (at >= PLACES || places[at].granules != 0)
      return;
  places[place].memory = memory;
  places[place].granules = granules;
  if (memory != 0)
    memories[memory].holders++;
  CHECK (spark_vmm_map (table, memory != 0 ? handle + 1 : 0x7777, address_of (place), granules * GRANULE) == 0);
}

/* Whole mappings only, several at once where they lie side by side or with gaps. */
static void
step_unmap (struct spark_vmm_table *table, size_t place)
{
  size_t end = place;
  uint64_t freed = 0;
  if (places[place].granules == 0)
    return;
  for (int more = rand () % 3; more >= 0 && end < PLACES; more--)
    end += places[end].granules != 0 ? places[end].granules : 1;
  for (size_t at = place; at < end && at < PLACES; at++)
    if (places[at].granules != 0)
      {
        freed += model_drop (places[at].memory);
        places[at].granules = 0;
      }
  CHECK (spark_vmm_unmap (table, address_of (place), (end - place) * GRANULE) == freed);
}

static void
step_retain (struct spark_vmm_table *table, size_t handle, size_t place)
{
  uint32_t memory = places[place].granules != 0 ? places[place].memory : 0;
  if (memory == 0 || (handles[handle].references != 0 && handles[handle].memory != memory))
    return;
  handles[handle].memory = memory;
  handles[handle].references++;
  memories[memory].holders++;
  spark_vmm_retain (table, handle + 1, address_of (place));
}

static void
step_release (struct spark_vmm_table *table, size_t handle)
{
  uint64_t freed = handles[handle].references != 0 ? model_drop (handles[handle].memory) : 0;
  handles[handle].references -= handles[handle].references != 0;
  CHECK (spark_vmm_release (table, handle + 1) == freed);
}

static void
test_model (void)
{
  struct spark_vmm_table table = { 0 };
  srand (13);
  for (int step = 0; step < STEPS && !check_failed_here; step++)
    {
      /* More comes than goes, then more goes than comes, so that the table grows and is thinned out. */
      int ends = step / 20000 % 2, what = rand () % 10;
      size_t handle = (size_t) rand () % HANDLES, place = (size_t) rand () % PLACES;
      if (what < (ends ? 2 : 5))
        rand () % 2 ? step_create (&table, handle) : step_map (&table, handle, place);
      else if (what < 6)
        step_unmap (&table, place);
      else if (what < 7)
        step_retain (&table, handle, place);
      else if (what < 8 && handles[handle].references != 0)
        {
          spark_vmm_import (&table, handle + 1);
          handles[handle].references++;
          memories[handles[handle].memory].holders++;
        }
      else
        step_release (&table, handle);
    }
  uint64_t held = 0, freed = 0;
  for (size_t i = 1; i < MEMORIES; i++)
    held += memories[i].bytes;
  for (size_t i = 0; i < HANDLES; i++)
    for (; handles[i].references != 0; handles[i].references--)
      freed += spark_vmm_release (&table, i + 1);
  freed += spark_vmm_unmap (&table, BASE, PLACES * GRANULE);
  CHECK (held > 0 && freed == held && table.count == 0);
  spark_vmm_drop (&table);
  test_done ("400,000 random steps agree with plain arrays, with handles given out anew and memory that has several");
}

/* A handle taken from an address inside a mapping, whose own handle is gone; and what is mapped into arrays. */
static void
test_inside_and_arrays (void)
{
  struct spark_vmm_table table = { 0 };
  CHECK (spark_vmm_create (&table, 5, 4 * GRANULE) == 0 && spark_vmm_map (&table, 5, BASE, 4 * GRANULE) == 0);
  CHECK (spark_vmm_release (&table, 5) == 0);
  spark_vmm_retain (&table, 6, BASE + 3 * GRANULE + 1);
  spark_vmm_retain (&table, 9, BASE + 4 * GRANULE); /* behind it: nobody's */
  CHECK (spark_vmm_unmap (&table, BASE, 4 * GRANULE) == 0 && spark_vmm_release (&table, 9) == 0);
  CHECK (spark_vmm_release (&table, 6) == 4 * GRANULE && table.count == 0);
  test_done ("a handle from the middle of a mapping holds it");
  enum { ARRAY = 77, OTHER_ARRAY = 78 };
  CHECK (spark_vmm_create (&table, 5, GRANULE) == 0 && spark_vmm_map_array (&table, 5, ARRAY, 1) == 0);
  CHECK (spark_vmm_map_array (&table, 5, ARRAY, 2) == 0 && spark_vmm_map_array (&table, 5, OTHER_ARRAY, 3) == 0);
  CHECK (spark_vmm_release (&table, 5) == 0 && spark_vmm_unmap_array (&table, 1) == 0 && spark_vmm_unmap_array (&table, 1) == 0);
  CHECK (spark_vmm_end_array (&table, OTHER_ARRAY) == 0 && spark_vmm_end_array (&table, ARRAY) == GRANULE && table.count == 0);
  CHECK (spark_vmm_map_array (&table, 99, ARRAY, 1) == 0 && table.count == 0);
  spark_vmm_drop (&table);
  test_done ("what is mapped into arrays is held until it is unmapped or its array ends");
}

static void
test_stale (void)
{
  struct spark_vmm_table table = { 0 };
  CHECK (spark_vmm_release (&table, 5) == 0 && spark_vmm_unmap (&table, BASE, GRANULE) == 0);
  spark_vmm_import (&table, 5);
  spark_vmm_retain (&table, 5, BASE);
  CHECK (table.count == 0 && spark_vmm_map (&table, 5, BASE, GRANULE) == 0 && table.count == 1);
  CHECK (spark_vmm_create (&table, 7, 3 * GRANULE) == 0 && spark_vmm_map (&table, 7, BASE, 3 * GRANULE) == 0);
  CHECK (spark_vmm_create (&table, 7, GRANULE) == 0 && spark_vmm_map (&table, 7, BASE, GRANULE) == 3 * GRANULE);
  CHECK (spark_vmm_create (&table, 8, GRANULE) == 0 && spark_vmm_create (&table, 8, 2 * GRANULE) == GRANULE);
  CHECK (spark_vmm_release (&table, 7) == 0 && spark_vmm_unmap (&table, BASE, GRANULE) == GRANULE);
  CHECK (spark_vmm_release (&table, 8) == 2 * GRANULE && table.count == 0);
  spark_vmm_drop (&table);
  test_done ("what is unknown changes nothing; a handle or a place that is given out anew had an end that was not seen");
}

static void
test_no_memory (void)
{
  struct spark_vmm_table table = { 0 };
  uint64_t count = 0, freed = 0;
  for (; count < 20000; count++)
    spark_vmm_create (&table, count + 1, GRANULE);
  stop_mapping (1);
  for (; count < 40000; count++)
    spark_vmm_create (&table, count + 1, GRANULE);
  uint32_t known = table.count;
  for (; count > 0; count--)
    freed += spark_vmm_release (&table, count);
  stop_mapping (0);
  CHECK (known >= 20000 && known < 40000 && freed == known * GRANULE && table.count == 0);
  spark_vmm_create (&table, 1, GRANULE);
  CHECK (spark_vmm_release (&table, 1) == GRANULE);
  spark_vmm_drop (&table);
  test_done ("where the kernel gives no memory nothing is added and all that is there stays");
}

static void
test_bytes (void)
{
  struct spark_vmm_table table = { 0 };
  uint64_t before = mapped_bytes (), most = 0;
  size_t count = 0, worst = 0;
  for (size_t next = 1000; next <= 2000000; next += next / 97 + 1)
    {
      for (; count < next; count++)
        {
          spark_vmm_create (&table, count + 1, GRANULE);
          spark_vmm_map (&table, count + 1, address_of (count), GRANULE);
          if (count % 2 == 0)
            CHECK (spark_vmm_release (&table, count + 1) == 0);
        }
      note_most (mapped_bytes () - before, count, &most, &worst);
    }
  printf ("# at most %.1f bytes each, at %zu\n", (double) most / 1000, worst);
  CHECK (most <= 64000 && table.count == count);
  uint32_t longest = 0;
  double sum = 0;
  for (size_t i = 0; i < table.capacity / 2 * 2; i++)
    {
      uint32_t length = 0;
      for (uint32_t at = table.heads[i]; at != 0; at = table.records[at].next[i >= table.capacity / 2])
        length++;
      longest = length > longest ? length : longest;
      sum += (double) length * (length + 1) / 2;
    }
  printf ("# at most %u steps, %.2f on average\n", longest, sum / ((double) count * 3 / 2));
  CHECK (longest < 24 && sum < 3 * (double) count * 3 / 2);
  spark_vmm_drop (&table);
  CHECK (mapped_bytes () == before);
  test_done ("1,000 to 2,000,000 with a mapping, with and without their handle, take at most 64 bytes each, and are found in a few steps");
}

int
main (void)
{
  test_model ();
  test_inside_and_arrays ();
  test_stale ();
  test_no_memory ();
  test_bytes ();
  return check_done ();
}

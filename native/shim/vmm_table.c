#include "vmm_table.h"

#include "table.h"

enum { FIRST_CAPACITY = 98 };
enum way { BY_HANDLE, BY_ADDRESS };

/* ---- finding: half as many slots as records, each with a list; two steps on average ---- */

static uint64_t
key_of (const struct spark_vmm_record *record, enum way way)
{
  return way == BY_HANDLE ? record->handle : record->address;
}

static size_t
slots_of (uint32_t capacity)
{
  return capacity / 2;
}

static uint32_t *
head_of (struct spark_vmm_table *table, enum way way, uint64_t key)
{
  size_t slots = slots_of (table->capacity);
  return &table->heads[(way == BY_ADDRESS ? slots : 0) + spark_table_slot (key ^ key >> 32, SPARK_TABLE_FACTOR, slots)];
}

/* NULL where there is none. Valid until the next record is added or freed. */
static struct spark_vmm_record *
find (struct spark_vmm_table *table, enum way way, uint64_t key)
{
  if (key == 0 || table->count == 0)
    return NULL;
  uint32_t at = *head_of (table, way, key);
  while (at != 0 && key_of (&table->records[at], way) != key)
    at = table->records[at].next[way];
  return at == 0 ? NULL : &table->records[at];
}

static void
link_by (struct spark_vmm_table *table, enum way way, uint32_t index)
{
  uint64_t key = key_of (&table->records[index], way);
  if (key == 0)
    return;
  uint32_t *head = head_of (table, way, key);
  table->records[index].next[way] = *head;
  *head = index;
}

static void
unlink_by (struct spark_vmm_table *table, enum way way, uint32_t index)
{
  uint64_t key = key_of (&table->records[index], way);
  if (key == 0)
    return;
  uint32_t *at = head_of (table, way, key);
  while (*at != index)
    at = &table->records[*at].next[way];
  *at = table->records[index].next[way];
}

/* ---- room for records ---- */

static size_t
records_bytes (uint32_t capacity)
{
  return ((size_t) capacity + 1) * sizeof (struct spark_vmm_record);
}

static size_t
heads_bytes (uint32_t capacity)
{
  return slots_of (capacity) * 2 * sizeof (uint32_t);
}

/* Records 1 to `count` are all that there are. */
static void
link_all (struct spark_vmm_table *table, uint32_t capacity, uint32_t *heads)
{
  if (table->heads != NULL)
    spark_table_give (table->heads, heads_bytes (table->capacity), 0);
  table->heads = heads;
  table->capacity = capacity;
  table->used = table->count;
  table->free = 0;
  for (uint32_t i = 1; i <= table->count; i++)
    {
      link_by (table, BY_HANDLE, i);
      link_by (table, BY_ADDRESS, i);
    }
}

/* An eighth more, and at least so much less where a fifth is not in use: 44 bytes a record, so 44 to 55 for each live one. */
static uint32_t
roomy (uint32_t count)
{
  return count < FIRST_CAPACITY ? FIRST_CAPACITY : count + count / 8;
}

static bool
grow (struct spark_vmm_table *table)
{
  uint32_t capacity = roomy (table->count);
  uint32_t *heads = spark_table_take (heads_bytes (capacity));
  void *records = heads == NULL ? NULL
                  : table->records == NULL
                    ? spark_table_take (records_bytes (capacity))
                    : spark_table_change (table->records, records_bytes (table->capacity), records_bytes (capacity));
  if (records == NULL)
    {
      if (heads != NULL)
        spark_table_give (heads, heads_bytes (capacity), 0);
      return false;
    }
  table->records = records;
  link_all (table, capacity, heads);
  return true;
}

/* Moves the records behind `count` to free places before it; what refers to one of them finds its new place in the old one. */
static void
close_ranks (struct spark_vmm_table *table)
{
  struct spark_vmm_record *records = table->records;
  uint32_t to = 1;
  for (uint32_t from = table->count + 1; from <= table->used; from++)
    if (records[from].holders != 0 || records[from].is_further)
      {
        while (records[to].holders != 0 || records[to].is_further)
          to++;
        records[to] = records[from];
        records[from].next[0] = to;
      }
  for (uint32_t i = 1; i <= table->count; i++)
    if (records[i].is_further && records[i].holders > table->count)
      records[i].holders = records[records[i].holders].next[0];
}

static void
thin_out (struct spark_vmm_table *table)
{
  if (table->count >= table->capacity - table->capacity / 5 || table->capacity <= FIRST_CAPACITY)
    return;
  uint32_t capacity = roomy (table->count), *heads = spark_table_take (heads_bytes (capacity));
  if (heads == NULL)
    return;
  close_ranks (table);
  void *records = spark_table_change (table->records, records_bytes (table->capacity), records_bytes (capacity));
  if (records != NULL) /* the kernel can always give less */
    table->records = records;
  link_all (table, capacity, heads);
}

/* ---- records ---- */

/* The number of a new record like `record`; 0 where there is no memory for one. */
static uint32_t
add (struct spark_vmm_table *table, struct spark_vmm_record record)
{
  if (table->count == table->capacity && !grow (table))
    return 0;
  uint32_t index = table->free != 0 ? table->free : ++table->used;
  if (index == table->free)
    table->free = table->records[index].next[0];
  table->records[index] = record;
  table->count++;
  link_by (table, BY_HANDLE, index);
  link_by (table, BY_ADDRESS, index);
  return index;
}

static void
free_record (struct spark_vmm_table *table, uint32_t index)
{
  table->records[index] = (struct spark_vmm_record){ .next = { table->free, 0 } };
  table->free = index;
  table->count--;
}

static uint32_t
index_of (struct spark_vmm_table *table, const struct spark_vmm_record *record)
{
  return (uint32_t) (record - table->records);
}

/* The record of the memory that `record` is about; 0 for memory of others. */
static uint32_t
memory_of (struct spark_vmm_table *table, const struct spark_vmm_record *record)
{
  return record->is_further ? record->holders : index_of (table, record);
}

static void
hold (struct spark_vmm_table *table, uint32_t memory)
{
  if (memory != 0)
    table->records[memory].holders++;
}

/* `count` holders less, whose handle or address is no longer in `record`: forgotten too where nothing else is. The bytes that nobody holds
   any more. */
static uint64_t
let_go (struct spark_vmm_table *table, struct spark_vmm_record *record, uint32_t count)
{
  uint32_t memory = memory_of (table, record);
  if (record->is_further && record->handle == 0 && record->address == 0)
    free_record (table, index_of (table, record));
  if (memory == 0 || (table->records[memory].holders -= count) != 0)
    return 0;
  uint64_t bytes = table->records[memory].bytes;
  free_record (table, memory);
  return bytes;
}

static uint64_t
drop_references (struct spark_vmm_table *table, struct spark_vmm_record *record, uint32_t count)
{
  record->references -= count;
  if (record->references == 0)
    {
      unlink_by (table, BY_HANDLE, index_of (table, record));
      record->handle = 0;
    }
  return let_go (table, record, count);
}

static uint64_t
drop_mapping (struct spark_vmm_table *table, struct spark_vmm_record *record)
{
  unlink_by (table, BY_ADDRESS, index_of (table, record));
  record->address = 0;
  return let_go (table, record, 1);
}

static void
refer (struct spark_vmm_table *table, struct spark_vmm_record *record)
{
  record->references++;
  hold (table, memory_of (table, record));
}

/* ---- what the calls do ---- */

/* The driver gives out a handle, or maps at an address, that we think is in use: an end of it that we did not see. */
static uint64_t
forget_stale (struct spark_vmm_table *table, enum way way, uint64_t key)
{
  struct spark_vmm_record *record = find (table, way, key);
  if (record == NULL)
    return 0;
  return way == BY_HANDLE ? drop_references (table, record, record->references) : drop_mapping (table, record);
}

uint64_t
spark_vmm_create (struct spark_vmm_table *table, uint64_t handle, uint64_t bytes)
{
  uint64_t freed = forget_stale (table, BY_HANDLE, handle);
  add (table, (struct spark_vmm_record){ .handle = handle, .bytes = bytes, .references = 1, .holders = 1 });
  return freed;
}

void
spark_vmm_import (struct spark_vmm_table *table, uint64_t handle)
{
  struct spark_vmm_record *record = find (table, BY_HANDLE, handle);
  if (record != NULL)
    refer (table, record);
}

/* Places in arrays are kept as addresses that no program has. */
#define IN_ARRAY ((uint64_t) 1 << 63)

/* The mapping that holds `address`. Its start is what nearly everybody names; for any other the whole table is looked at. */
static struct spark_vmm_record *
mapping_around (struct spark_vmm_table *table, uint64_t address)
{
  struct spark_vmm_record *mapping = find (table, BY_ADDRESS, address);
  for (uint32_t i = 1; mapping == NULL && i <= table->used; i++)
    {
      struct spark_vmm_record *record = &table->records[i];
      if (record->address != 0 && (record->address & IN_ARRAY) == 0 && address - record->address < record->bytes)
        mapping = record;
    }
  return mapping;
}

void
spark_vmm_retain (struct spark_vmm_table *table, uint64_t handle, uint64_t address)
{
  struct spark_vmm_record *record = find (table, BY_HANDLE, handle), *mapping = mapping_around (table, address);
  uint32_t memory = mapping != NULL ? memory_of (table, mapping) : 0;
  if (record == NULL && handle != 0 && memory != 0)
    {
      /* The handle was released, or the driver gave another value for it: this one stands for the mapped memory now. */
      if (table->records[memory].handle == 0)
        {
          record = &table->records[memory];
          record->handle = handle;
          link_by (table, BY_HANDLE, memory);
        }
      else
        {
          uint32_t added = add (table, (struct spark_vmm_record){ .handle = handle, .is_further = 1, .holders = memory });
          record = added != 0 ? &table->records[added] : NULL;
        }
    }
  if (record != NULL)
    refer (table, record);
}

uint64_t
spark_vmm_map (struct spark_vmm_table *table, uint64_t handle, uint64_t address, uint64_t bytes)
{
  uint64_t freed = forget_stale (table, BY_ADDRESS, address);
  struct spark_vmm_record *of = find (table, BY_HANDLE, handle);
  uint32_t memory = of != NULL ? memory_of (table, of) : 0;
  if (memory != 0 && table->records[memory].address == 0 && table->records[memory].bytes == bytes)
    {
      table->records[memory].address = address;
      link_by (table, BY_ADDRESS, memory);
      hold (table, memory);
    }
  else if (add (table, (struct spark_vmm_record){ .address = address, .bytes = bytes, .is_further = 1, .holders = memory }) != 0)
    hold (table, memory);
  return freed;
}

uint64_t
spark_vmm_release (struct spark_vmm_table *table, uint64_t handle)
{
  struct spark_vmm_record *record = find (table, BY_HANDLE, handle);
  uint64_t freed = record != NULL ? drop_references (table, record, 1) : 0;
  thin_out (table);
  return freed;
}

uint64_t
spark_vmm_unmap (struct spark_vmm_table *table, uint64_t address, uint64_t bytes)
{
  enum { GRANULE = 2 << 20 }; /* the least distance between two mappings */
  uint64_t freed = 0, done = 0;
  while (done < bytes && table->count > 0)
    {
      struct spark_vmm_record *mapping = find (table, BY_ADDRESS, address + done);
      uint64_t step = mapping != NULL && mapping->bytes != 0 ? mapping->bytes : GRANULE;
      if (mapping != NULL)
        freed += drop_mapping (table, mapping);
      done = step > bytes - done ? bytes : done + step;
    }
  thin_out (table);
  return freed;
}

uint64_t
spark_vmm_map_array (struct spark_vmm_table *table, uint64_t handle, uint64_t array, uint64_t place)
{
  uint64_t freed = forget_stale (table, BY_ADDRESS, place | IN_ARRAY);
  struct spark_vmm_record *of = find (table, BY_HANDLE, handle);
  uint32_t memory = of != NULL ? memory_of (table, of) : 0;
  struct spark_vmm_record mapping = { .address = place | IN_ARRAY, .bytes = array, .is_further = 1, .holders = memory };
  if (memory != 0 && add (table, mapping) != 0)
    hold (table, memory);
  return freed;
}

uint64_t
spark_vmm_unmap_array (struct spark_vmm_table *table, uint64_t place)
{
  return forget_stale (table, BY_ADDRESS, place | IN_ARRAY);
}

uint64_t
spark_vmm_end_array (struct spark_vmm_table *table, uint64_t array)
{
  uint64_t freed = 0;
  for (uint32_t i = 1; i <= table->used; i++)
    if ((table->records[i].address & IN_ARRAY) != 0 && table->records[i].bytes == array)
      freed += drop_mapping (table, &table->records[i]);
  thin_out (table);
  return freed;
}

void
spark_vmm_drop (struct spark_vmm_table *table)
{
  if (table->records != NULL)
    {
      spark_table_give (table->records, records_bytes (table->capacity), 0);
      spark_table_give (table->heads, heads_bytes (table->capacity), 0);
    }
  *table = (struct spark_vmm_table){ 0 };
}

/* What the tables of the shim stand on: a key's slot in a table of any size, and memory straight from the kernel. */
#ifndef SPARK_SHIM_TABLE_H
#define SPARK_SHIM_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Where `key` belongs among `slots`, in the order of the products' upper bits: one multiplication spreads over those the middle bits, in
   which pointers differ. */
static inline size_t
spark_table_slot (uint64_t key, uint64_t factor, size_t slots)
{
  return (size_t) (((unsigned __int128) (key * factor) * slots) >> 64);
}

/* 2^64 / golden ratio: keys at equal distances come to lie apart from each other, better than by chance. */
#define SPARK_TABLE_FACTOR UINT64_C (0x9e3779b97f4a7c15)

/* Zeroed memory that a forked child does not get, for a table of `bytes`; in huge pages where it is large. NULL where there is none. */
void *spark_table_take (size_t bytes);

/* Another size for memory that may move, its contents kept; NULL where there is none, and the old one stays then. What is
   taken on so is not in huge pages. */
void *spark_table_change (void *memory, size_t old_bytes, size_t bytes);

/* Gives back a table of `bytes`, but its first `gone_bytes`, which went before. */
void spark_table_give (void *memory, size_t bytes, size_t gone_bytes);

#endif

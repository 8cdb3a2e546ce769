/* What is known of memory by handle: who holds it, by which handles and at which addresses. At most 64 bytes for an allocation with one
   handle and one mapping, or either of them, from 1,000 on. Its caller locks.

   Memory is told apart by its record and not by its handle, whose value may be given out anew while the memory is still mapped. */
#ifndef SPARK_SHIM_VMM_TABLE_H
#define SPARK_SHIM_VMM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory with one handle and one mapping of the whole: the usual case. Each more of either has a further record. */
struct spark_vmm_record {
  uint64_t handle;     /* 0 = none, or released */
  uint64_t address;    /* 0 = not mapped */
  uint64_t bytes;      /* charged, and mapped at `address`; in a further record only mapped, or the array that it is mapped into */
  uint32_t references; /* held through `handle` */
  uint32_t is_further : 1;
  uint32_t holders : 31; /* references and mappings of the memory, with those in further records; in such a one: the memory's record, 0
                            for memory of others */
  uint32_t next[2];      /* of the same slot by handle and by address; [0] also of the free records */
};

/* All zeros is an empty table. */
struct spark_vmm_table {
  struct spark_vmm_record *records; /* [0] stands for none */
  uint32_t *heads;                  /* slots by handle, then as many by address */
  uint32_t capacity;                /* of records, without [0] */
  uint32_t count;                   /* records in use */
  uint32_t used;                    /* records that are or were in use: 1 to `used` */
  uint32_t free;                    /* the first of those that no longer are */
};

/* All that return something return the bytes that nobody holds any more. */

/* `bytes` of new memory, with one reference through `handle`. */
uint64_t spark_vmm_create (struct spark_vmm_table *table, uint64_t handle, uint64_t bytes);

/* One more reference through a handle that is known. */
void spark_vmm_import (struct spark_vmm_table *table, uint64_t handle);

/* One more reference to what is mapped at `address`, or around it, through `handle`, which may be new. */
void spark_vmm_retain (struct spark_vmm_table *table, uint64_t handle, uint64_t address);

uint64_t spark_vmm_map (struct spark_vmm_table *table, uint64_t handle, uint64_t address, uint64_t bytes);

/* One reference less. */
uint64_t spark_vmm_release (struct spark_vmm_table *table, uint64_t handle);

/* Ends the mappings from `address` on, which may be several side by side. */
uint64_t spark_vmm_unmap (struct spark_vmm_table *table, uint64_t address, uint64_t bytes);

/* Mapped into an array, at a place that `place` stands for: whoever maps there again, or ends it, names the same. */
uint64_t spark_vmm_map_array (struct spark_vmm_table *table, uint64_t handle, uint64_t array, uint64_t place);
uint64_t spark_vmm_unmap_array (struct spark_vmm_table *table, uint64_t place);

/* The end of an array, with all that is mapped into it. Looks at the whole table. */
uint64_t spark_vmm_end_array (struct spark_vmm_table *table, uint64_t array);

/* Gives the memory back. */
void spark_vmm_drop (struct spark_vmm_table *table);

#endif

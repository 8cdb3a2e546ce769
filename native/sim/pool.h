/* A memory pool: what it holds of the machine, and of that what is in use. */
#ifndef SPARK_SIM_POOL_H
#define SPARK_SIM_POOL_H

#include "memory.h"
#include "pages.h"

/* Pages that were freed into the pool, and still mapped. */
struct sim_pool_block {
  struct sim_pool_block *next;
  uintptr_t base;
  struct sim_pages pages;
};

struct sim_pool {
  struct sim_pool *next;           /* of all pools, under sim_lock as everything below */
  struct sim_pool_block *free;     /* newest first */
  uint64_t used_bytes;             /* as asked for */
  uint64_t used_high_bytes;
  uint64_t reserved_bytes;         /* whole pages: used and free ones */
  uint64_t reserved_high_bytes;
  uint64_t threshold_bytes;        /* a synchronisation lets go of free pages beyond it */
  uint64_t largest_bytes;          /* it may reserve; 0: no limit of its own */
  bool shareable;
  bool imported;                   /* another process's pool: only its pointers can be had */
  struct sim_pages_place place;    /* of that process */
};

/* A pool of the properties that cuMemPoolCreate takes; NULL: the default. NULL without memory. */
struct sim_pool *sim_pool_new (const CUmemPoolProps *properties);

#endif

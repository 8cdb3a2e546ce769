/* What is behind a pointer, for the functions that copy, ask or map. */
#ifndef SPARK_SIM_MEMORY_H
#define SPARK_SIM_MEMORY_H

#include "cuda_abi.h"
#include "ranges.h"

enum sim_memory_kind {
  SIM_DEVICE_MEMORY = 1, /* owner: context */
  SIM_POOL_MEMORY,       /* owner: pool */
  SIM_MAPPED_MEMORY,     /* owner: allocation (cuMemCreate) */
  SIM_HOST_MEMORY,
  SIM_REGISTERED_MEMORY,
  SIM_MANAGED_MEMORY,
};

/* All memory the driver knows, under sim_lock. */
extern struct sim_ranges sim_memory;

/* Takes pages and maps them; `owner` is a context or a pool. Returns a CUresult; `*pointer` is untouched on failure. */
CUresult sim_memory_take (uint64_t bytes, enum sim_memory_kind kind, void *owner, CUdeviceptr *pointer);

/* Frees what sim_memory_take gave; CUDA_ERROR_INVALID_VALUE for anything but its exact start. */
CUresult sim_memory_give (CUdeviceptr pointer);

/* Tells `pool` that memory taken for it is free again. */
void sim_pool_freed (void *pool, uint64_t bytes);

/* True if all of [pointer, pointer + bytes) is memory that the device may touch; it may span mappings side by side. */
bool sim_memory_reachable (CUdeviceptr pointer, uint64_t bytes);

/* The errno of sim_pages_* as the driver would say it. */
CUresult sim_memory_error (int status);

#endif

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
  SIM_IPC_MEMORY,        /* another process's */
  SIM_EXTERNAL_MEMORY,   /* owner: external memory object */
  SIM_GRAPH_MEMORY,      /* owner: allocation of a graph */
};

/* All memory the driver knows, under sim_lock. */
extern struct sim_ranges sim_memory;

/* Adds a range, or takes out the one that starts at `pointer` if it is of one of the kinds (SIM_KIND (a) | SIM_KIND (b)). */
#define SIM_KIND(kind) (1U << (kind))
bool sim_memory_add (const struct sim_range *range);
bool sim_memory_remove (CUdeviceptr pointer, unsigned kinds, struct sim_range *removed);

/* Takes pages and maps them; `owner` is a context or a pool. Returns a CUresult; `*pointer` is untouched on failure. */
CUresult sim_memory_take (uint64_t bytes, enum sim_memory_kind kind, void *owner, CUdeviceptr *pointer);

/* The same at `address`, where the caller holds address space for it, or anywhere if that is NULL. */
CUresult sim_memory_take_at (uint64_t bytes, enum sim_memory_kind kind, void *owner, void *address, CUdeviceptr *pointer);

/* The rows of cuMemAllocPitch and what they take together. */
CUresult sim_memory_pitch (size_t width_bytes, size_t height, unsigned int element_bytes, size_t *pitch, size_t *bytes);

/* Frees what sim_memory_take gave; CUDA_ERROR_INVALID_VALUE for anything but its exact start. */
CUresult sim_memory_give (CUdeviceptr pointer);

/* Gives `range`, that is no longer in the set, back to its pool, or to its graph. */
void sim_pool_freed (const struct sim_range *range);
void sim_graph_freed (const struct sim_range *range);

/* What a synchronisation does: pools let go of what they hold beyond their thresholds. */
void sim_pools_settle (void);

/* True if all of [pointer, pointer + bytes) is memory that the device may touch; it may span mappings side by side. */
bool sim_memory_reachable (CUdeviceptr pointer, uint64_t bytes);

/* A mapping more of what cuMemCreate made for tiles of arrays, of its first `bytes`; NULL where it is nothing of the kind. Under
   sim_lock, as is a mapping less. */
void *sim_allocation_hold (CUmemGenericAllocationHandle handle, uint64_t bytes);
void sim_allocation_drop (void *allocation);

/* The errno of sim_pages_* as the driver would say it. */
CUresult sim_memory_error (int status);

#endif

/* The table of the device memory that this process holds by pointer. */
#ifndef SPARK_SHIM_CUDA_HELD_H
#define SPARK_SHIM_CUDA_HELD_H

#include "call.h"
#include "cuda_abi.h"

/* The context that memory taken now belongs to: it goes back when that ends (cuda_context.c). A green context's memory is its device's
   primary context's and counts under the green one's name: until it is freed. */
uint64_t spark_current_context (void);

/* Memory of a pool that is counted as a whole (cuda_pool.c): its entry's `extra` is the pool's handle with this bit, and its bytes are
   counted by themselves only once the pool is destroyed under it. */
#define SPARK_HELD_BY_POOL ((uint64_t) 1 << 63)

static inline bool
spark_held_by_pool (struct spark_track_entry entry)
{
  return (entry.extra & SPARK_HELD_BY_POOL) != 0;
}

/* Adds what was reserved before; 0 is no context. If the kernel gives no memory for the table the charge stays: too much counted until
   this process ends, never too little. */
void spark_held_remember (struct spark_process *process, CUdeviceptr pointer, uint64_t charge, uint64_t context);

/* What was remembered of `pointer`, bytes 0 if nothing. Done before the driver frees it: afterwards another thread may be given the
   same address at once. */
struct spark_track_entry spark_held_forget (struct spark_process *process, CUdeviceptr pointer);

/* After the driver's answer to a free: gives back, or remembers again what the driver did not free. Returns that answer. */
CUresult spark_held_settle (struct spark_process *process, struct spark_track_entry entry, CUresult result);

/* The body of a function that frees `pointer`, then the driver's arguments. */
#define SPARK_FREE(pointer, ...)                                                                                       \
  do                                                                                                                   \
    {                                                                                                                  \
      struct spark_track_entry entry = spark_held_forget (call->process, (pointer));                                   \
      return spark_held_settle (call->process, entry, real (__VA_ARGS__));                                             \
    }                                                                                                                  \
  while (0)

#endif

/* The table of the device memory that this process holds by pointer. */
#ifndef SPARK_SHIM_CUDA_HELD_H
#define SPARK_SHIM_CUDA_HELD_H

#include "call.h"
#include "cuda_abi.h"

/* The context that memory taken now belongs to: it goes back when that ends (cuda_context.c). A green context's memory is its device's
   primary context's and counts under the green one's name: until it is freed. */
uint64_t spark_current_context (void);

/* Adds what was reserved before; 0 is no context. If the kernel gives no memory for the table the charge stays: too much counted until
   this process ends, never too little. */
void spark_held_remember (struct spark_process *process, CUdeviceptr pointer, uint64_t charge, uint64_t context);

/* What was remembered of `pointer`, bytes 0 if nothing. Done before the driver frees it: afterwards another thread may be given the
   same address at once. */
struct spark_track_entry spark_held_forget (struct spark_process *process, CUdeviceptr pointer);

/* After the driver's answer to a free: gives back, or remembers again what the driver did not free. Returns that answer. */
CUresult spark_held_settle (struct spark_process *process, struct spark_track_entry entry, CUresult result);

#endif

/* What memory pools hold, counted by what they have reserved. */
#ifndef SPARK_SHIM_CUDA_POOL_H
#define SPARK_SHIM_CUDA_POOL_H

#include "process.h"

/* Asks every known pool what it has reserved and gives back what it has not any more; the bytes given back. */
uint64_t spark_pools_settle (struct spark_process *process);

/* Lets every known pool give its idle memory to the system first. Waits for nothing. Where the kernel module tells what goes back
   (rm_ioctl.c) the answer is 1 if there is a pool at all. */
uint64_t spark_pools_trim (struct spark_process *process);

#endif

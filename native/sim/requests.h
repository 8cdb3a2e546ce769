/* The simulated kernel module's side: with SPARK_SIM_RM=1 every page is asked for, and given back, by a request of the shape in
   which NVIDIA's driver asks its kernel module, through the C library's ioctl. There is no such module here: a seccomp filter of this
   process answers 0 in its place, so that who looks on sees a request that succeeded, and who refuses is obeyed. */
#ifndef SPARK_SIM_REQUESTS_H
#define SPARK_SIM_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

/* Asks for `bytes` that are to be named `object` until they are given back. False where they were refused; true where no requests are made. */
bool sim_requests_take (uint64_t bytes, uint32_t object);
void sim_requests_give (uint32_t object);

#endif

/* Room in the budget for a call that allocates: taken, or the call is refused. */
#ifndef SPARK_SHIM_CUDA_ROOM_H
#define SPARK_SHIM_CUDA_ROOM_H

#include "call.h"
#include "cuda_abi.h"

/* Reserves `bytes` in the ledger. Where they do not fit, this process's own pools and graphs first give back what lies idle in them,
   as a driver out of memory trims its pools. False: counted as a refusal, and the trace told. */
bool spark_take_room (struct spark_call *call, uint64_t bytes);

/* This process's own pools and graphs give back what lies idle in them, without disturbing a stream that is captured. The bytes; where the
   kernel module counts them, only whether there was anything to ask. */
uint64_t spark_trim_idle (struct spark_process *process);

/* In a body: the driver's call, whose growth the kernel module counts. After a refusal it is made once more if there was something to
   trim; refused for good, what it had taken step by step is trimmed too, as far as the driver lets go (an instantiated graph keeps it). */
#define SPARK_GROW(process, result, driver_call)                                                                       \
  do                                                                                                                   \
    {                                                                                                                  \
      SPARK_COUNTED_BELOW ((result) = driver_call);                                                                    \
      if ((result) == SPARK_CUDA_ERROR_OUT_OF_MEMORY && spark_trim_idle (process) > 0)                                 \
        SPARK_COUNTED_BELOW ((result) = driver_call);                                                                  \
      if ((result) == SPARK_CUDA_ERROR_OUT_OF_MEMORY)                                                                  \
        spark_trim_idle (process);                                                                                     \
    }                                                                                                                  \
  while (0)

/* Refuses the call: counted, and the trace told. Returns error 2. */
CUresult spark_no_room (struct spark_call *call);

#endif

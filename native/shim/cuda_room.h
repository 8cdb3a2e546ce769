/* Room in the budget for a call that allocates: taken, or the call is refused. */
#ifndef SPARK_SHIM_CUDA_ROOM_H
#define SPARK_SHIM_CUDA_ROOM_H

#include "call.h"
#include "cuda_abi.h"

/* Reserves `bytes` in the ledger. Where they do not fit, this process's own pools and graphs first give back what lies idle in them,
   as a driver out of memory trims its pools. False: counted as a refusal, and the trace told. */
bool spark_take_room (struct spark_call *call, uint64_t bytes);

/* Refuses the call: counted, and the trace told. Returns error 2. */
CUresult spark_no_room (struct spark_call *call);

#endif

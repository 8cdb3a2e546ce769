/* A library linked against libcuda; whose function do its references name? */
#include "shim/cuda_abi.h"

__attribute__ ((visibility ("default"))) void *linked_allocator (void);
void *linked_allocator (void) { return (void *) cuMemAlloc_v2; }

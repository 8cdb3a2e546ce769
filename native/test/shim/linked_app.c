/* A program linked against libcuda. Exit code 0: it sees the budget of $EXPECT_BYTES and is refused above it; 1: it does not. */
#include "shim/cuda_abi.h"
#include <stdlib.h>

int
main (void)
{
  size_t free_bytes = 0, total_bytes = 0, expected = strtoull (getenv ("EXPECT_BYTES"), NULL, 10);
  CUdeviceptr pointer = 7;
  if (cuMemGetInfo_v2 (&free_bytes, &total_bytes) != 0 || total_bytes != expected || free_bytes > expected)
    return 1;
  if (cuMemAlloc_v2 (&pointer, expected + 1) != SPARK_CUDA_ERROR_OUT_OF_MEMORY || pointer != 7)
    return 1;
  if (cuMemAlloc_v2 (&pointer, 1 << 20) != 0 || pointer == 7)
    return 1;
  return cuMemFree_v2 (pointer);
}

/* What the fuzz driver knows and its users look at. Shared between the processes that map the same file. */
#ifndef SPARK_TEST_FUZZ_DRIVER_H
#define SPARK_TEST_FUZZ_DRIVER_H

#include "shim/cuda_abi.h"

/* The true books, kept apart from the shim's. */
struct fuzz_truth {
  uint64_t limit_bytes;          /* 0 = none; above it the driver aborts the process */
  _Atomic uint64_t held_bytes;   /* of all processes, as the driver charges */
  _Atomic uint64_t unseen_bytes; /* what a pitch of the driver's choice took more than anybody could know before */
  _Atomic uint64_t most_bytes;
  _Atomic long granted;
};

/* `truth` is where this process keeps its books; before the first call. */
SPARK_EXPORT void fuzz_driver_begin (struct fuzz_truth *truth, unsigned seed, int failures_per_thousand);

/* As the real driver has them; not hooked. */
CUresult cuCtxCreate_v2 (CUcontext *context, unsigned flags, CUdevice device);
CUresult cuCtxSetCurrent (CUcontext context);
CUresult cuInit (unsigned flags);

#endif

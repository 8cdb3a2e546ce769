/* What the fuzz driver knows and its users look at. Shared between the processes that map the same file. */
#ifndef SPARK_TEST_FUZZ_DRIVER_H
#define SPARK_TEST_FUZZ_DRIVER_H

#include "shim/cuda_abi.h"

/* The true books, kept apart from the shim's. */
struct fuzz_truth {
  uint64_t limit_bytes;          /* 0 = none; above it the driver aborts the process */
  _Atomic uint64_t held_bytes;   /* of all processes, as the driver charges */
  _Atomic uint64_t unseen_bytes; /* of calls on their way: what a pitch or a pool of the driver's choice took more than anybody could know before */
  _Atomic uint64_t graph_bytes;  /* reserved for graphs: nobody can know before a launch by how much that grows */
  _Atomic uint64_t stuck_bytes;  /* what a pitch took more, where the shim's own free of it failed: nobody could count it any more */
  _Atomic uint64_t most_bytes;
  _Atomic long granted;
  int alone; /* one thread runs: no launch of a graph may grow while more is held than the limit */
};

/* `truth` is where this process keeps its books; before the first call. */
SPARK_EXPORT void fuzz_driver_begin (struct fuzz_truth *truth, unsigned seed, int failures_per_thousand);

/* This thread's call is over: nothing of it is unseen any more. */
SPARK_EXPORT void fuzz_driver_call_over (void);

/* The primary context; others are multiples of it. */
enum { FUZZ_PRIMARY = 1 << 12 };

/* As the real driver has them; not hooked. */
CUresult cuCtxCreate_v2 (CUcontext *context, unsigned flags, CUdevice device);
CUresult cuCtxSetCurrent (CUcontext context);
CUresult cuInit (unsigned flags);
SPARK_EXPORT CUresult cuGraphCreate (CUgraph *graph, unsigned flags);
SPARK_EXPORT CUresult cuGraphDestroy (CUgraph graph);
SPARK_EXPORT CUresult cuGraphInstantiateWithFlags (CUgraphExec *exec, CUgraph graph, unsigned long long flags);
SPARK_EXPORT CUresult cuGraphExecDestroy (CUgraphExec exec);
struct fuzz_ipc_handle {
  char bytes[64];
};
SPARK_EXPORT CUresult cuIpcOpenMemHandle_v2 (CUdeviceptr *pointer, struct fuzz_ipc_handle handle, unsigned flags);
SPARK_EXPORT CUresult cuIpcCloseMemHandle (CUdeviceptr pointer);

#endif

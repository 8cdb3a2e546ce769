/* What every driver function begins with: is the driver up, is a context current, is that handle one of ours. */
#ifndef SPARK_SIM_DRIVER_H
#define SPARK_SIM_DRIVER_H

#include "cuda_abi.h"
#include "cuda_api.h"

#include <stdbool.h>

/* One lock over all state but the pages' and the handles' own. */
void sim_lock (void);
void sim_unlock (void);

/* CUDA_ERROR_NOT_INITIALIZED before cuInit, and for ever in a forked child, as with the real driver. */
CUresult sim_enter (void);

/* Also CUDA_ERROR_INVALID_CONTEXT where this thread has none current. `context` may be NULL. */
CUresult sim_enter_context (CUcontext *context);

#define SIM_ENTER()                                                                                                    \
  do                                                                                                                   \
    {                                                                                                                  \
      CUresult sim_entered = sim_enter ();                                                                             \
      if (sim_entered != CUDA_SUCCESS)                                                                                 \
        return sim_entered;                                                                                            \
    }                                                                                                                  \
  while (0)

#define SIM_ENTER_CONTEXT(context)                                                                                     \
  do                                                                                                                   \
    {                                                                                                                  \
      CUresult sim_entered = sim_enter_context (context);                                                              \
      if (sim_entered != CUDA_SUCCESS)                                                                                 \
        return sim_entered;                                                                                            \
    }                                                                                                                  \
  while (0)

/* A further exported name of the same function: its old name, or its form for per-thread default streams (work is done
   when a call returns, so the default stream makes no difference). */
#define SIM_ALSO(alias_name, name)                                                                                     \
  extern __typeof__ (name) alias_name __attribute__ ((alias (#name), visibility ("default")))

enum sim_kind {
  SIM_CONTEXT = 1,
  SIM_STREAM,
  SIM_EVENT,
  SIM_GRAPH,
  SIM_GRAPH_NODE,
  SIM_GRAPH_EXEC,
  SIM_POOL,
  SIM_ALLOCATION,
  SIM_EXTERNAL,
  SIM_ARRAY,
  SIM_MIPMAPPED_ARRAY,
  SIM_MODULE,
  SIM_LIBRARY,
  SIM_FUNCTION,
  SIM_GREEN_CONTEXT,
  SIM_RESOURCES,
};

/* A zeroed object of `bytes` that sim_handle_is knows until it is freed; NULL without memory. */
void *sim_handle_new (enum sim_kind kind, size_t bytes);
bool sim_handle_is (enum sim_kind kind, const void *handle);
void sim_handle_free (void *handle);

/* The graph that `stream` is recording into, or NULL. */
CUgraph sim_stream_capture (CUstream stream);

/* Adds memory to a graph that records, as cuMemAllocAsync and cuMemFreeAsync do there. */
CUresult sim_graph_allocate (CUgraph graph, size_t bytes, CUdeviceptr *pointer);
CUresult sim_graph_free (CUgraph graph, CUdeviceptr pointer);

/* Frees all device memory that was allocated in `context`, as its end does. The lock is not held. */
void sim_memory_end_context (CUcontext context);

/* The same for modules, and for the memory of libraries. */
void sim_modules_end_context (CUcontext context);

#endif

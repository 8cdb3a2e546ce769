/* Memory that graphs allocate for themselves. */
#ifndef SPARK_SHIM_CUDA_GRAPH_H
#define SPARK_SHIM_CUDA_GRAPH_H

#include "cuda_abi.h"
#include "process.h"

/* From now on launches are followed: this process has a graph with a memory node. */
void spark_graph_allocates (struct spark_process *process);

/* `per_thread`: the default stream is this thread's own, as in names that end in _ptsz. */
bool spark_stream_is_capturing (CUstream stream, bool per_thread);

/* As with pools (cuda_pool.h). */
uint64_t spark_graphs_settle (struct spark_process *process);
uint64_t spark_graphs_trim (struct spark_process *process);

#endif

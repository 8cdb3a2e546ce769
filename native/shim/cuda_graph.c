/* Graphs with memory nodes. A node takes address space when it is added; the pages come when the graph is launched or uploaded, from
   the device's own store for graphs, and stay there until cuDeviceGraphMemTrim. The ledger holds what that store has reserved.

   With NVIDIA's kernel module that growth is seen and refused as it is asked for (rm_ioctl.c). Elsewhere it cannot be told beforehand: so
   a node that would not fit now is refused when it is added, a launch's growth is counted after it, and while more is there than the
   budget has room for no further launch is let through. */
#include "cuda_graph.h"

#include "cuda_room.h"

enum {
  GRAPH_RESERVED_MEM_CURRENT = 2, /* CUgraphMem_attribute */
  NODE_IS_MEM_ALLOC = 10          /* CUgraphNodeType */
};

void
spark_graph_allocates (struct spark_process *process)
{
  process->graphs_allocate = 1;
}

bool
spark_stream_is_capturing (CUstream stream, bool per_thread)
{
  __typeof__ (&cuStreamIsCapturing) is_capturing = SPARK_DRIVER (cuStreamIsCapturing);
  int status = 0;
  if (per_thread && stream == NULL)
    stream = (CUstream) 2; /* CU_STREAM_PER_THREAD */
  return is_capturing != NULL && is_capturing (stream, &status) == SPARK_CUDA_SUCCESS && status != 0;
}

/* Of all devices together: a unified-memory machine has one. */
static bool
reserved_bytes (uint64_t *bytes)
{
  __typeof__ (&cuDeviceGetGraphMemAttribute) get = SPARK_DRIVER (cuDeviceGetGraphMemAttribute);
  __typeof__ (&cuDeviceGetCount) get_count = SPARK_DRIVER (cuDeviceGetCount);
  int count = 1;
  if (get == NULL || (get_count != NULL && get_count (&count) != SPARK_CUDA_SUCCESS))
    return false;
  *bytes = 0;
  for (int device = 0; device < count; device++)
    {
      uint64_t one = 0;
      if (get (device, GRAPH_RESERVED_MEM_CURRENT, &one) != SPARK_CUDA_SUCCESS)
        return false;
      *bytes += one;
    }
  return true;
}

/* The ledger follows the store. False where it has reserved more than fits. */
static bool
follow (struct spark_process *process, uint64_t *given_back)
{
  if (!process->graphs_allocate || spark_kernel_tells (process))
    return true;
  bool fits = true;
  spark_lock_take (&process->pools_lock);
  uint64_t reserved = 0, *charged = &process->graph_charged_bytes;
  if (reserved_bytes (&reserved) && reserved < *charged)
    {
      *given_back = *charged - reserved;
      spark_budget_release (&process->budget, *given_back);
      *charged = reserved;
    }
  else if (reserved > *charged)
    {
      uint64_t more = reserved - *charged;
      fits = spark_budget_try (&process->budget, more);
      if (!fits)
        {
          /* It is there all the same: nobody else shall be granted what it takes. */
          uint64_t room = spark_budget_room (&process->budget).free_bytes;
          more = room < more ? room : more;
          if (!spark_budget_try (&process->budget, more))
            more = 0;
        }
      *charged += more;
    }
  spark_lock_give (&process->pools_lock);
  return fits;
}

uint64_t
spark_graphs_settle (struct spark_process *process)
{
  uint64_t given_back = 0;
  follow (process, &given_back);
  return given_back;
}

uint64_t
spark_graphs_trim (struct spark_process *process)
{
  __typeof__ (&cuDeviceGraphMemTrim) trim = SPARK_REAL (cuDeviceGraphMemTrim);
  __typeof__ (&cuDeviceGetCount) get_count = SPARK_DRIVER (cuDeviceGetCount);
  int count = 1;
  if (!process->graphs_allocate || trim == NULL || (get_count != NULL && get_count (&count) != SPARK_CUDA_SUCCESS))
    return 0;
  for (int device = 0; device < count; device++)
    trim (device);
  return spark_kernel_tells (process) ? 1 : spark_graphs_settle (process);
}

/* ---- nodes ---- */

/* True where `bytes` fit now, or will be refused when the graph runs. They are held by nobody until then. */
static bool
node_fits (struct spark_call *call, uint64_t bytes)
{
  call->bytes = bytes;
  spark_graph_allocates (call->process);
  if (spark_kernel_tells (call->process))
    return true;
  uint64_t charge = spark_budget_charge (bytes);
  if (!spark_take_room (call, charge))
    return false;
  spark_budget_release (&call->process->budget, charge);
  return true;
}

SPARK_CUDA_HOOK (cuGraphAddMemAllocNode,
                 (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count,
                  CUDA_MEM_ALLOC_NODE_PARAMS *parameters),
                 (node, graph, dependencies, count, parameters))
{
  if (parameters != NULL && !node_fits (call, parameters->bytesize))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  return real (node, graph, dependencies, count, parameters);
}

SPARK_CUDA_HOOK (cuGraphAddNode,
                 (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count,
                  CUgraphNodeParams *parameters),
                 (node, graph, dependencies, count, parameters))
{
  if (parameters != NULL && parameters->type == NODE_IS_MEM_ALLOC && !node_fits (call, parameters->alloc.bytesize))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  return real (node, graph, dependencies, count, parameters);
}

SPARK_CUDA_HOOK (cuGraphAddNode_v2,
                 (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, const void *edges, size_t count,
                  CUgraphNodeParams *parameters),
                 (node, graph, dependencies, edges, count, parameters))
{
  if (parameters != NULL && parameters->type == NODE_IS_MEM_ALLOC && !node_fits (call, parameters->alloc.bytesize))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  return real (node, graph, dependencies, edges, count, parameters);
}

/* ---- launches ---- */

/* The body of a function that may make the store grow. Where no graph has a memory node, or the kernel module tells what is taken, it is
   the driver's call alone, made again after a refusal if the graphs or pools had something idle to give back. */
#define RUN(...)                                                                                                       \
  do                                                                                                                   \
    {                                                                                                                  \
      struct spark_process *process = call->process;                                                                   \
      uint64_t given_back = 0;                                                                                         \
      CUresult result;                                                                                                 \
      if (!process->graphs_allocate || spark_kernel_tells (process))                                                   \
        {                                                                                                              \
          SPARK_GROW (process, result, real (__VA_ARGS__));                                                            \
          return result;                                                                                               \
        }                                                                                                              \
      if (!follow (process, &given_back) && (spark_graphs_trim (process), !follow (process, &given_back)))             \
        return spark_no_room (call);                                                                                   \
      result = real (__VA_ARGS__);                                                                                     \
      follow (process, &given_back);                                                                                   \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

SPARK_CUDA_HOOK (cuGraphLaunch, (CUgraphExec graph, CUstream stream), (graph, stream))
{
  RUN (graph, stream);
}

SPARK_CUDA_HOOK (cuGraphLaunch_ptsz, (CUgraphExec graph, CUstream stream), (graph, stream))
{
  RUN (graph, stream);
}

SPARK_CUDA_HOOK (cuGraphUpload, (CUgraphExec graph, CUstream stream), (graph, stream))
{
  RUN (graph, stream);
}

SPARK_CUDA_HOOK (cuGraphUpload_ptsz, (CUgraphExec graph, CUstream stream), (graph, stream))
{
  RUN (graph, stream);
}

SPARK_CUDA_HOOK (cuDeviceGraphMemTrim, (CUdevice device), (device))
{
  CUresult result = real (device);
  spark_graphs_settle (call->process);
  return result;
}

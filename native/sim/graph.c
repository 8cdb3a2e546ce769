/* Graphs: handles that can be made, instantiated, launched and ended. Nodes that would run on a processor or move memory
   are refused: there is nothing here to run them. */
#include "driver.h"

struct graph_node {
  CUgraph graph;
  struct graph_node *next;
};

struct graph {
  struct graph_node *nodes;
};

struct graph_exec {
  int unused;
};

CUresult
cuGraphCreate (CUgraph *graph, unsigned int flags)
{
  SIM_ENTER ();
  if (graph == NULL || flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  *graph = sim_handle_new (SIM_GRAPH, sizeof (struct graph));
  return *graph != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult
cuGraphDestroy (CUgraph graph)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_GRAPH, graph))
    return CUDA_ERROR_INVALID_VALUE;
  for (struct graph_node *node = ((struct graph *) graph)->nodes, *next; node != NULL; node = next)
    {
      next = node->next;
      sim_handle_free (node);
    }
  sim_handle_free (graph);
  return CUDA_SUCCESS;
}

CUresult
cuGraphAddEmptyNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count)
{
  SIM_ENTER ();
  if (node == NULL || !sim_handle_is (SIM_GRAPH, graph) || (dependencies == NULL && count > 0))
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; i++)
    if (!sim_handle_is (SIM_GRAPH_NODE, dependencies[i]))
      return CUDA_ERROR_INVALID_VALUE;
  struct graph_node *made = sim_handle_new (SIM_GRAPH_NODE, sizeof *made);
  if (made == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  sim_lock ();
  made->graph = graph;
  made->next = ((struct graph *) graph)->nodes;
  ((struct graph *) graph)->nodes = made;
  sim_unlock ();
  *node = made;
  return CUDA_SUCCESS;
}

CUresult
cuGraphAddChildGraphNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count, CUgraph child)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_GRAPH, child))
    return CUDA_ERROR_INVALID_VALUE;
  return cuGraphAddEmptyNode (node, graph, dependencies, count);
}

CUresult
cuGraphInstantiateWithFlags (CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
  (void) flags;
  SIM_ENTER_CONTEXT (NULL);
  if (exec == NULL || !sim_handle_is (SIM_GRAPH, graph))
    return CUDA_ERROR_INVALID_VALUE;
  *exec = sim_handle_new (SIM_GRAPH_EXEC, sizeof (struct graph_exec));
  return *exec != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* The forms before CUDA 11.4 told where it failed; nothing fails here. */
CUresult
cuGraphInstantiate (CUgraphExec *exec, CUgraph graph, CUgraphNode *error_node, char *log, size_t log_bytes)
{
  if (error_node != NULL)
    *error_node = NULL;
  if (log != NULL && log_bytes > 0)
    log[0] = '\0';
  return cuGraphInstantiateWithFlags (exec, graph, 0);
}
SIM_ALSO (cuGraphInstantiate_v2, cuGraphInstantiate);

CUresult
cuGraphInstantiateWithParams (CUgraphExec *exec, CUgraph graph, void *parameters)
{
  return parameters == NULL ? CUDA_ERROR_INVALID_VALUE : cuGraphInstantiateWithFlags (exec, graph, 0);
}
SIM_ALSO (cuGraphInstantiateWithParams_ptsz, cuGraphInstantiateWithParams);

CUresult
cuGraphExecDestroy (CUgraphExec exec)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_GRAPH_EXEC, exec))
    return CUDA_ERROR_INVALID_VALUE;
  sim_handle_free (exec);
  return CUDA_SUCCESS;
}

CUresult
cuGraphLaunch (CUgraphExec exec, CUstream stream)
{
  SIM_ENTER_CONTEXT (NULL);
  return sim_handle_is (SIM_GRAPH_EXEC, exec) ? cuStreamQuery (stream) : CUDA_ERROR_INVALID_VALUE;
}
SIM_ALSO (cuGraphLaunch_ptsz, cuGraphLaunch);

CUresult
cuGraphUpload (CUgraphExec exec, CUstream stream)
{
  return cuGraphLaunch (exec, stream);
}
SIM_ALSO (cuGraphUpload_ptsz, cuGraphUpload);

/* Graphs hold no memory of their own here. */
CUresult
cuDeviceGetGraphMemAttribute (CUdevice device, int attribute, void *value)
{
  SIM_ENTER ();
  if (value == NULL || attribute < 0 || attribute > 3)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  *(uint64_t *) value = 0;
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGraphMemTrim (CUdevice device)
{
  SIM_ENTER ();
  return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

/* Graphs: made, instantiated, launched and ended. Their nodes allocate and free memory; nodes that would run code or copy
   are refused: there is nothing here to run them. */
#include "graph.h"

#include <stdlib.h>

struct graph_exec {
  unsigned long long flags;
  size_t count;
  struct sim_graph_node *steps; /* with all child graphs in their place */
};

CUresult
cuGraphCreate (CUgraph *graph, unsigned int flags)
{
  SIM_ENTER ();
  if (graph == NULL || flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  *graph = sim_handle_new (SIM_GRAPH, sizeof (struct sim_graph));
  return *graph != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult
cuGraphDestroy (CUgraph graph)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_GRAPH, graph))
    return CUDA_ERROR_INVALID_VALUE;
  for (struct sim_graph_node *node = ((struct sim_graph *) graph)->first, *next; node != NULL; node = next)
    {
      next = node->next;
      if (node->memory != NULL)
        sim_graph_memory_release (node->memory);
      if (node->child != NULL)
        cuGraphDestroy (node->child);
      sim_handle_free (node);
    }
  sim_handle_free (graph);
  return CUDA_SUCCESS;
}

CUresult
sim_graph_add (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count,
               const struct sim_graph_node *content)
{
  SIM_ENTER ();
  if (node == NULL || !sim_handle_is (SIM_GRAPH, graph) || (dependencies == NULL && count > 0))
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; i++)
    if (!sim_handle_is (SIM_GRAPH_NODE, dependencies[i]))
      return CUDA_ERROR_INVALID_VALUE;
  struct sim_graph_node *made = sim_handle_new (SIM_GRAPH_NODE, sizeof *made);
  if (made == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *made = *content;
  struct sim_graph *this = graph;
  sim_lock ();
  if (this->last != NULL)
    this->last->next = made;
  else
    this->first = made;
  this->last = made;
  sim_unlock ();
  *node = made;
  return CUDA_SUCCESS;
}

CUresult
cuGraphAddEmptyNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count)
{
  return sim_graph_add (node, graph, dependencies, count, &(struct sim_graph_node){ .type = CU_GRAPH_NODE_TYPE_EMPTY });
}

/* A copy of `graph` for a node of its own, as the driver makes one; the memory is the same. */
static CUgraph
copy_of (const struct sim_graph *graph)
{
  CUgraph copy = NULL;
  CUgraphNode added;
  if (cuGraphCreate (&copy, 0) != CUDA_SUCCESS)
    return NULL;
  for (const struct sim_graph_node *node = graph->first; node != NULL; node = node->next)
    {
      struct sim_graph_node content = *node;
      content.next = NULL;
      content.child = node->child != NULL ? copy_of (node->child) : NULL;
      if ((node->child != NULL && content.child == NULL)
          || sim_graph_add (&added, copy, NULL, 0, &content) != CUDA_SUCCESS)
        {
          if (content.child != NULL)
            cuGraphDestroy (content.child);
          cuGraphDestroy (copy);
          return NULL;
        }
      if (content.memory != NULL)
        sim_graph_memory_retain (content.memory);
    }
  return copy;
}

CUresult
cuGraphAddChildGraphNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count, CUgraph child)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_GRAPH, child) || child == graph)
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_graph_node content = { .type = CU_GRAPH_NODE_TYPE_GRAPH, .child = copy_of (child) };
  if (content.child == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  CUresult result = sim_graph_add (node, graph, dependencies, count, &content);
  if (result != CUDA_SUCCESS)
    cuGraphDestroy (content.child);
  return result;
}

CUresult
cuGraphNodeGetType (CUgraphNode node, int *type)
{
  SIM_ENTER ();
  if (type == NULL || !sim_handle_is (SIM_GRAPH_NODE, node))
    return CUDA_ERROR_INVALID_VALUE;
  *type = ((struct sim_graph_node *) node)->type;
  return CUDA_SUCCESS;
}

CUresult
cuGraphGetNodes (CUgraph graph, CUgraphNode *nodes, size_t *count)
{
  SIM_ENTER ();
  if (count == NULL || !sim_handle_is (SIM_GRAPH, graph))
    return CUDA_ERROR_INVALID_VALUE;
  size_t room = nodes != NULL ? *count : 0, there = 0;
  sim_lock ();
  for (struct sim_graph_node *node = ((struct sim_graph *) graph)->first; node != NULL; node = node->next, there++)
    if (there < room)
      nodes[there] = node;
  sim_unlock ();
  *count = nodes != NULL && room < there ? room : there;
  return CUDA_SUCCESS;
}

/* Writes the graph's nodes to `steps` (NULL: only counts them), child graphs in their place. */
static size_t
flatten (const struct sim_graph *graph, struct sim_graph_node *steps)
{
  size_t count = 0;
  for (const struct sim_graph_node *node = graph->first; node != NULL; node = node->next)
    if (node->child != NULL)
      count += flatten (node->child, steps != NULL ? steps + count : NULL);
    else if (steps != NULL)
      steps[count++] = *node;
    else
      count++;
  return count;
}

CUresult
cuGraphInstantiateWithFlags (CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
  SIM_ENTER_CONTEXT (NULL);
  if (exec == NULL || !sim_handle_is (SIM_GRAPH, graph))
    return CUDA_ERROR_INVALID_VALUE;
  struct graph_exec *made = sim_handle_new (SIM_GRAPH_EXEC, sizeof *made);
  if (made == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  sim_lock ();
  size_t count = flatten (graph, NULL);
  made->steps = calloc (count > 0 ? count : 1, sizeof *made->steps);
  if (made->steps != NULL)
    made->count = flatten (graph, made->steps);
  sim_unlock ();
  if (made->steps == NULL)
    {
      sim_handle_free (made);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  made->flags = flags;
  for (size_t i = 0; i < made->count; i++)
    if (made->steps[i].memory != NULL)
      sim_graph_memory_retain (made->steps[i].memory);
  *exec = made;
  return CUDA_SUCCESS;
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
  /* The structure begins with the flags. */
  return parameters == NULL ? CUDA_ERROR_INVALID_VALUE
                            : cuGraphInstantiateWithFlags (exec, graph, *(unsigned long long *) parameters);
}
SIM_ALSO (cuGraphInstantiateWithParams_ptsz, cuGraphInstantiateWithParams);

CUresult
cuGraphExecDestroy (CUgraphExec handle)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_GRAPH_EXEC, handle))
    return CUDA_ERROR_INVALID_VALUE;
  struct graph_exec *exec = handle;
  for (size_t i = 0; i < exec->count; i++)
    if (exec->steps[i].memory != NULL)
      sim_graph_memory_release (exec->steps[i].memory);
  free (exec->steps);
  sim_handle_free (exec);
  return CUDA_SUCCESS;
}

CUresult
cuGraphLaunch (CUgraphExec handle, CUstream stream)
{
  enum { AUTO_FREE_ON_LAUNCH = 1 };
  SIM_ENTER_CONTEXT (NULL);
  if (!sim_handle_is (SIM_GRAPH_EXEC, handle))
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = cuStreamQuery (stream);
  const struct graph_exec *exec = handle;
  for (size_t i = 0; i < exec->count && result == CUDA_SUCCESS; i++)
    if (exec->steps[i].type == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
      result = sim_graph_memory_launch (exec->steps[i].memory, (exec->flags & AUTO_FREE_ON_LAUNCH) != 0);
    else if (exec->steps[i].type == CU_GRAPH_NODE_TYPE_MEM_FREE)
      result = sim_graph_memory_end (exec->steps[i].pointer);
  return result;
}
SIM_ALSO (cuGraphLaunch_ptsz, cuGraphLaunch);

CUresult
cuGraphUpload (CUgraphExec exec, CUstream stream)
{
  SIM_ENTER_CONTEXT (NULL);
  return sim_handle_is (SIM_GRAPH_EXEC, exec) ? cuStreamQuery (stream) : CUDA_ERROR_INVALID_VALUE;
}
SIM_ALSO (cuGraphUpload_ptsz, cuGraphUpload);

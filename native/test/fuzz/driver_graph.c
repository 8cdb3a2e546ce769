/* Graphs with memory in the fuzz driver. A graph that is instantiated has pages from its first launch until it is destroyed or the store
   is trimmed; the store keeps what is given back. A graph may leave its first allocation to the program, which frees it by its address. */
#include "driver_books.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE = 2 << 20, GRAPH_NODES = 4 };

static struct graph { int alive, nodes, leaves; uint64_t bytes, first_bytes; } graphs[DRIVER_GRAPHS];
static struct exec { int alive, graph, leaves, mapped, left; uint64_t bytes, first_bytes; } execs[DRIVER_GRAPHS];
static uint64_t used_bytes; /* of driver_truth->graph_bytes, which are reserved */

static uint64_t
address_of (int graph, int node)
{
  return FIRST_GRAPH_ADDRESS + ((uint64_t) graph * GRAPH_NODES + (uint64_t) node) * PAGE;
}

static int
number_of (const void *handle)
{
  uintptr_t number = (uintptr_t) handle;
  return number > 0 && number < DRIVER_GRAPHS ? (int) number : 0;
}

/* A flag of the fuzz driver alone: the first node's memory is left to the program. */
static int
create (CUgraph *graph, int leaves)
{
  int error = driver_fails ();
  for (int i = 1; i < DRIVER_GRAPHS && error == 0; i++)
    {
      int in_use = graphs[i].alive;
      for (int e = 1; e < DRIVER_GRAPHS; e++)
        in_use |= (execs[e].alive || execs[e].left) && execs[e].graph == i; /* its addresses are */
      if (!in_use)
        return graphs[i] = (struct graph){ .alive = 1, .leaves = leaves }, *graph = (CUgraph) (uintptr_t) i, 0;
    }
  return error != 0 ? error : OUT_OF_MEMORY;
}

static int
add_node (CUgraphNode *node, CUgraph handle, CUDA_MEM_ALLOC_NODE_PARAMS *parameters)
{
  int graph = number_of (handle);
  if (graph == 0 || !graphs[graph].alive || node == NULL || parameters == NULL || parameters->bytesize == 0)
    return INVALID;
  int error = parameters->bytesize > (uint64_t) 1 << 40 || graphs[graph].nodes == GRAPH_NODES ? OUT_OF_MEMORY : driver_fails ();
  if (error != 0)
    return error;
  uint64_t bytes = (parameters->bytesize + PAGE - 1) / PAGE * PAGE;
  if (graphs[graph].nodes == 0)
    graphs[graph].first_bytes = bytes;
  parameters->dptr = address_of (graph, graphs[graph].nodes++);
  graphs[graph].bytes += bytes;
  *node = (CUgraphNode) (uintptr_t) (graph * GRAPH_NODES + graphs[graph].nodes);
  return 0;
}

static int
instantiate (CUgraphExec *exec, CUgraph handle)
{
  int graph = number_of (handle), error = driver_fails ();
  if (graph == 0 || !graphs[graph].alive || error != 0)
    return error != 0 ? error : INVALID;
  for (int i = 1; i < DRIVER_GRAPHS; i++)
    if (execs[i].alive && execs[i].graph == graph)
      return INVALID; /* memory nodes allow one at a time */
  for (int i = 1; i < DRIVER_GRAPHS; i++)
    if (!execs[i].alive && !execs[i].left)
      {
        const struct graph *from = &graphs[graph];
        execs[i] = (struct exec){ .alive = 1, .graph = graph, .leaves = from->leaves && from->nodes > 0, .bytes = from->bytes, .first_bytes = from->first_bytes };
        return *exec = (CUgraphExec) (uintptr_t) i, 0;
      }
  return OUT_OF_MEMORY;
}

static int
is_left (int graph)
{
  for (int i = 1; i < DRIVER_GRAPHS; i++)
    if (execs[i].left && execs[i].graph == graph)
      return 1;
  return 0;
}

static int
run (CUgraphExec handle, int launched)
{
  struct exec *exec = &execs[number_of (handle)];
  if (!exec->alive || (exec->leaves && is_left (exec->graph)))
    return INVALID;
  int error = driver_fails ();
  if (error != 0)
    return error;
  if (!exec->mapped)
    {
      uint64_t idle = driver_truth->graph_bytes - used_bytes, growth = exec->bytes > idle ? exec->bytes - idle : 0;
      if (growth > 0 && driver_truth->alone && driver_truth->held_bytes > driver_truth->limit_bytes)
        {
          fprintf (stderr, "fuzz driver: a graph grows while more is held than the limit\n");
          abort ();
        }
      used_bytes += exec->bytes;
      driver_truth->graph_bytes += growth;
      driver_hold (growth, 0);
      exec->mapped = 1;
    }
  exec->left = launched && exec->leaves;
  return 0;
}

static int
destroy_exec (CUgraphExec handle)
{
  struct exec *exec = &execs[number_of (handle)];
  if (!exec->alive)
    return INVALID;
  exec->alive = 0;
  if (exec->mapped)
    used_bytes -= exec->bytes - (exec->left ? exec->first_bytes : 0);
  exec->mapped = 0;
  return 0;
}

int
driver_graph_freed (uint64_t pointer)
{
  for (int i = 1; i < DRIVER_GRAPHS; i++)
    if (execs[i].left && pointer == address_of (execs[i].graph, 0))
      {
        execs[i].left = 0;
        if (!execs[i].alive)
          used_bytes -= execs[i].first_bytes;
        return 1;
      }
  return 0;
}

/* Of a graph that has left memory to the program all stays. */
static int
trim (void)
{
  for (int i = 1; i < DRIVER_GRAPHS; i++)
    if (execs[i].mapped && !execs[i].left)
      {
        execs[i].mapped = 0;
        used_bytes -= execs[i].bytes;
      }
  driver_truth->held_bytes -= driver_truth->graph_bytes - used_bytes;
  driver_truth->graph_bytes = used_bytes;
  return 0;
}

static int
destroy (CUgraph handle)
{
  int graph = number_of (handle);
  return graph == 0 || !graphs[graph].alive ? INVALID : (graphs[graph].alive = 0);
}

enum { ALLOC_NODE = 10 };
CUresult cuDeviceGetCount (int *n) { return *n = 1, 0; }
CUresult cuGraphCreate (CUgraph *g, unsigned f) { LOCKED (g == NULL || f > 1 ? INVALID : create (g, f == 1)); }
CUresult cuGraphDestroy (CUgraph g) { LOCKED (destroy (g)); }
CUresult cuGraphAddMemAllocNode (CUgraphNode *n, CUgraph g, const CUgraphNode *d, size_t c, CUDA_MEM_ALLOC_NODE_PARAMS *p) { (void) d, (void) c; LOCKED (add_node (n, g, p)); }
CUresult cuGraphAddNode (CUgraphNode *n, CUgraph g, const CUgraphNode *d, size_t c, CUgraphNodeParams *p) { (void) d, (void) c; LOCKED (p == NULL || p->type != ALLOC_NODE ? INVALID : add_node (n, g, &p->alloc)); }
CUresult cuGraphAddNode_v2 (CUgraphNode *n, CUgraph g, const CUgraphNode *d, const void *e, size_t c, CUgraphNodeParams *p) { (void) e; return cuGraphAddNode (n, g, d, c, p); }
CUresult cuGraphInstantiateWithFlags (CUgraphExec *x, CUgraph g, unsigned long long f) { LOCKED (x == NULL || f != 0 ? INVALID : instantiate (x, g)); }
CUresult cuGraphExecDestroy (CUgraphExec x) { LOCKED (destroy_exec (x)); }
CUresult cuGraphLaunch (CUgraphExec x, CUstream s) { (void) s; LOCKED (run (x, 1)); }
CUresult cuGraphLaunch_ptsz (CUgraphExec x, CUstream s) { (void) s; LOCKED (run (x, 1)); }
CUresult cuGraphUpload (CUgraphExec x, CUstream s) { (void) s; LOCKED (run (x, 0)); }
CUresult cuGraphUpload_ptsz (CUgraphExec x, CUstream s) { (void) s; LOCKED (run (x, 0)); }
CUresult cuDeviceGraphMemTrim (CUdevice d) { LOCKED (d != 0 ? 101 : trim ()); }
CUresult cuDeviceGetGraphMemAttribute (CUdevice d, int a, void *v) { LOCKED (d != 0 || a != 2 ? INVALID : (*(uint64_t *) v = driver_truth->graph_bytes, 0)); }

/* Memory that graphs allocate. Its address is fixed when the node is added, its pages are taken when the graph is first
   launched, and they stay reserved for later launches until cuDeviceGraphMemTrim, in use or not. */
#include "graph.h"
#include "machine.h"
#include "memory.h"
#include "pages.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct sim_graph_memory {
  struct sim_graph_memory *next; /* of all, under sim_lock as everything below */
  unsigned references;           /* of nodes and executable graphs, and one while it is in use */
  uintptr_t base;
  uint64_t bytes;
  uint64_t mapped_bytes;
  struct sim_pages pages; /* 0 bytes: not reserved */
  bool in_use;
};

static struct sim_graph_memory *all_memory;
static uint64_t figures[4]; /* by CU_GRAPH_MEM_ATTR_* */

static void
count (int attribute, int64_t change_bytes)
{
  figures[attribute] += (uint64_t) change_bytes;
  if (figures[attribute] > figures[attribute + 1])
    figures[attribute + 1] = figures[attribute];
}

/* Address space without pages. */
static bool
leave_address (void *address, uint64_t bytes)
{
  return mmap (address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* Gives the pages back to the machine. Under sim_lock. */
static void
let_go (struct sim_graph_memory *memory)
{
  if (memory->pages.bytes == 0)
    return;
  count (CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, -(int64_t) memory->pages.bytes);
  sim_pages_give (&memory->pages);
  memory->pages = (struct sim_pages){ 0 };
}

static struct sim_graph_memory *
memory_new (uint64_t bytes)
{
  const uint64_t page_bytes = sim_machine ()->page_bytes;
  struct sim_graph_memory *memory = calloc (1, sizeof *memory);
  if (memory == NULL || bytes > UINT64_MAX / 2)
    {
      free (memory);
      return NULL;
    }
  memory->bytes = bytes;
  memory->mapped_bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  /* Huge pages are mapped on their boundaries. */
  char *loose = mmap (NULL, memory->mapped_bytes + page_bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (loose == MAP_FAILED)
    {
      free (memory);
      return NULL;
    }
  char *at = (char *) (((uintptr_t) loose + page_bytes - 1) / page_bytes * page_bytes);
  if (at > loose)
    munmap (loose, (size_t) (at - loose));
  if (at < loose + page_bytes)
    munmap (at + memory->mapped_bytes, (size_t) (loose + page_bytes - at));
  memory->base = (uintptr_t) at;
  memory->references = 1;
  sim_lock ();
  memory->next = all_memory;
  all_memory = memory;
  sim_unlock ();
  return memory;
}

/* Forgets memory that nobody refers to and that has no pages. Under sim_lock. */
static void
drop_if_empty (struct sim_graph_memory *memory)
{
  if (memory->references > 0 || memory->pages.bytes > 0)
    return;
  struct sim_graph_memory **at = &all_memory;
  while (*at != memory)
    at = &(*at)->next;
  *at = memory->next;
  free (memory);
}

/* Gives `memory` the pages that an ended graph left behind, if there are enough and no more. Under sim_lock. */
static bool
inherit (struct sim_graph_memory *memory)
{
  for (struct sim_graph_memory *other = all_memory; other != NULL; other = other->next)
    if (other->references == 0 && other->pages.bytes == memory->mapped_bytes)
      {
        memory->pages = other->pages;
        other->pages = (struct sim_pages){ 0 };
        drop_if_empty (other);
        return true;
      }
  return false;
}

void
sim_graph_memory_retain (struct sim_graph_memory *memory)
{
  sim_lock ();
  memory->references++;
  sim_unlock ();
}

void
sim_graph_memory_release (struct sim_graph_memory *memory)
{
  sim_lock ();
  if (--memory->references == 0)
    {
      munmap ((void *) memory->base, memory->mapped_bytes);
      memory->base = 0;
      drop_if_empty (memory); /* pages stay reserved, for other graphs or until they are trimmed */
    }
  sim_unlock ();
}

/* Takes the pages if the memory has none, and maps them. Under sim_lock. */
static CUresult
begin (struct sim_graph_memory *memory)
{
  if (memory->pages.bytes == 0 && !inherit (memory))
    {
      struct sim_pages pages;
      if (sim_pages_take (memory->bytes, &pages) != 0)
        return sim_memory_error (errno);
      memory->pages = pages;
      count (CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, (int64_t) pages.bytes);
    }
  if (sim_pages_map (&memory->pages, memory->mapped_bytes, (void *) memory->base, PROT_READ | PROT_WRITE) == NULL)
    return sim_memory_error (errno);
  struct sim_range range = { .base = memory->base, .bytes = memory->bytes, .kind = SIM_GRAPH_MEMORY, .owner = memory };
  if (!sim_ranges_add (&sim_memory, &range))
    {
      leave_address ((void *) memory->base, memory->mapped_bytes);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  memory->in_use = true;
  memory->references++;
  count (CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, (int64_t) memory->bytes);
  return CUDA_SUCCESS;
}

CUresult
sim_graph_memory_launch (struct sim_graph_memory *memory, bool free_first)
{
  sim_lock ();
  bool in_use = memory->in_use;
  CUresult result = CUDA_ERROR_INVALID_VALUE; /* a graph whose memory is still in use is not launched again */
  if (!in_use)
    result = begin (memory);
  sim_unlock ();
  return in_use && free_first ? CUDA_SUCCESS : result; /* the same pages at the same address, in use again */
}

void
sim_graph_freed (const struct sim_range *range)
{
  struct sim_graph_memory *memory = range->owner;
  sim_lock ();
  leave_address ((void *) memory->base, memory->mapped_bytes);
  memory->in_use = false;
  count (CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, -(int64_t) memory->bytes);
  sim_unlock ();
  sim_graph_memory_release (memory);
}

CUresult
sim_graph_memory_end (CUdeviceptr pointer)
{
  struct sim_range range;
  if (!sim_memory_remove (pointer, SIM_KIND (SIM_GRAPH_MEMORY), &range))
    return CUDA_ERROR_INVALID_VALUE;
  sim_graph_freed (&range);
  return CUDA_SUCCESS;
}

CUresult
cuGraphAddMemAllocNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count_of_them,
                        CUDA_MEM_ALLOC_NODE_PARAMS *parameters)
{
  SIM_ENTER_CONTEXT (NULL);
  if (parameters == NULL || parameters->bytesize == 0 || parameters->poolProps.allocType != CU_MEM_ALLOCATION_TYPE_PINNED
      || parameters->poolProps.location.type != CU_MEM_LOCATION_TYPE_DEVICE || parameters->poolProps.location.id != 0)
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_graph_memory *memory = memory_new (parameters->bytesize);
  if (memory == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  CUresult result
      = sim_graph_add (node, graph, dependencies, count_of_them,
                       &(struct sim_graph_node){
                           .type = CU_GRAPH_NODE_TYPE_MEM_ALLOC, .memory = memory, .pointer = memory->base });
  if (result == CUDA_SUCCESS)
    parameters->dptr = memory->base;
  else
    sim_graph_memory_release (memory);
  return result;
}

CUresult
cuGraphAddMemFreeNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count_of_them,
                       CUdeviceptr pointer)
{
  SIM_ENTER_CONTEXT (NULL);
  sim_lock ();
  const struct sim_graph_memory *memory = all_memory;
  while (memory != NULL && memory->base != pointer)
    memory = memory->next;
  sim_unlock ();
  if (memory == NULL || pointer == 0)
    return CUDA_ERROR_INVALID_VALUE; /* only what graphs allocated */
  return sim_graph_add (node, graph, dependencies, count_of_them,
                        &(struct sim_graph_node){ .type = CU_GRAPH_NODE_TYPE_MEM_FREE, .pointer = pointer });
}

/* What `handle` allocates or frees, if it is a node of that type; else NULL. */
static const struct sim_graph_node *
node_of (CUgraphNode handle, int type)
{
  const struct sim_graph_node *node = handle;
  return sim_handle_is (SIM_GRAPH_NODE, handle) && node->type == type ? node : NULL;
}

CUresult
cuGraphMemAllocNodeGetParams (CUgraphNode handle, CUDA_MEM_ALLOC_NODE_PARAMS *parameters)
{
  SIM_ENTER ();
  const struct sim_graph_node *node = node_of (handle, CU_GRAPH_NODE_TYPE_MEM_ALLOC);
  if (parameters == NULL || node == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *parameters = (CUDA_MEM_ALLOC_NODE_PARAMS){
    .poolProps = { .allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } },
    .bytesize = node->memory->bytes,
    .dptr = node->pointer,
  };
  return CUDA_SUCCESS;
}

CUresult
cuGraphMemFreeNodeGetParams (CUgraphNode handle, CUdeviceptr *pointer)
{
  SIM_ENTER ();
  const struct sim_graph_node *node = node_of (handle, CU_GRAPH_NODE_TYPE_MEM_FREE);
  if (pointer == NULL || node == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *pointer = node->pointer;
  return CUDA_SUCCESS;
}

CUresult
sim_graph_allocate (CUgraph graph, size_t bytes, CUdeviceptr *pointer)
{
  CUgraphNode node;
  CUDA_MEM_ALLOC_NODE_PARAMS parameters = {
    .poolProps = { .allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } },
    .bytesize = bytes,
  };
  CUresult result = cuGraphAddMemAllocNode (&node, graph, NULL, 0, &parameters);
  if (result == CUDA_SUCCESS)
    *pointer = parameters.dptr;
  return result;
}

CUresult
sim_graph_free (CUgraph graph, CUdeviceptr pointer)
{
  CUgraphNode node;
  return cuGraphAddMemFreeNode (&node, graph, NULL, 0, pointer);
}

CUresult
cuGraphAddNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count_of_them,
                CUgraphNodeParams *parameters)
{
  SIM_ENTER ();
  if (parameters == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  switch (parameters->type)
    {
    case CU_GRAPH_NODE_TYPE_GRAPH:
      return cuGraphAddChildGraphNode (node, graph, dependencies, count_of_them, parameters->graph);
    case CU_GRAPH_NODE_TYPE_EMPTY:
      return cuGraphAddEmptyNode (node, graph, dependencies, count_of_them);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      return cuGraphAddMemAllocNode (node, graph, dependencies, count_of_them, &parameters->alloc);
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      return cuGraphAddMemFreeNode (node, graph, dependencies, count_of_them, parameters->free);
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
    }
}

/* The form with data of the edges; there is nothing here that edges would order. */
CUresult
cuGraphAddNode_v2 (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, const void *edges,
                   size_t count_of_them, CUgraphNodeParams *parameters)
{
  (void) edges;
  return cuGraphAddNode (node, graph, dependencies, count_of_them, parameters);
}

CUresult
cuDeviceGetGraphMemAttribute (CUdevice device, int attribute, void *value)
{
  SIM_ENTER ();
  if (value == NULL || attribute < 0 || attribute > CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  sim_lock ();
  *(uint64_t *) value = figures[attribute];
  sim_unlock ();
  return CUDA_SUCCESS;
}

/* Only the two high-water marks can be set, and only started again. */
CUresult
cuDeviceSetGraphMemAttribute (CUdevice device, int attribute, void *value)
{
  SIM_ENTER ();
  bool mark = attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH || attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH;
  if (value == NULL || !mark || *(uint64_t *) value != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  sim_lock ();
  figures[attribute] = figures[attribute - 1];
  sim_unlock ();
  return CUDA_SUCCESS;
}

CUresult
cuDeviceGraphMemTrim (CUdevice device)
{
  SIM_ENTER ();
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  sim_lock ();
  for (struct sim_graph_memory *memory = all_memory, *next; memory != NULL; memory = next)
    {
      next = memory->next;
      if (!memory->in_use)
        let_go (memory);
      drop_if_empty (memory);
    }
  sim_unlock ();
  return CUDA_SUCCESS;
}

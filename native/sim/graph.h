/* A graph and what it does when it is launched. */
#ifndef SPARK_SIM_GRAPH_H
#define SPARK_SIM_GRAPH_H

#include "driver.h"

struct sim_graph_memory; /* memory that a graph allocates: graph_memory.c */

struct sim_graph_node {
  struct sim_graph_node *next;
  int type;
  struct sim_graph_memory *memory; /* of a node that allocates or frees */
  CUdeviceptr pointer;
  CUgraph child;
};

struct sim_graph {
  struct sim_graph_node *first; /* in the order they were added, which is one that keeps all dependencies */
  struct sim_graph_node *last;
};

/* Adds a node of `type`; CUDA_ERROR_INVALID_VALUE for wrong dependencies. */
CUresult sim_graph_add (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count,
                        const struct sim_graph_node *content);

/* A reference to memory of a graph, kept by its nodes and by every executable graph made of them. */
void sim_graph_memory_retain (struct sim_graph_memory *memory);
void sim_graph_memory_release (struct sim_graph_memory *memory);

/* What the two kinds of nodes do when their graph is launched. */
CUresult sim_graph_memory_launch (struct sim_graph_memory *memory, bool free_first);
CUresult sim_graph_memory_end (CUdeviceptr pointer);

#endif

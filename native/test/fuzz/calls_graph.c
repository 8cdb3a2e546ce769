/* Graphs that allocate for themselves. */
#include "fuzz.h"

static void
add (struct actor *actor, unsigned at)
{
  CUgraph graph = actor->graphs[at];
  CUgraphNode node = NULL;
  CUgraphNodeParams parameters = { .type = pick (actor, 20) ? 10 : 7 };
  uint64_t bytes = pick (actor, 4) ? (uint64_t) (1 + pick (actor, 12)) * 2 * MIB : fuzz_size (actor);
  uint64_t refused = actor->alone ? fuzz_look ().refused_count : 0;
  parameters.alloc.bytesize = bytes;
  unsigned how = pick (actor, 3);
  CUresult result = how == 0   ? cuGraphAddMemAllocNode (&node, graph, NULL, 0, pick (actor, 20) ? &parameters.alloc : NULL)
                    : how == 1 ? cuGraphAddNode (&node, graph, NULL, 0, &parameters)
                               : cuGraphAddNode_v2 (&node, graph, NULL, NULL, 0, &parameters);
  if (actor->alone && fuzz_look ().refused_count != refused)
    MUST (result == 2 && fuzz_is_over (fuzz_charge_of (bytes)));
  MUST ((result == 0) == (node != NULL));
  if (result == 0 && actor->first_nodes[at] == UNTOUCHED)
    actor->first_nodes[at] = parameters.alloc.dptr;
}

static void
run (struct actor *actor, unsigned at)
{
  unsigned how = pick (actor, 4);
  uint64_t refused = actor->alone ? fuzz_look ().refused_count : 0, before = fuzz_truth->graph_bytes;
  CUgraphExec exec = actor->execs[at];
  CUresult result = how == 0   ? cuGraphLaunch (exec, NULL)
                    : how == 1 ? cuGraphLaunch_ptsz (exec, NULL)
                    : how == 2 ? cuGraphUpload (exec, NULL)
                               : cuGraphUpload_ptsz (exec, NULL);
  /* Where more is there than fits, none runs. */
  if (actor->alone && fuzz_look ().refused_count != refused)
    MUST (result == 2 && fuzz_truth->graph_bytes <= before && fuzz_is_over (0));
  /* What it grew by is counted at once, if that fits. */
  if (actor->alone && result == 0)
    MUST (fuzz_truth->held_bytes - fuzz_look ().used_bytes <= fuzz_truth->stuck_bytes || fuzz_is_over (0));
  if (result == 0 && how < 2)
    actor->left[at] = actor->leaves[at];
}

void
fuzz_graphs (struct actor *actor)
{
  unsigned at = pick (actor, GRAPHS);
  switch (pick (actor, 9))
    {
    case 0:
      if (actor->graphs[at] == NULL && actor->execs[at] == NULL && actor->left[at] == 0)
        {
          unsigned leaves = pick (actor, 3) == 0;
          actor->first_nodes[at] = leaves ? UNTOUCHED : 0;
          if (cuGraphCreate (&actor->graphs[at], leaves) != 0)
            actor->graphs[at] = NULL;
        }
      break;
    case 1:
      if (actor->graphs[at] != NULL)
        add (actor, at);
      break;
    case 2:
      if (actor->graphs[at] != NULL && actor->execs[at] == NULL
          && cuGraphInstantiateWithFlags (&actor->execs[at], actor->graphs[at], 0) == 0)
        actor->leaves[at] = actor->first_nodes[at] == UNTOUCHED ? 0 : actor->first_nodes[at];
      break;
    case 3:
    case 4:
      run (actor, at);
      break;
    case 5:
      if (actor->execs[at] != NULL)
        {
          MUST (cuGraphExecDestroy (actor->execs[at]) == 0);
          actor->execs[at] = NULL;
        }
      break;
    case 6:
      if (actor->graphs[at] != NULL && pick (actor, 3) == 0)
        {
          MUST (cuGraphDestroy (actor->graphs[at]) == 0);
          actor->graphs[at] = NULL;
        }
      break;
    case 7:
      if (actor->left[at] != 0)
        {
          MUST ((pick (actor, 2) ? cuMemFreeAsync (actor->left[at], NULL) : cuMemFree_v2 (actor->left[at])) == 0);
          actor->left[at] = 0;
        }
      break;
    default:
      MUST (cuDeviceGraphMemTrim (9) != 0 && cuDeviceGraphMemTrim (0) == 0);
    }
}

void
fuzz_clear_graphs (struct actor *actor)
{
  for (unsigned i = 0; i < GRAPHS; i++)
    {
      if (actor->execs[i] != NULL)
        MUST (cuGraphExecDestroy (actor->execs[i]) == 0);
      if (actor->graphs[i] != NULL)
        MUST (cuGraphDestroy (actor->graphs[i]) == 0);
      MUST (cuMemFree_v2 (actor->left[i]) == 0);
    }
  MUST (cuDeviceGraphMemTrim (0) == 0);
}

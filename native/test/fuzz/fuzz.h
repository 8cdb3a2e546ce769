/* What the fuzz program's two files share: one thread's view of what it holds, and a way to say what must be true. */
#ifndef SPARK_TEST_FUZZ_FUZZ_H
#define SPARK_TEST_FUZZ_FUZZ_H

#include "common/ledger.h"
#include "driver.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB ((uint64_t) 1 << 20)
#define BUDGET (256 * MIB)

enum { POINTERS = 48, HANDLES = 16, PLACES = 64, CONTEXTS = 3, GRAPHS = 3, REGISTERED = 6, UNTOUCHED = 0x7e57 };

extern struct fuzz_truth *fuzz_truth;
extern unsigned fuzz_round_seed;

#define MUST(condition)                                                                                                \
  do                                                                                                                   \
    if (!(condition))                                                                                                  \
      {                                                                                                                \
        fprintf (stderr, "fuzz: seed %u: %s:%d: not true: %s\n", fuzz_round_seed, __FILE__, __LINE__, #condition);           \
        abort ();                                                                                                      \
      }                                                                                                                \
  while (0)

struct actor {
  unsigned seed;
  int index;
  int alone; /* nobody else runs: all can be checked after each call */
  uint64_t pointers[POINTERS];
  uintptr_t owners[POINTERS]; /* the context that the pointer ends with, 0 = none */
  uintptr_t current;
  uint64_t handles[HANDLES];
  int references[HANDLES];
  uint64_t mapped[PLACES]; /* by place: bytes of the mapping that begins there */
  CUcontext contexts[CONTEXTS];
  int primaries;
  CUgraph graphs[GRAPHS];
  CUgraphExec execs[GRAPHS];
  uint64_t first_nodes[GRAPHS];   /* where the memory of the graph's first node is, if it leaves that to us */
  uint64_t leaves[GRAPHS];        /* the same of what was instantiated */
  uint64_t left[GRAPHS];          /* and was launched: ours to free, 0 = nothing */
  uint64_t lent[GRAPHS];          /* another process's */
  uintptr_t registered[REGISTERED]; /* the context that the registration ends with, 0 = none */
};

/* The ledger as others see it. */
struct spark_ledger_view fuzz_look (void);

/* A number below `below`, of the actor's own row. */
static inline unsigned
pick (struct actor *actor, unsigned below)
{
  return (unsigned) rand_r (&actor->seed) % below;
}

/* A size, often one at an edge; more than all of the budget, too. */
uint64_t fuzz_size (struct actor *actor);

/* What a piece of that size takes of the device. */
uint64_t fuzz_charge_of (uint64_t bytes);

/* Would `bytes` more be too much? */
bool fuzz_is_over (uint64_t bytes);

/* The ledger is what the driver's books are; graphs alone may have grown by what could not be counted, and then no more of
   them is launched; and where the driver failed to take back what a pitch made too much, the least that it can be is counted. */
void fuzz_agree (void);

/* calls_graph.c */
void fuzz_graphs (struct actor *actor);
void fuzz_clear_graphs (struct actor *actor);

/* calls_lent.c */
void fuzz_lent (struct actor *actor);
void fuzz_registered (struct actor *actor);
void fuzz_clear_lent (struct actor *actor);

/* calls_other.c */
void fuzz_limits (struct actor *actor);
void fuzz_contexts (struct actor *actor);
void fuzz_names (struct actor *actor);
void fuzz_reports (struct actor *actor);
/* A context has ended: its pointers name nothing any more, or what another thread was given since. */
void fuzz_forget_owned (struct actor *actor, uintptr_t context);

/* One random call, checked. */
void fuzz_step (struct actor *actor);

/* Everything that the actor holds goes back, however often the driver fails meanwhile. */
void fuzz_clear (struct actor *actor);

#endif

/* A context: the primary one, one that was created, or the context of a green one. */
#ifndef SPARK_SIM_CONTEXT_H
#define SPARK_SIM_CONTEXT_H

#include "cuda_abi.h"
#include "pages.h"

#include <stdbool.h>

enum { SIM_CONTEXT_LIMITS = 7 };

struct context {
  bool green; /* of a green context, whose memory is the primary one's */
  unsigned flags;
  unsigned long long id;
  size_t limits[SIM_CONTEXT_LIMITS];
  struct sim_pages pages; /* what it takes itself, SPARK_SIM_CONTEXT */
};

/* The context of a green one, which takes nothing itself; it ends by sim_handle_free. */
CUresult sim_context_new_green (CUcontext *made);

/* Whose the memory is that is taken while `context` is current: its own, or the primary context's; NULL where that has ended. */
CUcontext sim_context_of_memory (CUcontext context);

#endif

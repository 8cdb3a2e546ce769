/* One line for each hooked call into the file that SPARK_RUN_TRACE names: docs/formats.md, "Trace of the shim". Off, it costs one
   load. The file is opened anew for every line, so that a program that closes all its descriptors, forks or execs is still heard. */
#ifndef SPARK_SHIM_TRACE_H
#define SPARK_SHIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

/* Who gave the answer: the driver (or the system), or the shim in its place. */
enum spark_trace_by { SPARK_BY_DRIVER, SPARK_BY_SHIM };

struct spark_trace_line {
  const char *layer; /* "cuda", "nvml", "host" or "loader" */
  const char *call;  /* the function's exported name */
  const char *detail; /* a path or a name that was asked for; NULL = none */
  uint64_t bytes;    /* what was asked for; 0 = nothing of a size */
  bool has_room;     /* free_bytes was told to the caller */
  uint64_t free_bytes;
  uint64_t total_bytes; /* as told to the caller; 0 = was not */
  uint64_t budget_bytes; /* 0 = no budget is concerned */
  uint64_t left_bytes;   /* of it, after the call */
  bool has_result;
  int64_t result; /* the function's own return code */
  enum spark_trace_by by;
};

/* True where somebody reads a trace. */
enum spark_trace_state { SPARK_TRACE_UNKNOWN, SPARK_TRACE_OFF, SPARK_TRACE_ON };
extern _Atomic uint32_t spark_trace_state __attribute__ ((visibility ("hidden")));
bool spark_trace_decide (void);

static inline bool
spark_tracing (void)
{
  return spark_trace_state != SPARK_TRACE_OFF && spark_trace_decide ();
}

/* Appends the line; errno stays as it is, and nothing is said where the file cannot be written. */
void spark_trace_write (const struct spark_trace_line *line);

/* SPARK_TRACE (.layer = "cuda", .call = "cuMemAlloc_v2", …) */
#define SPARK_TRACE(...)                                                                                               \
  do                                                                                                                   \
    if (spark_tracing ())                                                                                              \
      spark_trace_write (&(struct spark_trace_line){ __VA_ARGS__ });                                                   \
  while (0)

#endif

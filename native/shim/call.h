/* The shape of a hooked function: SPARK_CUDA_HOOK (name, (its parameters), (their names)) { body }. What every hook needs is done
   around the body, so that none can forget it: the driver's own function is found, a process without a ledger is passed through,
   and the call is traced. Off, the trace costs one load. */
#ifndef SPARK_SHIM_CALL_H
#define SPARK_SHIM_CALL_H

#include "hooks.h"
#include "process.h"
#include "trace.h"
#include <stdatomic.h>

/* One call on its way. The body says in it what the trace shall tell. */
struct spark_call {
  struct spark_process *process; /* never NULL in a body */
  uint64_t bytes;                /* asked for */
  enum spark_trace_by by;        /* SPARK_BY_SHIM where the answer is ours */
  bool has_room;                 /* room.free_bytes was told to the caller */
  struct spark_room room;        /* total_bytes 0: was not told */
  const char *detail;
};

/* Writes the call's line; for those below. */
void spark_call_write (const struct spark_call *call, const char *layer, const char *name, int result);

/* How many hooked calls of the driver are under way on this thread: what they take they count themselves (rm_ioctl.c). */
extern __thread uint32_t spark_calls_under_way __attribute__ ((visibility ("hidden"), tls_model ("initial-exec")));

/* In a body: the driver's call, whose memory is counted as the kernel module gives it and not by the body. */
#define SPARK_COUNTED_BELOW(statement)                                                                                  \
  do                                                                                                                   \
    {                                                                                                                  \
      spark_calls_under_way--;                                                                                         \
      statement;                                                                                                       \
      spark_calls_under_way++;                                                                                         \
    }                                                                                                                  \
  while (0)

/* True where the kernel module's answers were seen (rm_ioctl.c): always with its driver, once there is a context. What grows inside the
   driver (pools, graphs' memory, stacks and heaps) is then counted to the page as it is taken, and refused before. */
static inline bool
spark_kernel_tells (const struct spark_process *process)
{
  return atomic_load_explicit (&process->kernel_tells, memory_order_relaxed) != 0;
}

#define SPARK_PLAIN(...) __VA_ARGS__

/* `missing`: what to answer without a driver's function. A body sees its parameters, `call` and `real`. */
#define SPARK_HOOK_OF(layer, missing, symbol, parameters, arguments)                                                    \
  static inline int body_of_##symbol (struct spark_call *call, __typeof__ (&symbol) real, SPARK_PLAIN parameters);     \
  int symbol parameters                                                                                                \
  {                                                                                                                    \
    __typeof__ (&symbol) real = SPARK_REAL (symbol);                                                                   \
    struct spark_call call = { .process = spark_process () };                                                          \
    spark_calls_under_way++;                                                                                           \
    int result = real == NULL           ? (missing)                                                                    \
                 : call.process != NULL ? body_of_##symbol (&call, real, SPARK_PLAIN arguments)                        \
                                        : real arguments;                                                              \
    spark_calls_under_way--;                                                                                           \
    if (spark_tracing ())                                                                                              \
      spark_call_write (&call, (layer), #symbol, result);                                                              \
    return result;                                                                                                     \
  }                                                                                                                    \
  static inline int body_of_##symbol (struct spark_call *call __attribute__ ((unused)),                                 \
                                      __typeof__ (&symbol) real __attribute__ ((unused)), SPARK_PLAIN parameters)

#define SPARK_CUDA_HOOK(symbol, parameters, arguments)                                                                  \
  SPARK_HOOK_OF ("cuda", SPARK_CUDA_ERROR_NOT_FOUND, symbol, parameters, arguments)
#define SPARK_LOADER_HOOK(symbol, parameters, arguments)                                                                \
  SPARK_HOOK_OF ("loader", SPARK_CUDA_ERROR_NOT_FOUND, symbol, parameters, arguments)
#define SPARK_NVML_HOOK(symbol, parameters, arguments)                                                                  \
  SPARK_HOOK_OF ("nvml", SPARK_NVML_ERROR_FUNCTION_NOT_FOUND, symbol, parameters, arguments)

/* The answer of a call that does not fit; the trace learns that it was ours. */
static inline int
spark_refused (struct spark_call *call)
{
  call->by = SPARK_BY_SHIM;
  return 2; /* CUDA_ERROR_OUT_OF_MEMORY */
}

/* What a report tells its caller. */
static inline struct spark_room
spark_reported (struct spark_call *call, struct spark_room room)
{
  call->by = SPARK_BY_SHIM;
  call->has_room = true;
  call->room = room;
  return room;
}

static inline void
spark_reported_total (struct spark_call *call, uint64_t total_bytes)
{
  call->by = SPARK_BY_SHIM;
  call->room.total_bytes = total_bytes;
}

#endif

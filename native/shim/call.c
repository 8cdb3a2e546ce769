#include "call.h"

__thread uint32_t spark_calls_under_way __attribute__ ((tls_model ("initial-exec")));

void
spark_call_write (const struct spark_call *call, const char *layer, const char *name, int result)
{
  /* Asked only of calls that take: the kernel is read for it. */
  struct spark_room left = { 0 };
  if (call->process != NULL && call->bytes != 0)
    left = spark_budget_room (&call->process->budget);
  spark_trace_write (&(struct spark_trace_line){ .layer = layer,
                                                 .call = name,
                                                 .detail = call->detail,
                                                 .bytes = call->bytes,
                                                 .has_room = call->has_room,
                                                 .free_bytes = call->room.free_bytes,
                                                 .total_bytes = call->room.total_bytes,
                                                 .budget_bytes = left.total_bytes,
                                                 .left_bytes = left.free_bytes,
                                                 .has_result = true,
                                                 .result = result,
                                                 .by = call->by });
}

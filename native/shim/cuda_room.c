#include "cuda_room.h"

#include "cuda_graph.h"
#include "cuda_pool.h"

CUresult
spark_no_room (struct spark_call *call)
{
  spark_budget_refuse (&call->process->budget);
  return spark_refused (call);
}

/* A stream that this thread captures must not be spoilt by calls that the program did not make: for them the thread's capture mode is
   relaxed, as PyTorch's allocator does. */
enum { CAPTURE_RELAXED = 2 };

static int
exchange_capture_mode (int mode)
{
  __typeof__ (&cuThreadExchangeStreamCaptureMode) exchange = SPARK_DRIVER (cuThreadExchangeStreamCaptureMode);
  if (exchange != NULL)
    exchange (&mode);
  return mode;
}

uint64_t
spark_trim_idle (struct spark_process *process)
{
  int mode = exchange_capture_mode (CAPTURE_RELAXED);
  uint64_t given_back = spark_pools_trim (process) + spark_graphs_trim (process);
  exchange_capture_mode (mode);
  return given_back;
}

bool
spark_take_room (struct spark_call *call, uint64_t bytes)
{
  struct spark_process *process = call->process;
  if (spark_budget_try (&process->budget, bytes))
    return true;
  if (spark_pools_settle (process) + spark_graphs_settle (process) > 0 && spark_budget_try (&process->budget, bytes))
    return true;
  if (spark_trim_idle (process) > 0 && spark_budget_try (&process->budget, bytes))
    return true;
  spark_no_room (call);
  return false;
}

#include "cuda_held.h"

uint64_t
spark_current_context (void)
{
  __typeof__ (&cuCtxGetCurrent) get_current = SPARK_DRIVER (cuCtxGetCurrent);
  CUcontext context = NULL;
  return get_current != NULL && get_current (&context) == SPARK_CUDA_SUCCESS ? (uint64_t) (uintptr_t) context : 0;
}

void
spark_held_remember (struct spark_process *process, CUdeviceptr pointer, uint64_t charge, uint64_t context)
{
  struct spark_track_entry entry = { .key = pointer, .bytes = charge, .extra = context }, replaced;
  spark_lock_take (&process->allocations_lock);
  spark_track_put (&process->allocations, entry, &replaced);
  spark_lock_give (&process->allocations_lock);
  /* The driver gave out an address that we think is in use: its memory went with a context we did not see end. */
  if (!spark_held_by_pool (replaced))
    spark_budget_release (&process->budget, replaced.bytes);
  spark_budget_commit (&process->budget);
}

struct spark_track_entry
spark_held_forget (struct spark_process *process, CUdeviceptr pointer)
{
  struct spark_track_entry entry = { 0 };
  spark_lock_take (&process->allocations_lock);
  spark_track_take (&process->allocations, pointer, &entry);
  spark_lock_give (&process->allocations_lock);
  return entry;
}

CUresult
spark_held_settle (struct spark_process *process, struct spark_track_entry entry, CUresult result)
{
  if (entry.bytes == 0)
    return result;
  if (result != SPARK_CUDA_SUCCESS)
    spark_held_remember (process, entry.key, entry.bytes, entry.extra);
  else if (!spark_held_by_pool (entry))
    spark_budget_release (&process->budget, entry.bytes);
  return result;
}

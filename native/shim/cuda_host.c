/* Pinned host memory. Its pages are ordinary ones: the memory cgroup counts them (measured, driver 580), and what it counts is part of
   `used`. So the ledger holds the bytes only while the driver takes the pages: of two threads that both would fit alone one is
   refused, and afterwards nothing is counted twice. Between the pages' coming and the release they are, for a moment, in both: a refusal
   then is one too many, never one too few. Another process may use its figure of the cgroup for up to 50 ms more (budget.c).

   Where no memory cgroup can be read the ledger goes on holding them. */
#include "cuda_held.h"
#include "cuda_room.h"
#include <unistd.h>

static uint64_t
whole_pages (uint64_t bytes)
{
  return spark_rounded_up (bytes, (uint64_t) getpagesize ());
}

/* After the driver's answer. */
static CUresult
settle_pages (struct spark_call *call, const void *pointer, uint64_t charge, CUresult result)
{
  struct spark_budget *budget = &call->process->budget;
  if (result == SPARK_CUDA_SUCCESS && !spark_budget_pages_are_counted (budget))
    {
      spark_held_remember (call->process, (uint64_t) (uintptr_t) pointer, charge, spark_current_context ());
      return result;
    }
  spark_budget_look_again (budget);
  spark_budget_release (budget, charge);
  return result;
}

/* The body of a function that allocates `size` bytes. */
#define ALLOCATE(output, size, ...)                                                                                    \
  do                                                                                                                   \
    {                                                                                                                  \
      call->bytes = (size);                                                                                            \
      if ((output) == NULL || (size) == 0)                                                                             \
        return real ((output), __VA_ARGS__);                                                                           \
      uint64_t charge = whole_pages (size);                                                                            \
      if (!spark_take_room (call, charge))                                                                             \
        return SPARK_CUDA_ERROR_OUT_OF_MEMORY;                                                                         \
      void *taken = NULL;                                                                                              \
      CUresult result = real (&taken, __VA_ARGS__);                                                                    \
      settle_pages (call, taken, charge, result);                                                                      \
      if (result == SPARK_CUDA_SUCCESS)                                                                                \
        *(output) = taken;                                                                                             \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

SPARK_CUDA_HOOK (cuMemAllocHost_v2, (void **pointer, size_t bytes), (pointer, bytes))
{
  ALLOCATE (pointer, bytes, bytes);
}

SPARK_CUDA_HOOK (cuMemAllocHost, (void **pointer, uint32_t bytes), (pointer, bytes))
{
  ALLOCATE (pointer, bytes, bytes);
}

SPARK_CUDA_HOOK (cuMemHostAlloc, (void **pointer, size_t bytes, unsigned flags), (pointer, bytes, flags))
{
  ALLOCATE (pointer, bytes, bytes, flags);
}

SPARK_CUDA_HOOK (cuMemFreeHost, (void *pointer), (pointer))
{
  SPARK_FREE ((uint64_t) (uintptr_t) pointer, pointer);
}

/* ---- memory of the program's own, pinned ---- */

/* The bytes of the range that have no page yet: pinning makes those. 0 where the range is not mapped, which the driver then says. */
static uint64_t
missing_bytes (const void *pointer, uint64_t bytes)
{
  unsigned char resident[1024];
  uint64_t page = (uint64_t) getpagesize ();
  uintptr_t start = (uintptr_t) pointer & ~(uintptr_t) (page - 1);
  uint64_t pages = whole_pages (bytes + ((uintptr_t) pointer - start)) / page, missing = 0;
  for (uint64_t done = 0; done < pages; done += sizeof resident)
    {
      uint64_t step = pages - done < sizeof resident ? pages - done : sizeof resident;
      if (raw_syscall (SYS_mincore, start + done * page, step * page, resident, 0) != 0)
        return 0;
      for (uint64_t i = 0; i < step; i++)
        missing += (resident[i] & 1) == 0;
    }
  return missing * page;
}

/* What the program has touched already is counted where there is a cgroup: only the rest asks for room. */
static uint64_t
registered_charge (struct spark_call *call, const void *pointer, uint64_t bytes)
{
  call->bytes = bytes;
  if (pointer == NULL || bytes == 0 || bytes > UINT64_MAX / 2)
    return 0;
  return spark_budget_pages_are_counted (&call->process->budget) ? missing_bytes (pointer, bytes) : whole_pages (bytes);
}

#define REGISTER(pointer, bytes, flags)                                                                                \
  do                                                                                                                   \
    {                                                                                                                  \
      uint64_t charge = registered_charge (call, (pointer), (bytes));                                                  \
      if (charge == 0)                                                                                                 \
        return real ((pointer), (bytes), (flags));                                                                     \
      if (!spark_take_room (call, charge))                                                                             \
        return SPARK_CUDA_ERROR_OUT_OF_MEMORY;                                                                         \
      return settle_pages (call, (pointer), charge, real ((pointer), (bytes), (flags)));                               \
    }                                                                                                                  \
  while (0)

SPARK_CUDA_HOOK (cuMemHostRegister_v2, (void *pointer, size_t bytes, unsigned flags), (pointer, bytes, flags))
{
  REGISTER (pointer, bytes, flags);
}

SPARK_CUDA_HOOK (cuMemHostRegister, (void *pointer, size_t bytes, unsigned flags), (pointer, bytes, flags))
{
  REGISTER (pointer, bytes, flags);
}

SPARK_CUDA_HOOK (cuMemHostUnregister, (void *pointer), (pointer))
{
  SPARK_FREE ((uint64_t) (uintptr_t) pointer, pointer);
}

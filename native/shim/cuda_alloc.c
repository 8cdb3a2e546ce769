/* Taking and giving back device memory. Always in this order: reserve in the ledger, call the driver, remember the pointer or roll
   back. Results go to the caller only once all of it stands, so a refusal leaves the caller's variables as they were. */
#include "cuda_held.h"
#include "cuda_room.h"

/* The body of a function that allocates: whose the memory is (asked where there is some), its output pointer, its size, then its
   arguments after the output. Where we have nothing to say (arguments that the driver will refuse) the driver answers the caller itself. */
#define ALLOCATE(context, output, size, ...)                                                                           \
  do                                                                                                                   \
    {                                                                                                                  \
      call->bytes = (size);                                                                                            \
      if ((output) == NULL || (size) == 0)                                                                             \
        return real ((output), __VA_ARGS__);                                                                           \
      uint64_t charge = spark_budget_charge (size);                                                                    \
      if (!spark_take_room (call, charge))                                                      \
        return SPARK_CUDA_ERROR_OUT_OF_MEMORY;                                                                                   \
      __typeof__ (*(output)) taken = 0;                                                                                \
      CUresult result = real (&taken, __VA_ARGS__);                                                                    \
      if (result != SPARK_CUDA_SUCCESS)                                                                                \
        {                                                                                                              \
          spark_budget_release (&call->process->budget, charge);                                                       \
          return result;                                                                                               \
        }                                                                                                              \
      spark_held_remember (call->process, taken, charge, (context));                                                   \
      *(output) = taken;                                                                                               \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

/* ---- plain ---- */

SPARK_CUDA_HOOK (cuMemAlloc_v2, (CUdeviceptr *pointer, size_t bytes), (pointer, bytes))
{
  ALLOCATE (spark_current_context (), pointer, bytes, bytes);
}

SPARK_CUDA_HOOK (cuMemAlloc, (CUdeviceptr_v1 *pointer, uint32_t bytes), (pointer, bytes))
{
  ALLOCATE (spark_current_context (), pointer, bytes, bytes);
}

SPARK_CUDA_HOOK (cuMemFree_v2, (CUdeviceptr pointer), (pointer))
{
  SPARK_FREE (pointer, pointer);
}

SPARK_CUDA_HOOK (cuMemFree, (CUdeviceptr_v1 pointer), (pointer))
{
  SPARK_FREE (pointer, pointer);
}

/* ---- managed ---- */

/* Drivers up to 595 charge managed pages to the memory cgroup as they are touched (measured), and what the cgroup holds is part of
   `used` already: where there is one it is only asked whether they would fit, and nothing is added to the ledger. Nothing is held for
   pages to come either: a program may map more than it ever touches, and two threads that both fit now may together not fit later, as
   with any memory that is only mapped. memory.max ends that. */
SPARK_CUDA_HOOK (cuMemAllocManaged, (CUdeviceptr *pointer, size_t bytes, unsigned flags), (pointer, bytes, flags))
{
  if (!spark_budget_pages_are_counted (&call->process->budget))
    ALLOCATE (spark_current_context (), pointer, bytes, bytes, flags);
  call->bytes = bytes;
  if (pointer != NULL && bytes != 0 && !spark_budget_would_fit (&call->process->budget, bytes))
    return spark_no_room (call);
  return real (pointer, bytes, flags);
}

/* ---- with rows padded to a pitch ---- */

/* The driver chooses the pitch, so what a request takes is known only afterwards: reserve by the least it can be (rows of 512 bytes,
   the smallest alignment of any GPU), then reserve the rest or give all of it back. */
static uint64_t
pitched_bytes (uint64_t pitch, uint64_t height)
{
  uint64_t bytes;
  return __builtin_mul_overflow (pitch, height, &bytes) ? UINT64_MAX : bytes;
}

static uint64_t
least_pitch (uint64_t width)
{
  return spark_rounded_up (width, 512);
}

SPARK_CUDA_HOOK (cuMemAllocPitch_v2,
                 (CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height, unsigned element_bytes),
                 (pointer, pitch, width, height, element_bytes))
{
  struct spark_budget *budget = &call->process->budget;
  __typeof__ (&cuMemFree_v2) real_free = SPARK_REAL (cuMemFree_v2);
  if (real_free == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  if (pointer == NULL || pitch == NULL || width == 0 || height == 0)
    return real (pointer, pitch, width, height, element_bytes);
  call->bytes = pitched_bytes (width, height);
  uint64_t charge = spark_budget_charge (pitched_bytes (least_pitch (width), height));
  if (!spark_take_room (call, charge))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  CUdeviceptr taken = 0;
  size_t taken_pitch = 0;
  CUresult result = real (&taken, &taken_pitch, width, height, element_bytes);
  if (result != SPARK_CUDA_SUCCESS)
    {
      spark_budget_release (budget, charge);
      return result;
    }
  uint64_t whole = spark_budget_charge (pitched_bytes (taken_pitch, height));
  if (whole > charge && !spark_take_room (call, whole - charge))
    {
      /* What the driver does not take back counts on, as far as it was reserved. */
      if (real_free (taken) == SPARK_CUDA_SUCCESS)
        spark_budget_release (budget, charge);
      else
        spark_held_remember (call->process, taken, charge, spark_current_context ());
      return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
    }
  spark_held_remember (call->process, taken, whole > charge ? whole : charge, spark_current_context ());
  *pointer = taken;
  *pitch = taken_pitch;
  return result;
}

/* The form with 32-bit addresses, left from before CUDA 3.2: counted by the least pitch, so that it is no way around. */
SPARK_CUDA_HOOK (cuMemAllocPitch,
                 (CUdeviceptr_v1 *pointer, uint32_t *pitch, uint32_t width, uint32_t height, uint32_t element_bytes),
                 (pointer, pitch, width, height, element_bytes))
{
  struct spark_budget *budget = &call->process->budget;
  if (pointer == NULL || pitch == NULL || width == 0 || height == 0)
    return real (pointer, pitch, width, height, element_bytes);
  call->bytes = pitched_bytes (width, height);
  uint64_t charge = spark_budget_charge (pitched_bytes (least_pitch (width), height));
  if (!spark_take_room (call, charge))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  CUdeviceptr_v1 taken = 0;
  uint32_t taken_pitch = 0;
  CUresult result = real (&taken, &taken_pitch, width, height, element_bytes);
  if (result != SPARK_CUDA_SUCCESS)
    {
      spark_budget_release (budget, charge);
      return result;
    }
  spark_held_remember (call->process, taken, charge, spark_current_context ());
  *pointer = taken;
  *pitch = taken_pitch;
  return result;
}

/* Taking and giving back device memory. Always in this order: reserve in the ledger, call the driver, remember the pointer or roll
   back. Results go to the caller only once all of it stands, so a refusal leaves the caller's variables as they were. */
#include "cuda_abi.h"
#include "hooks.h"
#include "process.h"

/* ---- the table of what this process holds ---- */

/* The context that memory taken now belongs to: it goes back when that ends (cuda_context.c). A green context's memory is its device's
   primary context's and counts under the green one's name: until it is freed. */
static uint64_t
current_context (void)
{
  __typeof__ (&cuCtxGetCurrent) get_current = SPARK_DRIVER (cuCtxGetCurrent);
  CUcontext context = NULL;
  return get_current != NULL && get_current (&context) == SPARK_CUDA_SUCCESS ? (uint64_t) (uintptr_t) context : 0;
}

/* If the kernel gives no memory for the table the charge stays: too much counted until this process ends, never too little. */
static void
remember (struct spark_process *process, CUdeviceptr pointer, uint64_t charge, uint64_t context)
{
  struct spark_track_entry entry = { .key = pointer, .bytes = charge, .extra = context }, replaced;
  spark_lock_take (&process->allocations_lock);
  spark_track_put (&process->allocations, entry, &replaced);
  spark_lock_give (&process->allocations_lock);
  /* The driver gave out an address that we think is in use: its memory went with a context we did not see end. */
  spark_budget_release (&process->budget, replaced.bytes);
  spark_budget_commit (&process->budget);
}

/* What was remembered of `pointer`, bytes 0 if nothing. Done before the driver frees it: afterwards another thread may be given the
   same address at once. */
static struct spark_track_entry
forget (struct spark_process *process, CUdeviceptr pointer)
{
  struct spark_track_entry entry = { 0 };
  spark_lock_take (&process->allocations_lock);
  spark_track_take (&process->allocations, pointer, &entry);
  spark_lock_give (&process->allocations_lock);
  return entry;
}

/* After the driver's answer to a free. */
static CUresult
settle_free (struct spark_process *process, struct spark_track_entry entry, CUresult result)
{
  if (entry.bytes == 0)
    return result;
  if (result == SPARK_CUDA_SUCCESS)
    spark_budget_release (&process->budget, entry.bytes);
  else
    remember (process, entry.key, entry.bytes, entry.extra);
  return result;
}

/* The body of a function that allocates: its name, whose the memory is (asked where there is some), its output pointer, its size, then
   its arguments after the output. Where we have nothing to say (no ledger, arguments that the driver will refuse) the driver answers the caller itself. */
#define ALLOCATE(symbol, context, output, bytes, ...)                                                                   \
  do                                                                                                                   \
    {                                                                                                                  \
      __typeof__ (&symbol) real = SPARK_REAL (symbol);                                                                 \
      if (real == NULL)                                                                                                \
        return SPARK_CUDA_ERROR_NOT_FOUND;                                                                             \
      struct spark_process *process = spark_process ();                                                                \
      if (process == NULL || (output) == NULL || (bytes) == 0)                                                         \
        return real ((output), __VA_ARGS__);                                                                           \
      uint64_t charge = spark_budget_charge (bytes);                                                                   \
      if (!spark_budget_reserve (&process->budget, charge))                                                            \
        return SPARK_CUDA_ERROR_OUT_OF_MEMORY;                                                                         \
      __typeof__ (*(output)) taken = 0;                                                                                \
      CUresult result = real (&taken, __VA_ARGS__);                                                                    \
      if (result != SPARK_CUDA_SUCCESS)                                                                                \
        {                                                                                                              \
          spark_budget_release (&process->budget, charge);                                                             \
          return result;                                                                                               \
        }                                                                                                              \
      remember (process, taken, charge, (context));                                                                    \
      *(output) = taken;                                                                                               \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

/* The body of a function that frees `pointer`. */
#define FREE(symbol, pointer, ...)                                                                                     \
  do                                                                                                                   \
    {                                                                                                                  \
      __typeof__ (&symbol) real = SPARK_REAL (symbol);                                                                 \
      if (real == NULL)                                                                                                \
        return SPARK_CUDA_ERROR_NOT_FOUND;                                                                             \
      struct spark_process *process = spark_process ();                                                                \
      if (process == NULL)                                                                                             \
        return real (__VA_ARGS__);                                                                                     \
      struct spark_track_entry entry = forget (process, (pointer));                                                    \
      return settle_free (process, entry, real (__VA_ARGS__));                                                         \
    }                                                                                                                  \
  while (0)

/* ---- plain ---- */

CUresult
cuMemAlloc_v2 (CUdeviceptr *pointer, size_t bytes)
{
  ALLOCATE (cuMemAlloc_v2, current_context (), pointer, bytes, bytes);
}

CUresult
cuMemAlloc (CUdeviceptr_v1 *pointer, uint32_t bytes)
{
  ALLOCATE (cuMemAlloc, current_context (), pointer, bytes, bytes);
}

CUresult
cuMemFree_v2 (CUdeviceptr pointer)
{
  FREE (cuMemFree_v2, pointer, pointer);
}

CUresult
cuMemFree (CUdeviceptr_v1 pointer)
{
  FREE (cuMemFree, pointer, pointer);
}

/* ---- in the order of a stream ----
   It is a pool's, and a pool is the device's: it stays when a context ends and can be freed from the next one (measured, driver 580 on
   H200: after cuDevicePrimaryCtxReset, the last cuDevicePrimaryCtxRelease and cuCtxDestroy).
   Counted while the pointer lives. The pool behind it may keep pages longer; counting a pool by what it has reserved comes with the
   hooks of the pools themselves. */
enum { NO_CONTEXT = 0 };

CUresult
cuMemAllocAsync (CUdeviceptr *pointer, size_t bytes, CUstream stream)
{
  ALLOCATE (cuMemAllocAsync, NO_CONTEXT, pointer, bytes, bytes, stream);
}

CUresult
cuMemAllocAsync_ptsz (CUdeviceptr *pointer, size_t bytes, CUstream stream)
{
  ALLOCATE (cuMemAllocAsync_ptsz, NO_CONTEXT, pointer, bytes, bytes, stream);
}

CUresult
cuMemAllocFromPoolAsync (CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream)
{
  ALLOCATE (cuMemAllocFromPoolAsync, NO_CONTEXT, pointer, bytes, bytes, pool, stream);
}

CUresult
cuMemAllocFromPoolAsync_ptsz (CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream)
{
  ALLOCATE (cuMemAllocFromPoolAsync_ptsz, NO_CONTEXT, pointer, bytes, bytes, pool, stream);
}

CUresult
cuMemFreeAsync (CUdeviceptr pointer, CUstream stream)
{
  FREE (cuMemFreeAsync, pointer, pointer, stream);
}

CUresult
cuMemFreeAsync_ptsz (CUdeviceptr pointer, CUstream stream)
{
  FREE (cuMemFreeAsync_ptsz, pointer, pointer, stream);
}

/* ---- managed ---- */

/* Drivers up to 595 charge managed pages to the memory cgroup as they are touched (measured), and what the cgroup holds is part of
   `used` already: here it is only asked whether they would fit, and nothing is added to the ledger. */
CUresult
cuMemAllocManaged (CUdeviceptr *pointer, size_t bytes, unsigned flags)
{
  __typeof__ (&cuMemAllocManaged) real = SPARK_REAL (cuMemAllocManaged);
  if (real == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  struct spark_process *process = spark_process ();
  if (process != NULL && pointer != NULL && bytes != 0 && !spark_budget_would_fit (&process->budget, bytes))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
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
  return width > UINT64_MAX - 511 ? UINT64_MAX : (width + 511) & ~(uint64_t) 511;
}

CUresult
cuMemAllocPitch_v2 (CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height, unsigned element_bytes)
{
  __typeof__ (&cuMemAllocPitch_v2) real = SPARK_REAL (cuMemAllocPitch_v2);
  __typeof__ (&cuMemFree_v2) real_free = SPARK_REAL (cuMemFree_v2);
  if (real == NULL || real_free == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  struct spark_process *process = spark_process ();
  if (process == NULL || pointer == NULL || pitch == NULL || width == 0 || height == 0)
    return real (pointer, pitch, width, height, element_bytes);
  uint64_t charge = spark_budget_charge (pitched_bytes (least_pitch (width), height));
  if (!spark_budget_reserve (&process->budget, charge))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  CUdeviceptr taken = 0;
  size_t taken_pitch = 0;
  CUresult result = real (&taken, &taken_pitch, width, height, element_bytes);
  if (result != SPARK_CUDA_SUCCESS)
    {
      spark_budget_release (&process->budget, charge);
      return result;
    }
  uint64_t whole = spark_budget_charge (pitched_bytes (taken_pitch, height));
  if (whole > charge && !spark_budget_reserve (&process->budget, whole - charge))
    {
      real_free (taken);
      spark_budget_release (&process->budget, charge);
      return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
    }
  remember (process, taken, whole > charge ? whole : charge, current_context ());
  *pointer = taken;
  *pitch = taken_pitch;
  return result;
}

/* The form with 32-bit addresses, left from before CUDA 3.2: counted by the least pitch, so that it is no way around. */
CUresult
cuMemAllocPitch (CUdeviceptr_v1 *pointer, uint32_t *pitch, uint32_t width, uint32_t height, uint32_t element_bytes)
{
  __typeof__ (&cuMemAllocPitch) real = SPARK_REAL (cuMemAllocPitch);
  if (real == NULL)
    return SPARK_CUDA_ERROR_NOT_FOUND;
  struct spark_process *process = spark_process ();
  if (process == NULL || pointer == NULL || pitch == NULL || width == 0 || height == 0)
    return real (pointer, pitch, width, height, element_bytes);
  uint64_t charge = spark_budget_charge (pitched_bytes (least_pitch (width), height));
  if (!spark_budget_reserve (&process->budget, charge))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  CUdeviceptr_v1 taken = 0;
  CUresult result = real (&taken, pitch, width, height, element_bytes);
  if (result != SPARK_CUDA_SUCCESS)
    {
      spark_budget_release (&process->budget, charge);
      return result;
    }
  remember (process, taken, charge, current_context ());
  *pointer = taken;
  return result;
}

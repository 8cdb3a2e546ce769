/* Arrays and mipmapped arrays. The driver does not tell what one takes (cuArrayGetMemoryRequirements answers for those alone that get
   their memory later, from cuMemCreate), so it is computed from the description, rounded up as any allocation. */
#include "cuda_held.h"
#include "cuda_room.h"

enum {
  ARRAY_IS_LAYERED = 1,           /* CUDA_ARRAY3D_LAYERED: depth is a number of layers */
  ARRAY_TAKES_NOTHING = 0x40 | 0x80 /* CUDA_ARRAY3D_SPARSE, CUDA_ARRAY3D_DEFERRED_MAPPING */
};

/* Bytes of a 4 x 4 block of elements (CUarray_format in cuda.h); an unknown format counts as four bytes a channel. */
static uint64_t
block_bytes (int format, uint64_t channels)
{
  static const unsigned char normalized[] = { 1, 2, 4, 2, 4, 8, 1, 2, 4, 2, 4, 8 }; /* UNORM_INT8X1 … SNORM_INT16X4 */
  if (format >= 0xc0 && format < 0xc0 + (int) sizeof normalized)
    return 16 * (uint64_t) normalized[format - 0xc0];
  if (format >= 0x91 && format <= 0x9e) /* BC1 … BC7: already blocks, the first and fourth kind of 8 bytes */
    return format <= 0x92 || format == 0x97 || format == 0x98 ? 8 : 16;
  switch (format)
    {
    case 0x01: /* UNSIGNED_INT8 */
    case 0x08: /* SIGNED_INT8 */
      return 16 * channels;
    case 0x02: /* UNSIGNED_INT16 */
    case 0x09: /* SIGNED_INT16 */
    case 0x10: /* HALF */
      return 32 * channels;
    case 0xb0: /* NV12: one plane whole, one at half in both directions with two channels */
      return 24;
    default:
      return 64 * channels;
    }
}

/* The driver lays elements out in blocks of up to 128 rows: 10000 x 3333 floats take 132 MiB, which are 3456 rows in whole pages
   (measured, driver 580 on H100). */
static uint64_t
rows_taken (uint64_t height)
{
  enum { BLOCK_ROWS = 128 };
  return height < BLOCK_ROWS || height > UINT64_MAX - BLOCK_ROWS ? height : (height + BLOCK_ROWS - 1) / BLOCK_ROWS * BLOCK_ROWS;
}

static bool
add_level (uint64_t *sum, uint64_t width, uint64_t rows, uint64_t depth, uint64_t block)
{
  uint64_t bytes, height = rows_taken (rows);
  if (width > UINT64_MAX - 3 || height > UINT64_MAX - 3 || __builtin_mul_overflow (width, height, &bytes)
      || __builtin_mul_overflow (bytes, depth, &bytes) || __builtin_mul_overflow (bytes, block, &bytes))
    return false;
  return !__builtin_add_overflow (*sum, bytes / 16 + (bytes % 16 != 0), sum);
}

/* UINT64_MAX where there is no such number, 0 where the array takes nothing. */
static uint64_t
array_bytes (const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned levels)
{
  if ((shape->Flags & ARRAY_TAKES_NOTHING) != 0)
    return 0;
  bool layered = (shape->Flags & ARRAY_IS_LAYERED) != 0;
  uint64_t sum = 0, width = shape->Width, height = shape->Height, depth = shape->Depth;
  uint64_t block = block_bytes (shape->Format, shape->NumChannels);
  for (unsigned level = 0; level < levels && level < 64; level++)
    {
      if (!add_level (&sum, width, height == 0 ? 1 : height, depth == 0 ? 1 : depth, block))
        return UINT64_MAX;
      if (width <= 1 && height <= 1 && (depth <= 1 || layered))
        break;
      width = width > 1 ? width / 2 : width;
      height = height > 1 ? height / 2 : height;
      depth = depth > 1 && !layered ? depth / 2 : depth;
    }
  return sum;
}

/* The body of a function that makes an array of `size` bytes. */
#define CREATE(output, size, ...)                                                                                      \
  do                                                                                                                   \
    {                                                                                                                  \
      call->bytes = (size);                                                                                            \
      if ((output) == NULL || call->bytes == 0)                                                                        \
        return real ((output), __VA_ARGS__);                                                                           \
      uint64_t charge = spark_budget_charge (call->bytes);                                                             \
      if (!spark_take_room (call, charge))                                                                             \
        return SPARK_CUDA_ERROR_OUT_OF_MEMORY;                                                                         \
      __typeof__ (*(output)) made = NULL;                                                                              \
      CUresult result = real (&made, __VA_ARGS__);                                                                     \
      if (result != SPARK_CUDA_SUCCESS)                                                                                \
        {                                                                                                              \
          spark_budget_release (&call->process->budget, charge);                                                       \
          return result;                                                                                               \
        }                                                                                                              \
      spark_held_remember (call->process, (uint64_t) (uintptr_t) made, charge, spark_current_context ());              \
      *(output) = made;                                                                                                \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

/* Any of the four descriptions as the largest of them. */
#define SHAPE(from, depth, flags)                                                                                      \
  (&(CUDA_ARRAY3D_DESCRIPTOR){ (from)->Width, (from)->Height, (depth), (from)->Format, (from)->NumChannels, (flags) })

SPARK_CUDA_HOOK (cuArrayCreate_v2, (CUarray *array, const CUDA_ARRAY_DESCRIPTOR *shape), (array, shape))
{
  CREATE (array, shape != NULL ? array_bytes (SHAPE (shape, 0, 0), 1) : 0, shape);
}

SPARK_CUDA_HOOK (cuArrayCreate, (CUarray *array, const CUDA_ARRAY_DESCRIPTOR_v1 *shape), (array, shape))
{
  CREATE (array, shape != NULL ? array_bytes (SHAPE (shape, 0, 0), 1) : 0, shape);
}

SPARK_CUDA_HOOK (cuArray3DCreate_v2, (CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape), (array, shape))
{
  CREATE (array, shape != NULL ? array_bytes (shape, 1) : 0, shape);
}

SPARK_CUDA_HOOK (cuArray3DCreate, (CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR_v1 *shape), (array, shape))
{
  CREATE (array, shape != NULL ? array_bytes (SHAPE (shape, shape->Depth, shape->Flags), 1) : 0, shape);
}

SPARK_CUDA_HOOK (cuMipmappedArrayCreate,
                 (CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned levels), (array, shape, levels))
{
  CREATE (array, shape != NULL ? array_bytes (shape, levels) : 0, shape, levels);
}

/* With what was mapped into it by cuMemMapArrayAsync. The lock is held, as in cuda_vmm.c: the array's handle may be given out again at once. */
#define DESTROY(array)                                                                                                 \
  do                                                                                                                   \
    {                                                                                                                  \
      struct spark_process *process = call->process;                                                                   \
      uint64_t key = (uint64_t) (uintptr_t) (array);                                                                   \
      if (!process->arrays_are_mapped)                                                                                 \
        SPARK_FREE (key, array);                                                                                       \
      spark_lock_take (&process->vmm_lock);                                                                            \
      struct spark_track_entry entry = spark_held_forget (process, key);                                               \
      CUresult result = spark_held_settle (process, entry, real (array));                                              \
      uint64_t freed = result == SPARK_CUDA_SUCCESS ? spark_vmm_end_array (&process->vmm, key) : 0;                    \
      spark_lock_give (&process->vmm_lock);                                                                            \
      spark_budget_release (&process->budget, freed);                                                                  \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

SPARK_CUDA_HOOK (cuArrayDestroy, (CUarray array), (array))
{
  DESTROY (array);
}

SPARK_CUDA_HOOK (cuMipmappedArrayDestroy, (CUmipmappedArray array), (array))
{
  DESTROY (array);
}

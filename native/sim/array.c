/* Arrays and mipmapped arrays: memory of the device that only copies reach. Layouts and limits beyond their sizes are not
   simulated: there is no texture unit here. */
#include "array.h"

#include "driver.h"
#include "machine.h"
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { LAYERED = 1, SURFACE = 2, CUBEMAP = 4, TEXTURE_GATHER = 8, DEPTH_TEXTURE = 16, COLOR_ATTACHMENT = 32 };
enum { MOST_LEVELS = 32 };

struct mipmapped {
  struct sim_pages pages;
  char *bytes;
  unsigned count;
  struct sim_array *levels[MOST_LEVELS];
};

struct sim_array *
sim_array (CUarray array)
{
  return sim_handle_is (SIM_ARRAY, array) ? array : NULL;
}

/* Bytes of one channel; 0 for a format that is none or is not simulated. */
static uint64_t
channel_bytes (int format)
{
  switch (format)
    {
    case 0x01: /* UNSIGNED_INT8 */
    case 0x08: /* SIGNED_INT8 */
      return 1;
    case 0x02: /* UNSIGNED_INT16 */
    case 0x09: /* SIGNED_INT16 */
    case 0x10: /* HALF */
      return 2;
    case 0x03: /* UNSIGNED_INT32 */
    case 0x0a: /* SIGNED_INT32 */
    case 0x20: /* FLOAT */
      return 4;
    default:
      return 0;
    }
}

/* Fills in the sizes of `array` by its shape. */
static CUresult
measure (struct sim_array *array, uint64_t *bytes)
{
  const CUDA_ARRAY3D_DESCRIPTOR *shape = &array->shape;
  uint64_t element_bytes = channel_bytes (shape->Format) * shape->NumChannels;
  if (shape->Width == 0 || element_bytes == 0
      || (shape->NumChannels != 1 && shape->NumChannels != 2 && shape->NumChannels != 4)
      || (shape->Height == 0 && shape->Depth > 0 && (shape->Flags & LAYERED) == 0)
      || (shape->Flags & ~(unsigned) (LAYERED | SURFACE | CUBEMAP | TEXTURE_GATHER | DEPTH_TEXTURE | COLOR_ATTACHMENT | SIM_ARRAY_SPARSE
                                     | SIM_ARRAY_DEFERRED)) != 0)
    return CUDA_ERROR_INVALID_VALUE;
  /* Their tiles have other shapes in more dimensions, and tails of levels share one. */
  if (sim_array_is_mapped (array) && shape->Depth > 0)
    return CUDA_ERROR_NOT_SUPPORTED;
  array->rows = shape->Height > 0 ? shape->Height : 1;
  array->slices = shape->Depth > 0 ? shape->Depth : 1;
  uint64_t slice_bytes;
  return __builtin_mul_overflow (shape->Width, element_bytes, &array->row_bytes)
                 || __builtin_mul_overflow (array->row_bytes, array->rows, &slice_bytes)
                 || __builtin_mul_overflow (slice_bytes, array->slices, bytes)
             ? CUDA_ERROR_OUT_OF_MEMORY
             : CUDA_SUCCESS;
}

/* Takes pages and maps them; arrays have no address that a program could know. */
static CUresult
take (uint64_t bytes, struct sim_pages *pages, char **at)
{
  if (sim_pages_take (bytes, pages) != 0)
    return sim_memory_error (errno);
  *at = sim_pages_map (pages, pages->bytes, NULL, PROT_READ | PROT_WRITE);
  if (*at != NULL)
    return CUDA_SUCCESS;
  int status = errno;
  sim_pages_give (pages);
  return sim_memory_error (status);
}

static void
give (const struct sim_pages *pages, char *at)
{
  munmap (at, pages->bytes);
  sim_pages_give (pages);
}

CUresult
cuArray3DCreate_v2 (CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape)
{
  SIM_ENTER_CONTEXT (NULL);
  if (array == NULL || shape == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_array *made = sim_handle_new (SIM_ARRAY, sizeof *made);
  if (made == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  made->shape = *shape;
  uint64_t bytes;
  CUresult result = measure (made, &bytes);
  if (result == CUDA_SUCCESS && !sim_array_is_mapped (made))
    result = take (bytes, &made->pages, &made->bytes);
  if (result == CUDA_SUCCESS)
    *array = made;
  else
    sim_handle_free (made);
  return result;
}

CUresult
cuArrayCreate_v2 (CUarray *array, const CUDA_ARRAY_DESCRIPTOR *shape)
{
  SIM_ENTER_CONTEXT (NULL);
  if (shape == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  return cuArray3DCreate_v2 (array, &(CUDA_ARRAY3D_DESCRIPTOR){ .Width = shape->Width,
                                                               .Height = shape->Height,
                                                               .Format = shape->Format,
                                                               .NumChannels = shape->NumChannels });
}

CUresult
cuArrayDestroy (CUarray handle)
{
  SIM_ENTER ();
  struct sim_array *array = sim_array (handle);
  if (array == NULL || array->whole != NULL)
    return CUDA_ERROR_INVALID_HANDLE;
  if (sim_array_is_mapped (array))
    sim_array_unmap (array);
  else
    give (&array->pages, array->bytes);
  sim_handle_free (array);
  return CUDA_SUCCESS;
}

CUresult
cuArray3DGetDescriptor_v2 (CUDA_ARRAY3D_DESCRIPTOR *shape, CUarray handle)
{
  SIM_ENTER_CONTEXT (NULL);
  const struct sim_array *array = sim_array (handle);
  if (array == NULL)
    return CUDA_ERROR_INVALID_HANDLE;
  if (shape == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *shape = array->shape;
  return CUDA_SUCCESS;
}

CUresult
cuArrayGetDescriptor_v2 (CUDA_ARRAY_DESCRIPTOR *shape, CUarray array)
{
  CUDA_ARRAY3D_DESCRIPTOR whole;
  CUresult result = cuArray3DGetDescriptor_v2 (&whole, array);
  if (result != CUDA_SUCCESS)
    return result;
  if (shape == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *shape = (CUDA_ARRAY_DESCRIPTOR){
    .Width = whole.Width, .Height = whole.Height, .Format = whole.Format, .NumChannels = whole.NumChannels
  };
  return CUDA_SUCCESS;
}

static uint64_t
halved (uint64_t size, unsigned level)
{
  return size == 0 ? 0 : size >> level > 0 ? size >> level : 1;
}

/* The array of one level, with its place in the whole; NULL without memory. */
static struct sim_array *
level_new (const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned level, uint64_t *bytes, CUresult *result)
{
  struct sim_array *array = sim_handle_new (SIM_ARRAY, sizeof *array);
  *result = CUDA_ERROR_OUT_OF_MEMORY;
  if (array == NULL)
    return NULL;
  array->shape = *shape;
  array->shape.Width = halved (shape->Width, level);
  array->shape.Height = halved (shape->Height, level);
  if ((shape->Flags & LAYERED) == 0)
    array->shape.Depth = halved (shape->Depth, level);
  *result = measure (array, bytes);
  if (*result == CUDA_SUCCESS)
    return array;
  sim_handle_free (array);
  return NULL;
}

static void
mipmapped_free (struct mipmapped *whole)
{
  for (unsigned i = 0; i < whole->count; i++)
    sim_handle_free (whole->levels[i]);
  sim_handle_free (whole);
}

CUresult
cuMipmappedArrayCreate (CUmipmappedArray *handle, const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned int levels)
{
  SIM_ENTER_CONTEXT (NULL);
  if (handle == NULL || shape == NULL || levels == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if ((shape->Flags & (SIM_ARRAY_SPARSE | SIM_ARRAY_DEFERRED)) != 0)
    return CUDA_ERROR_NOT_SUPPORTED;
  /* As many as it takes to come down to one element, and no more. */
  uint64_t largest = shape->Width > shape->Height ? shape->Width : shape->Height;
  if ((shape->Flags & LAYERED) == 0 && shape->Depth > largest)
    largest = shape->Depth;
  struct mipmapped *whole = sim_handle_new (SIM_MIPMAPPED_ARRAY, sizeof *whole);
  if (whole == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  CUresult result = CUDA_SUCCESS;
  uint64_t offsets[MOST_LEVELS], bytes = 0;
  for (unsigned i = 0; i < levels && i < MOST_LEVELS && largest >> i > 0 && result == CUDA_SUCCESS; i++)
    {
      uint64_t level_bytes;
      struct sim_array *level = level_new (shape, i, &level_bytes, &result);
      if (level == NULL)
        break;
      level->whole = whole;
      whole->levels[whole->count++] = level;
      offsets[i] = bytes;
      if (__builtin_add_overflow (bytes, level_bytes, &bytes))
        result = CUDA_ERROR_OUT_OF_MEMORY;
    }
  if (result == CUDA_SUCCESS)
    result = whole->count > 0 ? take (bytes, &whole->pages, &whole->bytes) : CUDA_ERROR_INVALID_VALUE;
  if (result != CUDA_SUCCESS)
    {
      mipmapped_free (whole);
      return result;
    }
  for (unsigned i = 0; i < whole->count; i++)
    whole->levels[i]->bytes = whole->bytes + offsets[i];
  *handle = whole;
  return CUDA_SUCCESS;
}

CUresult
cuMipmappedArrayGetLevel (CUarray *array, CUmipmappedArray handle, unsigned int level)
{
  SIM_ENTER_CONTEXT (NULL);
  if (!sim_handle_is (SIM_MIPMAPPED_ARRAY, handle))
    return CUDA_ERROR_INVALID_HANDLE;
  const struct mipmapped *whole = handle;
  if (array == NULL || level >= whole->count)
    return CUDA_ERROR_INVALID_VALUE;
  *array = whole->levels[level];
  return CUDA_SUCCESS;
}

CUresult
cuMipmappedArrayDestroy (CUmipmappedArray handle)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_MIPMAPPED_ARRAY, handle))
    return CUDA_ERROR_INVALID_HANDLE;
  struct mipmapped *whole = handle;
  give (&whole->pages, whole->bytes);
  mipmapped_free (whole);
  return CUDA_SUCCESS;
}

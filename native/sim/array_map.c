/* Arrays that take nothing themselves, sparse ones and those whose memory comes later: memory of cuMemCreate is mapped into them, and
   lives while it is (measured, driver 580 on H100). */
#include "array.h"

#include "driver.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum { TILE_BYTES = 64 << 10, TILE_WIDTH_BYTES_1 = 256 };

struct sim_array_part {
  struct sim_array_part *next;
  CUarrayMapInfo place; /* sparse_level alone */
  void *allocation;
};

/* Width and height in elements of what 64 KiB hold, by the size of one: 1 byte 256 x 256, 2 bytes 256 x 128, 16 bytes 64 x 64. */
static void
tile_of (const struct sim_array *array, unsigned *width, unsigned *height)
{
  uint64_t element_bytes = array->row_bytes / array->shape.Width;
  *width = *height = TILE_WIDTH_BYTES_1;
  for (unsigned side = 1; element_bytes > 1; element_bytes /= 2, side = !side)
    if (side)
      *height /= 2;
    else
      *width /= 2;
}

static uint64_t
tiles (uint64_t elements, unsigned tile)
{
  return (elements + tile - 1) / tile;
}

CUresult
cuArrayGetSparseProperties (CUDA_ARRAY_SPARSE_PROPERTIES *properties, CUarray handle)
{
  SIM_ENTER ();
  const struct sim_array *array = sim_array (handle);
  if (array == NULL)
    return CUDA_ERROR_INVALID_HANDLE;
  if (properties == NULL || (array->shape.Flags & SIM_ARRAY_SPARSE) == 0)
    return CUDA_ERROR_INVALID_VALUE;
  *properties = (CUDA_ARRAY_SPARSE_PROPERTIES){ .tile_depth = 1 };
  tile_of (array, &properties->tile_width, &properties->tile_height);
  return CUDA_SUCCESS;
}

/* Answered for those alone whose memory comes later and whole (measured, driver 580 on H100). */
CUresult
cuArrayGetMemoryRequirements (CUDA_ARRAY_MEMORY_REQUIREMENTS *requirements, CUarray handle, CUdevice device)
{
  unsigned width, height;
  SIM_ENTER ();
  const struct sim_array *array = sim_array (handle);
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  if (array == NULL || requirements == NULL || (array->shape.Flags & SIM_ARRAY_DEFERRED) == 0)
    return CUDA_ERROR_INVALID_VALUE;
  tile_of (array, &width, &height);
  *requirements = (CUDA_ARRAY_MEMORY_REQUIREMENTS){
    .size = tiles (array->shape.Width, width) * tiles (array->rows, height) * TILE_BYTES, .alignment = TILE_BYTES
  };
  return CUDA_SUCCESS;
}

/* All below is done under sim_lock. */
static struct sim_array_part **
part_at (struct sim_array *array, const CUarrayMapInfo *place)
{
  struct sim_array_part **at = &array->parts;
  while (*at != NULL && memcmp (&(*at)->place.sparse_level, &place->sparse_level, sizeof place->sparse_level) != 0)
    at = &(*at)->next;
  return at;
}

static void
drop (struct sim_array_part **at)
{
  struct sim_array_part *part = *at;
  *at = part->next;
  sim_allocation_drop (part->allocation);
  free (part);
}

static CUresult
map (struct sim_array *array, const CUarrayMapInfo *wish)
{
  unsigned width, height;
  tile_of (array, &width, &height);
  uint64_t bytes = tiles (wish->sparse_level.width, width) * tiles (wish->sparse_level.height, height) * TILE_BYTES, end;
  if (bytes == 0 || wish->sparse_level.x + (uint64_t) wish->sparse_level.width > array->shape.Width
      || wish->sparse_level.y + (uint64_t) wish->sparse_level.height > array->rows
      || __builtin_add_overflow (wish->offset, bytes, &end))
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_array_part *part = malloc (sizeof *part);
  if (part == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *part = (struct sim_array_part){ .place = *wish, .allocation = sim_allocation_hold (wish->memHandle, end) };
  if (part->allocation == NULL)
    {
      free (part);
      return CUDA_ERROR_INVALID_VALUE;
    }
  struct sim_array_part **there = part_at (array, wish);
  if (*there != NULL)
    drop (there);
  part->next = array->parts;
  array->parts = part;
  return CUDA_SUCCESS;
}

/* Places are known by the region that was mapped: a part of one cannot be unmapped here. */
static CUresult
change (const CUarrayMapInfo *wish)
{
  struct sim_array *array = wish->resourceType == CU_RESOURCE_TYPE_ARRAY ? sim_array (wish->array) : NULL;
  if (wish->resourceType != CU_RESOURCE_TYPE_ARRAY || wish->subresourceType != CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_SPARSE_LEVEL)
    return CUDA_ERROR_NOT_SUPPORTED;
  if (array == NULL || !sim_array_is_mapped (array) || wish->memHandleType != 0 || wish->deviceBitMask != 1 || wish->flags != 0
      || wish->sparse_level.level != 0 || wish->sparse_level.layer != 0 || wish->sparse_level.z != 0 || wish->sparse_level.depth != 1)
    return CUDA_ERROR_INVALID_VALUE;
  if (wish->memOperationType == CU_MEM_OPERATION_TYPE_MAP)
    return map (array, wish);
  struct sim_array_part **there = part_at (array, wish);
  if (wish->memOperationType != CU_MEM_OPERATION_TYPE_UNMAP || *there == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  drop (there);
  return CUDA_SUCCESS;
}

void
sim_array_unmap (struct sim_array *array)
{
  sim_lock ();
  while (array->parts != NULL)
    drop (&array->parts);
  sim_unlock ();
}

CUresult
cuMemMapArrayAsync (CUarrayMapInfo *list, unsigned int count, CUstream stream)
{
  SIM_ENTER_CONTEXT (NULL);
  if (list == NULL || count == 0)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = cuStreamQuery (stream);
  for (unsigned i = 0; i < count && result == CUDA_SUCCESS; i++)
    {
      sim_lock ();
      result = change (&list[i]);
      sim_unlock ();
    }
  return result;
}
SIM_ALSO (cuMemMapArrayAsync_ptsz, cuMemMapArrayAsync);

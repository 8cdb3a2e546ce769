/* Copies with a shape: rectangles, boxes, and whatever goes to or from an array. Done by the CPU, row by row, and done when
   the call returns. */
#include "array.h"
#include "driver.h"
#include "memory.h"

#include <string.h>

/* One side of a copy: where a row begins, and how much of it may be touched. */
struct side {
  char *start;         /* of the first row that is copied */
  uint64_t row_bytes;  /* from one row to the next */
  uint64_t slice_bytes;
};

/* One side as the caller wrote it, for two dimensions and for three. */
struct wish {
  size_t x_bytes;
  size_t y;
  size_t z;
  int type;
  const void *host;
  CUdeviceptr device;
  CUarray array;
  size_t pitch_bytes;
  size_t slice_rows;
};

struct extent {
  size_t width_bytes;
  size_t height;
  size_t depth;
};

static CUresult
side_of_array (const struct wish *wish, const struct extent *extent, struct side *side)
{
  const struct sim_array *array = sim_array (wish->array);
  if (array != NULL && sim_array_is_mapped (array))
    return CUDA_ERROR_NOT_SUPPORTED;
  if (array == NULL)
    return CUDA_ERROR_INVALID_HANDLE;
  if (wish->x_bytes > array->row_bytes || extent->width_bytes > array->row_bytes - wish->x_bytes || wish->y > array->rows
      || extent->height > array->rows - wish->y || wish->z > array->slices || extent->depth > array->slices - wish->z)
    return CUDA_ERROR_INVALID_VALUE;
  side->row_bytes = array->row_bytes;
  side->slice_bytes = array->row_bytes * array->rows;
  side->start = array->bytes + wish->z * side->slice_bytes + wish->y * side->row_bytes + wish->x_bytes;
  return CUDA_SUCCESS;
}

static CUresult
side_of (const struct wish *wish, const struct extent *extent, struct side *side)
{
  if (wish->type == CU_MEMORYTYPE_ARRAY)
    return side_of_array (wish, extent, side);
  if (wish->type != CU_MEMORYTYPE_HOST && wish->type != CU_MEMORYTYPE_DEVICE && wish->type != CU_MEMORYTYPE_UNIFIED)
    return CUDA_ERROR_INVALID_VALUE;
  side->row_bytes = wish->pitch_bytes > 0 ? wish->pitch_bytes : extent->width_bytes;
  uint64_t slice_rows = wish->slice_rows > 0 ? wish->slice_rows : extent->height;
  char *base = wish->type == CU_MEMORYTYPE_HOST ? (char *) (uintptr_t) wish->host : (char *) (uintptr_t) wish->device;
  if (base == NULL || (extent->height > 1 && wish->x_bytes + extent->width_bytes > side->row_bytes))
    return CUDA_ERROR_INVALID_VALUE;
  side->slice_bytes = side->row_bytes * slice_rows;
  uint64_t first = wish->z * side->slice_bytes + wish->y * side->row_bytes + wish->x_bytes;
  uint64_t past = first + (extent->depth - 1) * side->slice_bytes + (extent->height - 1) * side->row_bytes + extent->width_bytes;
  if (wish->type == CU_MEMORYTYPE_DEVICE && !sim_memory_reachable ((CUdeviceptr) (uintptr_t) base + first, past - first))
    return CUDA_ERROR_INVALID_VALUE;
  side->start = base + first;
  return CUDA_SUCCESS;
}

static CUresult
copy (const struct wish *to, const struct wish *from, const struct extent *extent)
{
  SIM_ENTER_CONTEXT (NULL);
  struct side target, source;
  if (extent->width_bytes == 0 || extent->height == 0 || extent->depth == 0)
    return CUDA_SUCCESS;
  CUresult result = side_of (to, extent, &target);
  if (result == CUDA_SUCCESS)
    result = side_of (from, extent, &source);
  if (result != CUDA_SUCCESS)
    return result;
  for (size_t z = 0; z < extent->depth; z++)
    for (size_t y = 0; y < extent->height; y++)
      memmove (target.start + z * target.slice_bytes + y * target.row_bytes,
               source.start + z * source.slice_bytes + y * source.row_bytes, extent->width_bytes);
  return CUDA_SUCCESS;
}

CUresult
cuMemcpy2D_v2 (const CUDA_MEMCPY2D *this)
{
  if (this == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  const struct wish to = { .x_bytes = this->dstXInBytes,
                           .y = this->dstY,
                           .type = this->dstMemoryType,
                           .host = this->dstHost,
                           .device = this->dstDevice,
                           .array = this->dstArray,
                           .pitch_bytes = this->dstPitch };
  const struct wish from = { .x_bytes = this->srcXInBytes,
                             .y = this->srcY,
                             .type = this->srcMemoryType,
                             .host = this->srcHost,
                             .device = this->srcDevice,
                             .array = this->srcArray,
                             .pitch_bytes = this->srcPitch };
  return copy (&to, &from, &(struct extent){ this->WidthInBytes, this->Height, 1 });
}
SIM_ALSO (cuMemcpy2D_v2_ptds, cuMemcpy2D_v2);
SIM_ALSO (cuMemcpy2DUnaligned_v2, cuMemcpy2D_v2);
SIM_ALSO (cuMemcpy2DUnaligned_v2_ptds, cuMemcpy2D_v2);

CUresult
cuMemcpy3D_v2 (const CUDA_MEMCPY3D *this)
{
  if (this == NULL || this->srcLOD != 0 || this->dstLOD != 0)
    return CUDA_ERROR_INVALID_VALUE;
  const struct wish to = { .x_bytes = this->dstXInBytes,
                           .y = this->dstY,
                           .z = this->dstZ,
                           .type = this->dstMemoryType,
                           .host = this->dstHost,
                           .device = this->dstDevice,
                           .array = this->dstArray,
                           .pitch_bytes = this->dstPitch,
                           .slice_rows = this->dstHeight };
  const struct wish from = { .x_bytes = this->srcXInBytes,
                             .y = this->srcY,
                             .z = this->srcZ,
                             .type = this->srcMemoryType,
                             .host = this->srcHost,
                             .device = this->srcDevice,
                             .array = this->srcArray,
                             .pitch_bytes = this->srcPitch,
                             .slice_rows = this->srcHeight };
  return copy (&to, &from, &(struct extent){ this->WidthInBytes, this->Height, this->Depth });
}
SIM_ALSO (cuMemcpy3D_v2_ptds, cuMemcpy3D_v2);

CUresult
cuMemcpy2DAsync_v2 (const CUDA_MEMCPY2D *this, CUstream stream)
{
  CUresult result = cuStreamQuery (stream);
  return result != CUDA_SUCCESS ? result : cuMemcpy2D_v2 (this);
}
SIM_ALSO (cuMemcpy2DAsync_v2_ptsz, cuMemcpy2DAsync_v2);

CUresult
cuMemcpy3DAsync_v2 (const CUDA_MEMCPY3D *this, CUstream stream)
{
  CUresult result = cuStreamQuery (stream);
  return result != CUDA_SUCCESS ? result : cuMemcpy3D_v2 (this);
}
SIM_ALSO (cuMemcpy3DAsync_v2_ptsz, cuMemcpy3DAsync_v2);

/* The short forms: `bytes` of an array's first row. */
static CUresult
copy_row (const struct wish *to, const struct wish *from, size_t bytes)
{
  return copy (to, from, &(struct extent){ bytes, 1, 1 });
}

#define ARRAY_AT(handle, offset) (&(struct wish){ .type = CU_MEMORYTYPE_ARRAY, .array = (handle), .x_bytes = (offset) })
#define HOST_AT(pointer) (&(struct wish){ .type = CU_MEMORYTYPE_HOST, .host = (pointer) })
#define DEVICE_AT(pointer) (&(struct wish){ .type = CU_MEMORYTYPE_DEVICE, .device = (pointer) })

CUresult
cuMemcpyHtoA_v2 (CUarray to, size_t offset_bytes, const void *from, size_t bytes)
{
  return copy_row (ARRAY_AT (to, offset_bytes), HOST_AT (from), bytes);
}
SIM_ALSO (cuMemcpyHtoA_v2_ptds, cuMemcpyHtoA_v2);

CUresult
cuMemcpyAtoH_v2 (void *to, CUarray from, size_t offset_bytes, size_t bytes)
{
  return copy_row (HOST_AT (to), ARRAY_AT (from, offset_bytes), bytes);
}
SIM_ALSO (cuMemcpyAtoH_v2_ptds, cuMemcpyAtoH_v2);

CUresult
cuMemcpyDtoA_v2 (CUarray to, size_t offset_bytes, CUdeviceptr from, size_t bytes)
{
  return copy_row (ARRAY_AT (to, offset_bytes), DEVICE_AT (from), bytes);
}
SIM_ALSO (cuMemcpyDtoA_v2_ptds, cuMemcpyDtoA_v2);

CUresult
cuMemcpyAtoD_v2 (CUdeviceptr to, CUarray from, size_t offset_bytes, size_t bytes)
{
  return copy_row (DEVICE_AT (to), ARRAY_AT (from, offset_bytes), bytes);
}
SIM_ALSO (cuMemcpyAtoD_v2_ptds, cuMemcpyAtoD_v2);

CUresult
cuMemcpyAtoA_v2 (CUarray to, size_t to_offset_bytes, CUarray from, size_t from_offset_bytes, size_t bytes)
{
  return copy_row (ARRAY_AT (to, to_offset_bytes), ARRAY_AT (from, from_offset_bytes), bytes);
}
SIM_ALSO (cuMemcpyAtoA_v2_ptds, cuMemcpyAtoA_v2);

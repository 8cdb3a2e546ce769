/* Copies and fills. Device pointers are addresses, so they are done by the CPU, and done when the call returns. */
#include "driver.h"
#include "memory.h"

#include <string.h>

#define REACHABLE(pointer, bytes)                                                                                      \
  do                                                                                                                   \
    {                                                                                                                  \
      if (!sim_memory_reachable ((pointer), (bytes)))                                                                  \
        return CUDA_ERROR_INVALID_VALUE;                                                                               \
    }                                                                                                                  \
  while (0)

static CUresult
move (void *destination, const void *source, size_t bytes)
{
  if (bytes > 0 && (destination == NULL || source == NULL))
    return CUDA_ERROR_INVALID_VALUE;
  if (bytes > 0)
    memmove (destination, source, bytes);
  return CUDA_SUCCESS;
}

static void *
at (CUdeviceptr pointer)
{
  return (void *) (uintptr_t) pointer;
}

CUresult
cuMemcpyHtoD_v2 (CUdeviceptr destination, const void *source, size_t bytes)
{
  SIM_ENTER_CONTEXT (NULL);
  REACHABLE (destination, bytes);
  return move (at (destination), source, bytes);
}
SIM_ALSO (cuMemcpyHtoD_v2_ptds, cuMemcpyHtoD_v2);

CUresult
cuMemcpyDtoH_v2 (void *destination, CUdeviceptr source, size_t bytes)
{
  SIM_ENTER_CONTEXT (NULL);
  REACHABLE (source, bytes);
  return move (destination, at (source), bytes);
}
SIM_ALSO (cuMemcpyDtoH_v2_ptds, cuMemcpyDtoH_v2);

CUresult
cuMemcpyDtoD_v2 (CUdeviceptr destination, CUdeviceptr source, size_t bytes)
{
  SIM_ENTER_CONTEXT (NULL);
  REACHABLE (source, bytes);
  REACHABLE (destination, bytes);
  return move (at (destination), at (source), bytes);
}
SIM_ALSO (cuMemcpyDtoD_v2_ptds, cuMemcpyDtoD_v2);

/* Either side may be any memory of the process: the device has pageable access. */
CUresult
cuMemcpy (CUdeviceptr destination, CUdeviceptr source, size_t bytes)
{
  SIM_ENTER_CONTEXT (NULL);
  return move (at (destination), at (source), bytes);
}
SIM_ALSO (cuMemcpy_ptds, cuMemcpy);

CUresult
cuMemcpyPeer (CUdeviceptr destination, CUcontext destination_context, CUdeviceptr source, CUcontext source_context,
              size_t bytes)
{
  (void) destination_context, (void) source_context;
  return cuMemcpyDtoD_v2 (destination, source, bytes);
}
SIM_ALSO (cuMemcpyPeer_ptds, cuMemcpyPeer);

#define ON_STREAM(stream)                                                                                              \
  do                                                                                                                   \
    {                                                                                                                  \
      CUresult usable = cuStreamQuery (stream);                                                                        \
      if (usable != CUDA_SUCCESS)                                                                                      \
        return usable;                                                                                                 \
    }                                                                                                                  \
  while (0)

CUresult
cuMemcpyHtoDAsync_v2 (CUdeviceptr destination, const void *source, size_t bytes, CUstream stream)
{
  ON_STREAM (stream);
  return cuMemcpyHtoD_v2 (destination, source, bytes);
}
SIM_ALSO (cuMemcpyHtoDAsync_v2_ptsz, cuMemcpyHtoDAsync_v2);

CUresult
cuMemcpyDtoHAsync_v2 (void *destination, CUdeviceptr source, size_t bytes, CUstream stream)
{
  ON_STREAM (stream);
  return cuMemcpyDtoH_v2 (destination, source, bytes);
}
SIM_ALSO (cuMemcpyDtoHAsync_v2_ptsz, cuMemcpyDtoHAsync_v2);

CUresult
cuMemcpyDtoDAsync_v2 (CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream)
{
  ON_STREAM (stream);
  return cuMemcpyDtoD_v2 (destination, source, bytes);
}
SIM_ALSO (cuMemcpyDtoDAsync_v2_ptsz, cuMemcpyDtoDAsync_v2);

CUresult
cuMemcpyAsync (CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream)
{
  ON_STREAM (stream);
  return cuMemcpy (destination, source, bytes);
}
SIM_ALSO (cuMemcpyAsync_ptsz, cuMemcpyAsync);

CUresult
cuMemcpyPeerAsync (CUdeviceptr destination, CUcontext destination_context, CUdeviceptr source,
                   CUcontext source_context, size_t bytes, CUstream stream)
{
  ON_STREAM (stream);
  return cuMemcpyPeer (destination, destination_context, source, source_context, bytes);
}
SIM_ALSO (cuMemcpyPeerAsync_ptsz, cuMemcpyPeerAsync);

CUresult
cuMemcpyBatchAsync_v2 (CUdeviceptr *destinations, CUdeviceptr *sources, size_t *sizes, size_t count, void *attributes,
                       size_t *attribute_indices, size_t attribute_count, CUstream stream)
{
  (void) attributes, (void) attribute_indices, (void) attribute_count;
  ON_STREAM (stream);
  if (destinations == NULL || sources == NULL || sizes == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; i++)
    {
      CUresult result = cuMemcpy (destinations[i], sources[i], sizes[i]);
      if (result != CUDA_SUCCESS)
        return result;
    }
  return CUDA_SUCCESS;
}
SIM_ALSO (cuMemcpyBatchAsync_v2_ptsz, cuMemcpyBatchAsync_v2);

/* The form of CUDA 12.8: it also tells which copy failed. */
CUresult
cuMemcpyBatchAsync (CUdeviceptr *destinations, CUdeviceptr *sources, size_t *sizes, size_t count, void *attributes,
                    size_t *attribute_indices, size_t attribute_count, size_t *failed_index, CUstream stream)
{
  if (failed_index != NULL)
    *failed_index = SIZE_MAX;
  return cuMemcpyBatchAsync_v2 (destinations, sources, sizes, count, attributes, attribute_indices, attribute_count,
                                stream);
}
SIM_ALSO (cuMemcpyBatchAsync_ptsz, cuMemcpyBatchAsync);

/* Rows of `width` elements of `element_bytes` bytes each, `pitch_bytes` apart. */
static CUresult
fill (CUdeviceptr destination, size_t pitch_bytes, unsigned value, size_t element_bytes, size_t width, size_t height)
{
  SIM_ENTER_CONTEXT (NULL);
  if (destination % element_bytes != 0 || width > SIZE_MAX / element_bytes)
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t row = 0; row < height; row++)
    {
      CUdeviceptr start = destination + row * pitch_bytes;
      REACHABLE (start, width * element_bytes);
      if (element_bytes == 1)
        memset (at (start), (int) value, width);
      for (size_t i = 0; element_bytes == 2 && i < width; i++)
        ((uint16_t *) at (start))[i] = (uint16_t) value;
      for (size_t i = 0; element_bytes == 4 && i < width; i++)
        ((uint32_t *) at (start))[i] = value;
    }
  return CUDA_SUCCESS;
}

/* The four forms of a fill: one row or many, at once or on a stream. */
#define FILLS(bits, type)                                                                                              \
  CUresult cuMemsetD##bits##_v2 (CUdeviceptr destination, type value, size_t count)                                    \
  {                                                                                                                    \
    return fill (destination, 0, value, bits / 8, count, 1);                                                           \
  }                                                                                                                    \
  SIM_ALSO (cuMemsetD##bits##_v2_ptds, cuMemsetD##bits##_v2);                                                          \
  CUresult cuMemsetD##bits##Async (CUdeviceptr destination, type value, size_t count, CUstream stream)                 \
  {                                                                                                                    \
    ON_STREAM (stream);                                                                                                \
    return fill (destination, 0, value, bits / 8, count, 1);                                                           \
  }                                                                                                                    \
  SIM_ALSO (cuMemsetD##bits##Async_ptsz, cuMemsetD##bits##Async);                                                      \
  CUresult cuMemsetD2D##bits##_v2 (CUdeviceptr destination, size_t pitch_bytes, type value, size_t width,              \
                                   size_t height)                                                                      \
  {                                                                                                                    \
    return fill (destination, pitch_bytes, value, bits / 8, width, height);                                            \
  }                                                                                                                    \
  SIM_ALSO (cuMemsetD2D##bits##_v2_ptds, cuMemsetD2D##bits##_v2);                                                      \
  CUresult cuMemsetD2D##bits##Async (CUdeviceptr destination, size_t pitch_bytes, type value, size_t width,            \
                                     size_t height, CUstream stream)                                                   \
  {                                                                                                                    \
    ON_STREAM (stream);                                                                                                \
    return fill (destination, pitch_bytes, value, bits / 8, width, height);                                            \
  }                                                                                                                    \
  SIM_ALSO (cuMemsetD2D##bits##Async_ptsz, cuMemsetD2D##bits##Async)

FILLS (8, unsigned char);
FILLS (16, unsigned short);
FILLS (32, unsigned int);

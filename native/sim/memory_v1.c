/* The forms of before CUDA 3.2: addresses and sizes have 32 bits. A 64-bit driver exports them to this day; what they allocate lies
   below 4 GiB. */
#include "driver.h"
#include "machine.h"
#include "memory.h"

#include <sys/mman.h>

/* A program may lie below; the other end keeps clear of what sanitizers put there. */
enum { LOWEST_ADDRESS = 0x10000000, PAST_HIGHEST_ADDRESS = 0x7fff0000 };

/* Address space for `bytes` below 4 GiB, or NULL. */
static void *
low_address (uint64_t bytes)
{
  const uint64_t page_bytes = sim_machine ()->page_bytes;
  bytes = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  for (uintptr_t base = LOWEST_ADDRESS; base + bytes <= PAST_HIGHEST_ADDRESS; base += page_bytes)
    {
      void *at = mmap ((void *) base, bytes, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
      if (at == (void *) base)
        return at;
      if (at != MAP_FAILED)
        munmap (at, bytes); /* a kernel before 4.17 takes the flag for a hint */
    }
  return NULL;
}

static unsigned int
saturated (size_t bytes)
{
  return bytes > UINT32_MAX ? UINT32_MAX : (unsigned int) bytes;
}

CUresult
cuDeviceTotalMem (unsigned int *bytes, CUdevice device)
{
  size_t total;
  CUresult result = cuDeviceTotalMem_v2 (bytes != NULL ? &total : NULL, device);
  if (result == CUDA_SUCCESS)
    *bytes = saturated (total);
  return result;
}

CUresult
cuMemGetInfo (unsigned int *free_bytes, unsigned int *total_bytes)
{
  size_t free_now, total;
  CUresult result = cuMemGetInfo_v2 (free_bytes != NULL ? &free_now : NULL, total_bytes != NULL ? &total : NULL);
  if (result == CUDA_SUCCESS)
    {
      *free_bytes = saturated (free_now);
      *total_bytes = saturated (total);
    }
  return result;
}

CUresult
cuMemAlloc (unsigned int *pointer, unsigned int bytes)
{
  CUcontext context;
  SIM_ENTER_CONTEXT (&context);
  if (pointer == NULL || bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  void *address = low_address (bytes);
  if (address == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  CUdeviceptr taken;
  CUresult result = sim_memory_take_at (bytes, SIM_DEVICE_MEMORY, context, address, &taken);
  if (result == CUDA_SUCCESS)
    *pointer = (unsigned int) taken;
  else
    munmap (address, (bytes + sim_machine ()->page_bytes - 1) / sim_machine ()->page_bytes * sim_machine ()->page_bytes);
  return result;
}

CUresult
cuMemAllocPitch (unsigned int *pointer, unsigned int *pitch, unsigned int width_bytes, unsigned int height,
                 unsigned int element_bytes)
{
  size_t bytes_per_row, bytes;
  if (pitch == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = sim_memory_pitch (width_bytes, height, element_bytes, &bytes_per_row, &bytes);
  if (result == CUDA_SUCCESS)
    result = bytes > UINT32_MAX ? CUDA_ERROR_OUT_OF_MEMORY : cuMemAlloc (pointer, (unsigned int) bytes);
  if (result == CUDA_SUCCESS)
    *pitch = (unsigned int) bytes_per_row;
  return result;
}

CUresult
cuMemFree (unsigned int pointer)
{
  return cuMemFree_v2 (pointer);
}

CUresult
cuMemGetAddressRange (unsigned int *base, unsigned int *bytes, unsigned int pointer)
{
  CUdeviceptr whole_base;
  size_t whole_bytes;
  CUresult result = cuMemGetAddressRange_v2 (&whole_base, &whole_bytes, pointer);
  if (result == CUDA_SUCCESS && base != NULL)
    *base = (unsigned int) whole_base;
  if (result == CUDA_SUCCESS && bytes != NULL)
    *bytes = saturated (whole_bytes);
  return result;
}

CUresult
cuMemAllocHost (void **pointer, unsigned int bytes)
{
  return cuMemAllocHost_v2 (pointer, bytes);
}

struct array_descriptor_v1 {
  unsigned int Width, Height;
  int Format;
  unsigned int NumChannels;
};

CUresult
cuArrayCreate (CUarray *array, const void *shape)
{
  const struct array_descriptor_v1 *old = shape;
  return cuArrayCreate_v2 (array, old == NULL ? NULL
                                              : &(CUDA_ARRAY_DESCRIPTOR){ .Width = old->Width,
                                                                          .Height = old->Height,
                                                                          .Format = old->Format,
                                                                          .NumChannels = old->NumChannels });
}

struct array3d_descriptor_v1 {
  unsigned int Width, Height, Depth;
  int Format;
  unsigned int NumChannels, Flags;
};

CUresult
cuArray3DCreate (CUarray *array, const void *shape)
{
  const struct array3d_descriptor_v1 *old = shape;
  return cuArray3DCreate_v2 (array, old == NULL ? NULL
                                                : &(CUDA_ARRAY3D_DESCRIPTOR){ .Width = old->Width,
                                                                              .Height = old->Height,
                                                                              .Depth = old->Depth,
                                                                              .Format = old->Format,
                                                                              .NumChannels = old->NumChannels,
                                                                              .Flags = old->Flags });
}

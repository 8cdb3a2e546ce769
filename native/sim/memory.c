/* Memory taken by one call and freed by one call: device, pinned host, managed. */
#include "memory.h"

#include "context.h"
#include "driver.h"
#include "machine.h"
#include "pages.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

struct sim_ranges sim_memory;

CUresult
sim_memory_error (int status)
{
  return status == ENOMEM ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_UNKNOWN;
}

bool
sim_memory_add (const struct sim_range *range)
{
  sim_lock ();
  bool added = sim_ranges_add (&sim_memory, range);
  sim_unlock ();
  return added;
}

bool
sim_memory_remove (CUdeviceptr pointer, unsigned kinds, struct sim_range *removed)
{
  sim_lock ();
  struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
  bool found = range != NULL && range->base == pointer && (SIM_KIND (range->kind) & kinds) != 0;
  if (found)
    {
      *removed = *range;
      sim_ranges_remove (&sim_memory, range);
    }
  sim_unlock ();
  return found;
}

CUresult
sim_memory_take_at (uint64_t bytes, enum sim_memory_kind kind, void *owner, void *address, CUdeviceptr *pointer)
{
  struct sim_pages pages;
  if (sim_pages_take (bytes, &pages) != 0)
    return sim_memory_error (errno);
  void *at = sim_pages_map (&pages, pages.bytes, address, PROT_READ | PROT_WRITE);
  int status = errno;
  struct sim_range range = { .base = (uintptr_t) at,
                             .bytes = bytes,
                             .kind = kind,
                             .owner = owner,
                             .pages_offset = pages.offset,
                             .pages_bytes = pages.bytes };
  if (at != NULL && sim_memory_add (&range))
    {
      *pointer = (CUdeviceptr) at;
      return CUDA_SUCCESS;
    }
  if (at != NULL)
    munmap (at, pages.bytes);
  sim_pages_give (&pages);
  return sim_memory_error (at != NULL ? ENOMEM : status);
}

CUresult
sim_memory_take (uint64_t bytes, enum sim_memory_kind kind, void *owner, CUdeviceptr *pointer)
{
  return sim_memory_take_at (bytes, kind, owner, NULL, pointer);
}

CUresult
sim_memory_give (CUdeviceptr pointer)
{
  struct sim_range range;
  if (!sim_memory_remove (pointer,
                          SIM_KIND (SIM_DEVICE_MEMORY) | SIM_KIND (SIM_POOL_MEMORY) | SIM_KIND (SIM_GRAPH_MEMORY)
                              | SIM_KIND (SIM_EXTERNAL_MEMORY) | SIM_KIND (SIM_MANAGED_MEMORY),
                          &range))
    return CUDA_ERROR_INVALID_VALUE;
  if (range.kind == SIM_POOL_MEMORY)
    sim_pool_freed (&range);
  else if (range.kind == SIM_GRAPH_MEMORY)
    sim_graph_freed (&range);
  else
    munmap ((void *) range.base, range.pages_bytes);
  if (range.kind == SIM_DEVICE_MEMORY)
    sim_pages_give (&(struct sim_pages){ .offset = range.pages_offset, .bytes = range.pages_bytes });
  return CUDA_SUCCESS;
}

void
sim_memory_end_context (CUcontext context)
{
  for (;;)
    {
      CUdeviceptr pointer = 0;
      sim_lock ();
      for (size_t i = 0; i < sim_memory.count && pointer == 0; i++)
        if (sim_memory.items[i].kind == SIM_DEVICE_MEMORY && sim_memory.items[i].owner == context)
          pointer = sim_memory.items[i].base;
      sim_unlock ();
      if (pointer == 0)
        return;
      sim_memory_give (pointer);
    }
}

bool
sim_memory_reachable (CUdeviceptr pointer, uint64_t bytes)
{
  sim_lock ();
  while (bytes > 0)
    {
      const struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
      if (range == NULL || (range->kind == SIM_MAPPED_MEMORY && range->flags == CU_MEM_ACCESS_FLAGS_PROT_NONE))
        break;
      uint64_t here = range->base + range->bytes - pointer;
      here = here < bytes ? here : bytes;
      pointer += here;
      bytes -= here;
    }
  sim_unlock ();
  return bytes == 0;
}

CUresult
cuMemGetInfo_v2 (size_t *free_bytes, size_t *total_bytes)
{
  SIM_ENTER_CONTEXT (NULL);
  if (free_bytes == NULL || total_bytes == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *total_bytes = sim_machine ()->total_bytes;
  *free_bytes = sim_machine_free (sim_pages_own ());
  return CUDA_SUCCESS;
}

CUresult
cuMemAlloc_v2 (CUdeviceptr *pointer, size_t bytes)
{
  CUcontext context;
  SIM_ENTER_CONTEXT (&context);
  if (pointer == NULL || bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  context = sim_context_of_memory (context);
  return context != NULL ? sim_memory_take (bytes, SIM_DEVICE_MEMORY, context, pointer) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult
sim_memory_pitch (size_t width_bytes, size_t height, unsigned int element_bytes, size_t *pitch, size_t *bytes)
{
  enum { PITCH_ALIGNMENT = 512 };
  if ((element_bytes != 4 && element_bytes != 8 && element_bytes != 16) || width_bytes > SIZE_MAX - PITCH_ALIGNMENT)
    return CUDA_ERROR_INVALID_VALUE;
  *pitch = (width_bytes + PITCH_ALIGNMENT - 1) / PITCH_ALIGNMENT * PITCH_ALIGNMENT;
  return __builtin_mul_overflow (*pitch, height, bytes) ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

CUresult
cuMemAllocPitch_v2 (CUdeviceptr *pointer, size_t *pitch, size_t width_bytes, size_t height, unsigned int element_bytes)
{
  size_t bytes_per_row, bytes;
  if (pitch == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  CUresult result = sim_memory_pitch (width_bytes, height, element_bytes, &bytes_per_row, &bytes);
  if (result == CUDA_SUCCESS)
    result = cuMemAlloc_v2 (pointer, bytes);
  if (result == CUDA_SUCCESS)
    *pitch = bytes_per_row;
  return result;
}

CUresult
cuMemFree_v2 (CUdeviceptr pointer)
{
  SIM_ENTER ();
  CUresult result = pointer == 0 ? CUDA_SUCCESS : sim_memory_give (pointer);
  if (result == CUDA_SUCCESS)
    sim_pools_settle (); /* freeing synchronises */
  return result;
}

CUresult
cuMemGetAddressRange_v2 (CUdeviceptr *base, size_t *bytes, CUdeviceptr pointer)
{
  SIM_ENTER_CONTEXT (NULL);
  sim_lock ();
  const struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
  if (range != NULL && base != NULL)
    *base = range->base;
  if (range != NULL && bytes != NULL)
    *bytes = range->bytes;
  sim_unlock ();
  return range != NULL ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

/* Pinned host and managed memory are ordinary pages: the memory cgroup sees them, as measured on the real driver. */
static CUresult
take_ordinary (size_t bytes, enum sim_memory_kind kind, unsigned flags, void **pointer)
{
  if (pointer == NULL || bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  size_t page = (size_t) sysconf (_SC_PAGESIZE);
  if (bytes > SIZE_MAX - page)
    return CUDA_ERROR_OUT_OF_MEMORY;
  size_t mapped_bytes = (bytes + page - 1) / page * page;
  int populate = kind == SIM_HOST_MEMORY ? MAP_POPULATE : 0;
  void *at = mmap (NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | populate, -1, 0);
  if (at == MAP_FAILED)
    return CUDA_ERROR_OUT_OF_MEMORY;
  struct sim_range range
      = { .base = (uintptr_t) at, .bytes = bytes, .kind = kind, .flags = flags, .pages_bytes = mapped_bytes };
  if (!sim_memory_add (&range))
    {
      munmap (at, mapped_bytes);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  *pointer = at;
  return CUDA_SUCCESS;
}

CUresult
cuMemHostAlloc (void **pointer, size_t bytes, unsigned int flags)
{
  SIM_ENTER_CONTEXT (NULL);
  return take_ordinary (bytes, SIM_HOST_MEMORY, flags, pointer);
}

CUresult
cuMemAllocHost_v2 (void **pointer, size_t bytes)
{
  return cuMemHostAlloc (pointer, bytes, 0);
}

CUresult
cuMemFreeHost (void *pointer)
{
  SIM_ENTER ();
  struct sim_range range;
  if (pointer == NULL)
    return CUDA_SUCCESS;
  if (!sim_memory_remove ((CUdeviceptr) (uintptr_t) pointer, SIM_KIND (SIM_HOST_MEMORY), &range))
    return CUDA_ERROR_INVALID_VALUE;
  munmap (pointer, range.pages_bytes);
  return CUDA_SUCCESS;
}

CUresult
cuMemAllocManaged (CUdeviceptr *pointer, size_t bytes, unsigned int flags)
{
  enum { ATTACH_GLOBAL = 1, ATTACH_HOST = 2 };
  SIM_ENTER_CONTEXT (NULL);
  if (flags != ATTACH_GLOBAL && flags != ATTACH_HOST)
    return CUDA_ERROR_INVALID_VALUE;
  return take_ordinary (bytes, SIM_MANAGED_MEMORY, flags, (void **) pointer);
}

CUresult
cuMemHostRegister_v2 (void *pointer, size_t bytes, unsigned int flags)
{
  SIM_ENTER_CONTEXT (NULL);
  if (pointer == NULL || bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_range range
      = { .base = (uintptr_t) pointer, .bytes = bytes, .kind = SIM_REGISTERED_MEMORY, .flags = flags };
  sim_lock ();
  bool known = sim_ranges_overlap (&sim_memory, range.base, bytes) != NULL;
  bool added = !known && sim_ranges_add (&sim_memory, &range);
  sim_unlock ();
  if (known)
    return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  return added ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
SIM_ALSO (cuMemHostRegister, cuMemHostRegister_v2);

CUresult
cuMemHostUnregister (void *pointer)
{
  SIM_ENTER ();
  struct sim_range range;
  return sim_memory_remove ((CUdeviceptr) (uintptr_t) pointer, SIM_KIND (SIM_REGISTERED_MEMORY), &range)
             ? CUDA_SUCCESS
             : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
}

CUresult
cuMemHostGetDevicePointer_v2 (CUdeviceptr *device_pointer, void *pointer, unsigned int flags)
{
  SIM_ENTER_CONTEXT (NULL);
  if (device_pointer == NULL || flags != 0 || !sim_memory_reachable ((CUdeviceptr) (uintptr_t) pointer, 1))
    return CUDA_ERROR_INVALID_VALUE;
  *device_pointer = (CUdeviceptr) (uintptr_t) pointer;
  return CUDA_SUCCESS;
}

CUresult
cuMemHostGetFlags (unsigned int *flags, void *pointer)
{
  SIM_ENTER_CONTEXT (NULL);
  if (flags == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  const struct sim_range *range = sim_ranges_find (&sim_memory, (uintptr_t) pointer);
  bool is_host = range != NULL && (range->kind == SIM_HOST_MEMORY || range->kind == SIM_REGISTERED_MEMORY);
  if (is_host)
    *flags = range->flags;
  sim_unlock ();
  return is_host ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* Virtual memory management: address space, allocations and mappings, each with a life of its own.
   An allocation lives while its handle or one of its mappings does. */
#include "driver.h"
#include "machine.h"
#include "memory.h"
#include "pages.h"

#include <errno.h>
#include <sys/mman.h>

struct allocation {
  struct sim_pages pages;
  CUmemAllocationProp properties;
  unsigned handles;  /* cuMemCreate and cuMemRetainAllocationHandle, less cuMemRelease */
  unsigned mappings;
};

static struct sim_ranges reservations; /* under sim_lock */

static bool
whole_pages (uint64_t bytes)
{
  return bytes != 0 && bytes % sim_machine ()->page_bytes == 0;
}

static bool
on_device (const CUmemLocation *location)
{
  return location->type == CU_MEM_LOCATION_TYPE_DEVICE && location->id == 0;
}

CUresult
cuMemGetAllocationGranularity (size_t *bytes, const CUmemAllocationProp *properties, int option)
{
  SIM_ENTER ();
  if (bytes == NULL || properties == NULL || option < 0 || option > 1 || !on_device (&properties->location))
    return CUDA_ERROR_INVALID_VALUE;
  *bytes = sim_machine ()->page_bytes;
  return CUDA_SUCCESS;
}

/* Address space only: nothing is taken, and touching it is an error. */
static void *
reserve (void *address, uint64_t bytes, int fixed)
{
  void *at = mmap (address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
  return at == MAP_FAILED ? NULL : at;
}

CUresult
cuMemAddressReserve (CUdeviceptr *pointer, size_t bytes, size_t alignment, CUdeviceptr address, unsigned long long flags)
{
  SIM_ENTER ();
  if (alignment < sim_machine ()->page_bytes)
    alignment = sim_machine ()->page_bytes;
  if (pointer == NULL || !whole_pages (bytes) || (alignment & (alignment - 1)) != 0 || flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (bytes > SIZE_MAX - alignment)
    return CUDA_ERROR_OUT_OF_MEMORY;
  char *loose = reserve ((void *) (uintptr_t) address, bytes + alignment, 0);
  if (loose == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  char *at = (char *) (((uintptr_t) loose + alignment - 1) & ~(uintptr_t) (alignment - 1));
  if (at > loose)
    munmap (loose, (size_t) (at - loose));
  munmap (at + bytes, (size_t) (loose + alignment - at));
  sim_lock ();
  bool added = sim_ranges_add (&reservations, &(struct sim_range){ .base = (uintptr_t) at, .bytes = bytes });
  sim_unlock ();
  if (!added)
    {
      munmap (at, bytes);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  *pointer = (CUdeviceptr) (uintptr_t) at;
  return CUDA_SUCCESS;
}

CUresult
cuMemAddressFree (CUdeviceptr pointer, size_t bytes)
{
  SIM_ENTER ();
  sim_lock ();
  struct sim_range *range = sim_ranges_find (&reservations, pointer);
  bool whole = range != NULL && range->base == pointer && range->bytes == bytes
               && sim_ranges_overlap (&sim_memory, pointer, bytes) == NULL;
  if (whole)
    {
      sim_ranges_remove (&reservations, range);
      munmap ((void *) (uintptr_t) pointer, bytes);
    }
  sim_unlock ();
  return whole ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static struct allocation *
allocation_of (CUmemGenericAllocationHandle handle)
{
  struct allocation *allocation = (struct allocation *) (uintptr_t) handle;
  return sim_handle_is (SIM_ALLOCATION, allocation) && allocation->handles > 0 ? allocation : NULL;
}

/* Ends the allocation when nothing refers to it any more. Under sim_lock. */
static void
settle (struct allocation *allocation)
{
  if (allocation->handles > 0 || allocation->mappings > 0)
    return;
  sim_pages_give (&allocation->pages);
  sim_handle_free (allocation);
}

CUresult
cuMemCreate (CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
             unsigned long long flags)
{
  SIM_ENTER ();
  if (handle == NULL || properties == NULL || !whole_pages (bytes) || flags != 0
      || properties->type != CU_MEM_ALLOCATION_TYPE_PINNED || !on_device (&properties->location))
    return CUDA_ERROR_INVALID_VALUE;
  const bool shared = properties->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  if (properties->requestedHandleTypes != 0 && !shared)
    return CUDA_ERROR_NOT_SUPPORTED;
  struct allocation *allocation = sim_handle_new (SIM_ALLOCATION, sizeof *allocation);
  if (allocation == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  if ((shared ? sim_pages_take_file (bytes, &allocation->pages) : sim_pages_take (bytes, &allocation->pages)) != 0)
    {
      int status = errno;
      sim_handle_free (allocation);
      return sim_memory_error (status);
    }
  allocation->properties = *properties;
  allocation->handles = 1;
  *handle = (CUmemGenericAllocationHandle) (uintptr_t) allocation;
  return CUDA_SUCCESS;
}

CUresult
cuMemExportToShareableHandle (void *shareable, CUmemGenericAllocationHandle handle, int type, unsigned long long flags)
{
  SIM_ENTER ();
  if (shareable == NULL || flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  const struct allocation *allocation = allocation_of (handle);
  bool shared = allocation != NULL && type == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
                && allocation->properties.requestedHandleTypes == type;
  int file = shared ? sim_pages_lend (&allocation->pages) : -1;
  sim_unlock ();
  if (!shared)
    return CUDA_ERROR_INVALID_VALUE;
  if (file < 0)
    return CUDA_ERROR_UNKNOWN;
  *(int *) shareable = file;
  return CUDA_SUCCESS;
}

/* The memory stays the exporter's; it lives as long as one of both holds it. The descriptor stays the caller's. */
CUresult
cuMemImportFromShareableHandle (CUmemGenericAllocationHandle *handle, void *shareable, int type)
{
  SIM_ENTER ();
  if (handle == NULL || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
    return CUDA_ERROR_INVALID_VALUE;
  struct allocation *allocation = sim_handle_new (SIM_ALLOCATION, sizeof *allocation);
  if (allocation == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  if (sim_pages_borrow ((int) (intptr_t) shareable, &allocation->pages) != 0)
    {
      sim_handle_free (allocation);
      return CUDA_ERROR_INVALID_VALUE;
    }
  allocation->properties
      = (CUmemAllocationProp){ .type = CU_MEM_ALLOCATION_TYPE_PINNED,
                               .requestedHandleTypes = type,
                               .location = { .type = CU_MEM_LOCATION_TYPE_DEVICE } };
  allocation->handles = 1;
  *handle = (CUmemGenericAllocationHandle) (uintptr_t) allocation;
  return CUDA_SUCCESS;
}

CUresult
cuMemRelease (CUmemGenericAllocationHandle handle)
{
  SIM_ENTER ();
  sim_lock ();
  struct allocation *allocation = allocation_of (handle);
  if (allocation != NULL)
    {
      allocation->handles--;
      settle (allocation);
    }
  sim_unlock ();
  return allocation != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
cuMemRetainAllocationHandle (CUmemGenericAllocationHandle *handle, void *address)
{
  SIM_ENTER ();
  if (handle == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  const struct sim_range *range = sim_ranges_find (&sim_memory, (uintptr_t) address);
  bool mapped = range != NULL && range->kind == SIM_MAPPED_MEMORY;
  if (mapped)
    {
      ((struct allocation *) range->owner)->handles++;
      *handle = (CUmemGenericAllocationHandle) (uintptr_t) range->owner;
    }
  sim_unlock ();
  return mapped ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
cuMemGetAllocationPropertiesFromHandle (CUmemAllocationProp *properties, CUmemGenericAllocationHandle handle)
{
  SIM_ENTER ();
  sim_lock ();
  const struct allocation *allocation = allocation_of (handle);
  if (allocation != NULL && properties != NULL)
    *properties = allocation->properties;
  sim_unlock ();
  return allocation != NULL && properties != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

void *
sim_allocation_hold (CUmemGenericAllocationHandle handle, uint64_t bytes)
{
  enum { FOR_TILES = 1 }; /* CU_MEM_CREATE_USAGE_TILE_POOL */
  struct allocation *allocation = allocation_of (handle);
  if (allocation == NULL || allocation->properties.usage != FOR_TILES || bytes > allocation->pages.bytes)
    return NULL;
  allocation->mappings++;
  return allocation;
}

void
sim_allocation_drop (void *allocation)
{
  ((struct allocation *) allocation)->mappings--;
  settle (allocation);
}

static CUresult
map_locked (CUdeviceptr pointer, size_t bytes, CUmemGenericAllocationHandle handle)
{
  struct allocation *allocation = allocation_of (handle);
  const struct sim_range *reserved = sim_ranges_find (&reservations, pointer);
  if (allocation == NULL || bytes > allocation->pages.bytes || reserved == NULL
      || bytes > reserved->base + reserved->bytes - pointer
      || sim_ranges_overlap (&sim_memory, pointer, bytes) != NULL)
    return CUDA_ERROR_INVALID_VALUE;
  void *at = (void *) (uintptr_t) pointer;
  if (sim_pages_map (&allocation->pages, bytes, at, PROT_NONE) == NULL)
    return sim_memory_error (errno);
  struct sim_range range = { .base = pointer, .bytes = bytes, .kind = SIM_MAPPED_MEMORY, .owner = allocation };
  if (!sim_ranges_add (&sim_memory, &range))
    {
      reserve (at, bytes, MAP_FIXED);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  allocation->mappings++;
  return CUDA_SUCCESS;
}

CUresult
cuMemMap (CUdeviceptr pointer, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle, unsigned long long flags)
{
  SIM_ENTER ();
  /* The driver, too, takes no other offset than 0 (documented as of CUDA 13). */
  if (!whole_pages (bytes) || pointer % sim_machine ()->page_bytes != 0 || offset != 0 || flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  CUresult result = map_locked (pointer, bytes, handle);
  sim_unlock ();
  return result;
}

/* True if [pointer, pointer + bytes) is filled, without a gap, by whole mappings. Under sim_lock. */
static bool
whole_mappings (CUdeviceptr pointer, uint64_t bytes)
{
  while (bytes > 0)
    {
      const struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
      if (range == NULL || range->base != pointer || range->bytes > bytes || range->kind != SIM_MAPPED_MEMORY)
        return false;
      pointer += range->bytes;
      bytes -= range->bytes;
    }
  return true;
}

CUresult
cuMemUnmap (CUdeviceptr pointer, size_t bytes)
{
  SIM_ENTER ();
  if (bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  bool whole = whole_mappings (pointer, bytes);
  for (uint64_t left = bytes; whole && left > 0;)
    {
      struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
      struct allocation *allocation = range->owner;
      reserve ((void *) range->base, range->bytes, MAP_FIXED);
      pointer += range->bytes;
      left -= range->bytes;
      sim_ranges_remove (&sim_memory, range);
      allocation->mappings--;
      settle (allocation);
    }
  sim_unlock ();
  return whole ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static int
protection_of (int flags)
{
  return flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE ? PROT_READ | PROT_WRITE
         : flags == CU_MEM_ACCESS_FLAGS_PROT_READ    ? PROT_READ
                                                     : PROT_NONE;
}

CUresult
cuMemSetAccess (CUdeviceptr pointer, size_t bytes, const CUmemAccessDesc *access, size_t count)
{
  SIM_ENTER ();
  if (access == NULL || count != 1 || !on_device (&access->location) || !whole_pages (bytes))
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  bool whole = whole_mappings (pointer, bytes);
  for (uint64_t left = bytes; whole && left > 0;)
    {
      struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
      mprotect ((void *) range->base, range->bytes, protection_of (access->flags));
      range->flags = (unsigned) access->flags;
      pointer += range->bytes;
      left -= range->bytes;
    }
  sim_unlock ();
  return whole ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
cuMemGetAccess (unsigned long long *flags, const CUmemLocation *location, CUdeviceptr pointer)
{
  SIM_ENTER ();
  if (flags == NULL || location == NULL || !on_device (location))
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  const struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
  bool mapped = range != NULL && range->kind == SIM_MAPPED_MEMORY;
  if (mapped)
    *flags = range->flags;
  sim_unlock ();
  return mapped ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

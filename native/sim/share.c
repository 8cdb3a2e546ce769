/* Memory of other processes: IPC handles of plain allocations, and memory that came as a file descriptor. It is theirs:
   nothing is taken from the machine for it here. */
#include "driver.h"
#include "machine.h"
#include "memory.h"
#include "pages.h"
#include "pool.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Maps pages of another process's file. */
static CUresult
map_of_other (const struct sim_pages_place *place, const struct sim_pages *pages, uint64_t bytes, int kind,
              CUdeviceptr *pointer)
{
  void *at = pages->bytes > 0 ? sim_pages_map_at (place, pages) : NULL;
  if (at == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_range range = { .base = (uintptr_t) at, .bytes = bytes, .kind = kind, .pages_bytes = pages->bytes };
  if (!sim_memory_add (&range))
    {
      munmap (at, pages->bytes);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  *pointer = (CUdeviceptr) (uintptr_t) at;
  return CUDA_SUCCESS;
}

/* What is in the 64 bytes of an IPC handle. */
struct ipc_content {
  struct sim_pages_place place;
  uint64_t offset;
  uint64_t bytes;
  uint64_t pages_bytes;
};
_Static_assert (sizeof (struct ipc_content) <= sizeof (CUipcMemHandle), "an IPC handle has 64 bytes");

CUresult
cuIpcGetMemHandle (CUipcMemHandle *handle, CUdeviceptr pointer)
{
  SIM_ENTER ();
  struct ipc_content content;
  if (handle == NULL || !sim_pages_place (&content.place))
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  const struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
  /* Of the whole allocation, wherever in it the pointer is; what has handles of another kind is not for these. */
  bool device = range != NULL && range->kind == SIM_DEVICE_MEMORY;
  if (device)
    {
      content.offset = range->pages_offset;
      content.bytes = range->bytes;
      content.pages_bytes = range->pages_bytes;
    }
  sim_unlock ();
  if (!device)
    return CUDA_ERROR_INVALID_VALUE;
  memset (handle, 0, sizeof *handle);
  memcpy (handle, &content, sizeof content);
  return CUDA_SUCCESS;
}

CUresult
cuIpcOpenMemHandle_v2 (CUdeviceptr *pointer, CUipcMemHandle handle, unsigned int flags)
{
  enum { LAZY_ENABLE_PEER_ACCESS = 1 };
  SIM_ENTER_CONTEXT (NULL);
  struct ipc_content content;
  memcpy (&content, &handle, sizeof content);
  if (pointer == NULL || flags != LAZY_ENABLE_PEER_ACCESS || content.pages_bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (content.place.pid == getpid ())
    return CUDA_ERROR_INVALID_CONTEXT; /* not by the process that made it, as with the driver */
  const struct sim_pages pages = { .offset = content.offset, .bytes = content.pages_bytes };
  return map_of_other (&content.place, &pages, content.bytes, SIM_IPC_MEMORY, pointer);
}
SIM_ALSO (cuIpcOpenMemHandle, cuIpcOpenMemHandle_v2);

CUresult
cuIpcCloseMemHandle (CUdeviceptr pointer)
{
  SIM_ENTER ();
  struct sim_range range;
  if (!sim_memory_remove (pointer, SIM_KIND (SIM_IPC_MEMORY), &range))
    return CUDA_ERROR_INVALID_VALUE;
  munmap ((void *) range.base, range.pages_bytes);
  return CUDA_SUCCESS;
}

/* A pool is shared as a file that says whose it is; each pointer of it as what is in the file of that process. */
CUresult
cuMemPoolExportToShareableHandle (void *shareable, CUmemoryPool handle, int type, unsigned long long flags)
{
  SIM_ENTER ();
  struct sim_pages_place place;
  const struct sim_pool *pool = handle;
  if (shareable == NULL || flags != 0 || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
      || !sim_handle_is (SIM_POOL, handle) || !pool->shareable || pool->imported || !sim_pages_place (&place))
    return CUDA_ERROR_INVALID_VALUE;
  int file = memfd_create ("spark-sim-pool", MFD_CLOEXEC);
  if (file < 0 || write (file, &place, sizeof place) != (ssize_t) sizeof place)
    {
      if (file >= 0)
        close (file);
      return CUDA_ERROR_UNKNOWN;
    }
  *(int *) shareable = file;
  return CUDA_SUCCESS;
}

CUresult
cuMemPoolImportFromShareableHandle (CUmemoryPool *handle, void *shareable, int type, unsigned long long flags)
{
  SIM_ENTER ();
  struct sim_pages_place place;
  if (handle == NULL || flags != 0 || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
      || pread ((int) (intptr_t) shareable, &place, sizeof place, 0) != (ssize_t) sizeof place)
    return CUDA_ERROR_INVALID_VALUE;
  struct sim_pool *pool = sim_pool_new (NULL);
  if (pool == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  pool->imported = true;
  pool->place = place;
  *handle = pool;
  return CUDA_SUCCESS;
}

struct pool_pointer {
  uint64_t offset;
  uint64_t bytes;
  uint64_t pages_bytes;
};
_Static_assert (sizeof (struct pool_pointer) <= sizeof (CUmemPoolPtrExportData), "a pool's pointer has 64 bytes");

CUresult
cuMemPoolExportPointer (CUmemPoolPtrExportData *data, CUdeviceptr pointer)
{
  SIM_ENTER ();
  if (data == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  const struct sim_range *range = sim_ranges_find (&sim_memory, pointer);
  bool pooled = range != NULL && range->base == pointer && range->kind == SIM_POOL_MEMORY
                && ((struct sim_pool *) range->owner)->shareable;
  if (pooled)
    {
      const struct pool_pointer content
          = { .offset = range->pages_offset, .bytes = range->bytes, .pages_bytes = range->pages_bytes };
      memset (data, 0, sizeof *data);
      memcpy (data, &content, sizeof content);
    }
  sim_unlock ();
  return pooled ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
cuMemPoolImportPointer (CUdeviceptr *pointer, CUmemoryPool handle, CUmemPoolPtrExportData *data)
{
  SIM_ENTER ();
  const struct sim_pool *pool = handle;
  if (pointer == NULL || data == NULL || !sim_handle_is (SIM_POOL, handle) || !pool->imported)
    return CUDA_ERROR_INVALID_VALUE;
  struct pool_pointer content;
  memcpy (&content, data, sizeof content);
  const struct sim_pages pages = { .offset = content.offset, .bytes = content.pages_bytes };
  return map_of_other (&pool->place, &pages, content.bytes, SIM_EXTERNAL_MEMORY, pointer);
}

struct external {
  struct sim_pages pages;
  uint64_t bytes; /* as its importer says */
};

CUresult
cuImportExternalMemory (CUexternalMemory *memory, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *description)
{
  enum { OPAQUE_FD = 1 };
  SIM_ENTER_CONTEXT (NULL);
  if (memory == NULL || description == NULL || description->size == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (description->type != OPAQUE_FD)
    return CUDA_ERROR_NOT_SUPPORTED;
  struct external *made = sim_handle_new (SIM_EXTERNAL, sizeof *made);
  if (made == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  bool borrowed = sim_pages_borrow (description->handle.fd, &made->pages) == 0;
  if (!borrowed || made->pages.bytes < description->size)
    {
      if (borrowed)
        sim_pages_give (&made->pages);
      sim_handle_free (made);
      return CUDA_ERROR_INVALID_VALUE;
    }
  close (description->handle.fd); /* the driver's from here on, as documented */
  made->bytes = description->size;
  *memory = made;
  return CUDA_SUCCESS;
}

CUresult
cuExternalMemoryGetMappedBuffer (CUdeviceptr *pointer, CUexternalMemory memory,
                                 const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *description)
{
  SIM_ENTER_CONTEXT (NULL);
  if (pointer == NULL || description == NULL || description->flags != 0 || !sim_handle_is (SIM_EXTERNAL, memory))
    return CUDA_ERROR_INVALID_VALUE;
  const struct external *external = memory;
  if (description->size == 0 || description->offset > external->bytes
      || description->size > external->bytes - description->offset)
    return CUDA_ERROR_INVALID_VALUE;
  /* Mappings begin on pages of the machine; so must buffers. */
  const uint64_t page_bytes = sim_machine ()->page_bytes;
  if (description->offset % page_bytes != 0)
    return CUDA_ERROR_NOT_SUPPORTED;
  struct sim_pages part = external->pages;
  part.offset = description->offset;
  part.bytes = (description->size + page_bytes - 1) / page_bytes * page_bytes;
  void *at = sim_pages_map (&part, part.bytes, NULL, PROT_READ | PROT_WRITE);
  if (at == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  struct sim_range range = { .base = (uintptr_t) at,
                             .bytes = description->size,
                             .kind = SIM_EXTERNAL_MEMORY,
                             .owner = memory,
                             .pages_bytes = part.bytes };
  if (!sim_memory_add (&range))
    {
      munmap (at, part.bytes);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
  *pointer = (CUdeviceptr) (uintptr_t) at;
  return CUDA_SUCCESS;
}

CUresult
cuDestroyExternalMemory (CUexternalMemory memory)
{
  SIM_ENTER ();
  if (!sim_handle_is (SIM_EXTERNAL, memory))
    return CUDA_ERROR_INVALID_HANDLE;
  sim_pages_give (&((struct external *) memory)->pages);
  sim_handle_free (memory);
  return CUDA_SUCCESS;
}

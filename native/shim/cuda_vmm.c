/* Physical memory by handle (cuMemCreate), mapped into reserved addresses. It goes back to the driver when the last of its handle
   references and its mappings is gone, in whatever order: PyTorch's expandable segments release the handle right after mapping, or
   unmap first and release then.

   A handle's value may be given out anew while old memory is still mapped, so memory is told apart by records of our own (vmm_table.h).
   The calls that end or map something are made with the lock held: a value that the driver gives out again is then never seen too early. */
#include "call.h"
#include "cuda_abi.h"
#include "cuda_room.h"

/* ---- handles ---- */

SPARK_CUDA_HOOK (cuMemCreate,
                 (CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
                  unsigned long long flags),
                 (handle, bytes, properties, flags))
{
  struct spark_process *process = call->process;
  call->bytes = bytes;
  if (handle == NULL || bytes == 0)
    return real (handle, bytes, properties, flags);
  /* Not rounded: the driver takes whole granules only and refuses anything else. */
  if (!spark_take_room (call, bytes))
    return SPARK_CUDA_ERROR_OUT_OF_MEMORY;
  CUmemGenericAllocationHandle taken = 0;
  CUresult result = real (&taken, bytes, properties, flags);
  if (result != SPARK_CUDA_SUCCESS)
    {
      spark_budget_release (&process->budget, bytes);
      return result;
    }
  spark_lock_take (&process->vmm_lock);
  uint64_t freed = spark_vmm_create (&process->vmm, taken, bytes);
  spark_lock_give (&process->vmm_lock);
  spark_budget_release (&process->budget, freed);
  spark_budget_commit (&process->budget);
  *handle = taken;
  return result;
}

SPARK_CUDA_HOOK (cuMemRetainAllocationHandle, (CUmemGenericAllocationHandle *handle, void *address),
                 (handle, address))
{
  CUresult result = real (handle, address);
  struct spark_process *process = call->process;
  if (result != SPARK_CUDA_SUCCESS)
    return result;
  spark_lock_take (&process->vmm_lock);
  spark_vmm_retain (&process->vmm, *handle, (uint64_t) (uintptr_t) address);
  spark_lock_give (&process->vmm_lock);
  return result;
}

/* Memory of another process is counted there. One's own, exported and imported again, gets a further reference where the driver gives
   out the handle that it has already. */
SPARK_CUDA_HOOK (cuMemImportFromShareableHandle, (CUmemGenericAllocationHandle *handle, void *os_handle, int type),
                 (handle, os_handle, type))
{
  struct spark_process *process = call->process;
  spark_lock_take (&process->vmm_lock);
  CUresult result = real (handle, os_handle, type);
  if (result == SPARK_CUDA_SUCCESS)
    spark_vmm_import (&process->vmm, *handle);
  spark_lock_give (&process->vmm_lock);
  return result;
}

SPARK_CUDA_HOOK (cuMemRelease, (CUmemGenericAllocationHandle handle), (handle))
{
  struct spark_process *process = call->process;
  spark_lock_take (&process->vmm_lock);
  CUresult result = real (handle);
  uint64_t freed = result == SPARK_CUDA_SUCCESS ? spark_vmm_release (&process->vmm, handle) : 0;
  spark_lock_give (&process->vmm_lock);
  spark_budget_release (&process->budget, freed);
  return result;
}

/* ---- mappings ---- */

SPARK_CUDA_HOOK (cuMemMap,
                 (CUdeviceptr pointer, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags),
                 (pointer, bytes, offset, handle, flags))
{
  struct spark_process *process = call->process;
  spark_lock_take (&process->vmm_lock);
  CUresult result = real (pointer, bytes, offset, handle, flags);
  uint64_t freed = result == SPARK_CUDA_SUCCESS ? spark_vmm_map (&process->vmm, handle, pointer, bytes) : 0;
  spark_lock_give (&process->vmm_lock);
  spark_budget_release (&process->budget, freed);
  return result;
}

SPARK_CUDA_HOOK (cuMemUnmap, (CUdeviceptr pointer, size_t bytes), (pointer, bytes))
{
  struct spark_process *process = call->process;
  spark_lock_take (&process->vmm_lock);
  CUresult result = real (pointer, bytes);
  uint64_t freed = result == SPARK_CUDA_SUCCESS ? spark_vmm_unmap (&process->vmm, pointer, bytes) : 0;
  spark_lock_give (&process->vmm_lock);
  spark_budget_release (&process->budget, freed);
  return result;
}

/* ---- mappings into arrays: they keep the memory too, released or not, until they or their array end (measured, driver 580 on H100) ---- */

enum { OPERATION_MAP = 1 }; /* CUmemOperationType */

/* FNV-1a, by words, over what names the place: the array and the part of it. */
static uint64_t
place_of (const CUarrayMapInfo *wish)
{
  enum { MIPTAIL = 1, PADDING = 1, MIPTAIL_WORDS = 6 }; /* its layer, nothing, offset and size */
  bool is_tail = wish->subresourceType == MIPTAIL;
  uint64_t hash = (0xcbf29ce484222325u ^ wish->resource) * 0x100000001b3u;
  hash = (hash ^ (uint64_t) wish->subresourceType) * 0x100000001b3u;
  for (int i = 0; i < (is_tail ? MIPTAIL_WORDS : 8); i++)
    if (!is_tail || i != PADDING)
      hash = (hash ^ wish->subresource[i]) * 0x100000001b3u;
  return hash;
}

static void
follow_arrays (struct spark_call *call, const CUarrayMapInfo *list, unsigned count)
{
  struct spark_process *process = call->process;
  uint64_t freed = 0;
  for (unsigned i = 0; i < count; i++)
    if (list[i].memOperationType == OPERATION_MAP)
      {
        freed += spark_vmm_map_array (&process->vmm, list[i].memHandle, list[i].resource, place_of (&list[i]));
        process->arrays_are_mapped = 1;
      }
    else
      freed += spark_vmm_unmap_array (&process->vmm, place_of (&list[i]));
  spark_budget_release (&process->budget, freed);
}

#define MAP_ARRAYS(list, count, stream)                                                                                \
  do                                                                                                                   \
    {                                                                                                                  \
      spark_lock_take (&call->process->vmm_lock);                                                                      \
      CUresult result = real ((list), (count), (stream));                                                              \
      if (result == SPARK_CUDA_SUCCESS)                                                                                \
        follow_arrays (call, (list), (count));                                                                         \
      spark_lock_give (&call->process->vmm_lock);                                                                      \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

SPARK_CUDA_HOOK (cuMemMapArrayAsync, (CUarrayMapInfo *list, unsigned count, CUstream stream), (list, count, stream))
{
  MAP_ARRAYS (list, count, stream);
}

SPARK_CUDA_HOOK (cuMemMapArrayAsync_ptsz, (CUarrayMapInfo *list, unsigned count, CUstream stream), (list, count, stream))
{
  MAP_ARRAYS (list, count, stream);
}

/* Physical memory by handle (cuMemCreate), mapped into reserved addresses. It goes back to the driver when the last of its handle
   references and its mappings is gone, in whatever order: PyTorch's expandable segments release the handle right after mapping, or
   unmap first and release then.

   A handle's value may be given out anew while old memory is still mapped, so memory is counted under numbers of our own. The calls
   that end or map something are made with the lock held: a value that the driver gives out again is then never seen too early. */
#include "call.h"
#include "cuda_abi.h"
#include "cuda_room.h"

/* In the tables: a handle's `bytes` are the references held through that value and its `extra` the object's number; a mapping's `bytes`
   its length and `extra` the object's number, 0 if unknown (imported); an object's `bytes` its charge and `extra`: handle references in the low half, mappings in the high one. */
#define REFERENCE ((uint64_t) 1)
#define MAPPING ((uint64_t) 1 << 32)

/* All below is called with the lock held. Returns the bytes that nobody holds any more. */
static uint64_t
drop_from_object (struct spark_process *process, uint64_t object, uint64_t what)
{
  struct spark_track_entry *entry = spark_track_find (&process->vmm_objects, object), taken;
  if (entry == NULL)
    return 0;
  entry->extra -= what;
  return entry->extra == 0 && spark_track_take (&process->vmm_objects, object, &taken) ? taken.bytes : 0;
}

static void
add_to_object (struct spark_process *process, uint64_t object, uint64_t what)
{
  struct spark_track_entry *entry = spark_track_find (&process->vmm_objects, object);
  if (entry != NULL)
    entry->extra += what;
}

static uint64_t
object_of_handle (struct spark_process *process, CUmemGenericAllocationHandle handle)
{
  struct spark_track_entry *entry = spark_track_find (&process->vmm_handles, handle);
  return entry != NULL ? entry->extra : 0;
}

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
  struct spark_track_entry replaced;
  uint64_t object = ++process->vmm_last_object;
  if (spark_track_put (&process->vmm_objects, (struct spark_track_entry){ object, bytes, REFERENCE }, &replaced))
    spark_track_put (&process->vmm_handles, (struct spark_track_entry){ taken, 1, object }, &replaced);
  spark_lock_give (&process->vmm_lock);
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
  uint64_t object = object_of_handle (process, *handle);
  struct spark_track_entry *mapping = spark_track_find (&process->vmm_mappings, (uint64_t) (uintptr_t) address);
  if (object == 0 && mapping != NULL && mapping->extra != 0)
    {
      /* The handle was released, or the driver gave another value for it: this one stands for the mapped memory now. */
      struct spark_track_entry replaced;
      object = mapping->extra;
      spark_track_put (&process->vmm_handles, (struct spark_track_entry){ *handle, 0, object }, &replaced);
    }
  struct spark_track_entry *entry = spark_track_find (&process->vmm_handles, *handle);
  if (entry != NULL)
    {
      entry->bytes++;
      add_to_object (process, object, REFERENCE);
    }
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
  struct spark_track_entry *entry
    = result == SPARK_CUDA_SUCCESS ? spark_track_find (&process->vmm_handles, *handle) : NULL;
  if (entry != NULL)
    {
      entry->bytes++;
      add_to_object (process, entry->extra, REFERENCE);
    }
  spark_lock_give (&process->vmm_lock);
  return result;
}

SPARK_CUDA_HOOK (cuMemRelease, (CUmemGenericAllocationHandle handle), (handle))
{
  struct spark_process *process = call->process;
  uint64_t freed = 0;
  spark_lock_take (&process->vmm_lock);
  CUresult result = real (handle);
  struct spark_track_entry *entry = spark_track_find (&process->vmm_handles, handle), taken;
  if (result == SPARK_CUDA_SUCCESS && entry != NULL)
    {
      uint64_t object = entry->extra;
      if (--entry->bytes == 0)
        spark_track_take (&process->vmm_handles, handle, &taken);
      freed = drop_from_object (process, object, REFERENCE);
    }
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
  if (result == SPARK_CUDA_SUCCESS)
    {
      struct spark_track_entry replaced;
      uint64_t object = object_of_handle (process, handle);
      if (spark_track_put (&process->vmm_mappings, (struct spark_track_entry){ pointer, bytes, object }, &replaced))
        add_to_object (process, object, MAPPING);
    }
  spark_lock_give (&process->vmm_lock);
  return result;
}

/* One call may end several mappings that lie side by side. Returns the bytes that nobody holds any more. */
static uint64_t
forget_mappings (struct spark_process *process, CUdeviceptr pointer, size_t bytes)
{
  enum { GRANULE = 2 << 20 }; /* the least distance between two mappings */
  uint64_t freed = 0, done = 0;
  while (done < bytes && process->vmm_mappings.count > 0)
    {
      struct spark_track_entry mapping;
      bool known = spark_track_take (&process->vmm_mappings, pointer + done, &mapping);
      if (known)
        freed += drop_from_object (process, mapping.extra, MAPPING);
      uint64_t step = known && mapping.bytes != 0 ? mapping.bytes : GRANULE;
      done = step > bytes - done ? bytes : done + step;
    }
  return freed;
}

SPARK_CUDA_HOOK (cuMemUnmap, (CUdeviceptr pointer, size_t bytes), (pointer, bytes))
{
  struct spark_process *process = call->process;
  spark_lock_take (&process->vmm_lock);
  CUresult result = real (pointer, bytes);
  uint64_t freed = result == SPARK_CUDA_SUCCESS ? forget_mappings (process, pointer, bytes) : 0;
  spark_lock_give (&process->vmm_lock);
  spark_budget_release (&process->budget, freed);
  return result;
}

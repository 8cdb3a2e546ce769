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

/* Virtual memory management: who keeps an allocation alive, and what may be mapped where. */
#include "on_machine.h"

static const CUmemAllocationProp ON_DEVICE = { .type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                               .location = { .type = CU_MEM_LOCATION_TYPE_DEVICE } };
static const CUmemAccessDesc READ_WRITE
    = { .location = { .type = CU_MEM_LOCATION_TYPE_DEVICE }, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE };

static void
address_space (void)
{
  driver_up ();
  CUdeviceptr wide = 0, aligned = 0;
  CHECK (cuMemAddressReserve (&wide, 1024 * 1024 * MIB, 0, 0, 0) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB);
  CHECK (cuMemAddressReserve (&aligned, 2 * MIB, 512 * MIB, 0, 0) == CUDA_SUCCESS);
  CHECK (aligned % (512 * MIB) == 0);
  CHECK (cuMemAddressReserve (&aligned, 3, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemAddressFree (wide, 2 * MIB) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemAddressFree (wide, 1024 * 1024 * MIB) == CUDA_SUCCESS);
  CHECK (cuMemAddressFree (wide, 1024 * 1024 * MIB) == CUDA_ERROR_INVALID_VALUE);
}

static void
handle_goes_first (void)
{
  driver_up ();
  CUdeviceptr at = 0;
  CUmemGenericAllocationHandle handle = 0;
  CHECK (cuMemCreate (&handle, 8 * MIB, &ON_DEVICE, 0) == CUDA_SUCCESS);
  CHECK (free_bytes () == 56 * MIB);
  CHECK (cuMemAddressReserve (&at, 8 * MIB, 0, 0, 0) == CUDA_SUCCESS);
  CHECK (cuMemMap (at, 8 * MIB, 0, handle, 0) == CUDA_SUCCESS);
  CHECK (cuMemsetD8_v2 (at, 1, 8 * MIB) == CUDA_ERROR_INVALID_VALUE); /* no access yet */
  CHECK (cuMemSetAccess (at, 8 * MIB, &READ_WRITE, 1) == CUDA_SUCCESS);
  CHECK (cuMemsetD8_v2 (at, 1, 8 * MIB) == CUDA_SUCCESS);
  CHECK (cuMemRelease (handle) == CUDA_SUCCESS);
  CHECK (cuMemRelease (handle) == CUDA_ERROR_INVALID_VALUE);
  CHECK (free_bytes () == 56 * MIB); /* the mapping keeps it */
  CHECK (cuMemAddressFree (at, 8 * MIB) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemUnmap (at, 8 * MIB) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB);
  CHECK (cuMemUnmap (at, 8 * MIB) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemAddressFree (at, 8 * MIB) == CUDA_SUCCESS);
}

static void
mapping_goes_first (void)
{
  driver_up ();
  CUdeviceptr at = 0;
  CUmemGenericAllocationHandle handle = 0, again = 0;
  CHECK (cuMemCreate (&handle, 4 * MIB, &ON_DEVICE, 0) == CUDA_SUCCESS);
  CHECK (cuMemAddressReserve (&at, 8 * MIB, 0, 0, 0) == CUDA_SUCCESS);
  /* The same memory at two addresses. */
  CHECK (cuMemMap (at, 4 * MIB, 0, handle, 0) == CUDA_SUCCESS);
  CHECK (cuMemMap (at + 4 * MIB, 4 * MIB, 0, handle, 0) == CUDA_SUCCESS);
  CHECK (cuMemSetAccess (at, 8 * MIB, &READ_WRITE, 1) == CUDA_SUCCESS);
  CHECK (cuMemsetD8_v2 (at, 5, 1) == CUDA_SUCCESS);
  CHECK (*(unsigned char *) (uintptr_t) (at + 4 * MIB) == 5);
  CHECK (free_bytes () == 60 * MIB);
  CHECK (cuMemRetainAllocationHandle (&again, (void *) (uintptr_t) (at + 5 * MIB)) == CUDA_SUCCESS);
  CHECK (again == handle);
  CHECK (cuMemUnmap (at, 8 * MIB) == CUDA_SUCCESS);
  CHECK (free_bytes () == 60 * MIB);
  CHECK (cuMemRelease (handle) == CUDA_SUCCESS);
  CHECK (free_bytes () == 60 * MIB); /* retained once more */
  CHECK (cuMemRelease (again) == CUDA_SUCCESS);
  CHECK (free_bytes () == 64 * MIB);
}

static void
refusals (void)
{
  driver_up ();
  CUdeviceptr at = 0, elsewhere = 0;
  CUmemGenericAllocationHandle handle = 0, untouched = 42;
  size_t granularity = 0;
  CUmemAllocationProp on_host = ON_DEVICE;
  on_host.location.type = 2;
  CHECK (cuMemGetAllocationGranularity (&granularity, &ON_DEVICE, 0) == CUDA_SUCCESS && granularity == 2 * MIB);
  CHECK (cuMemCreate (&untouched, 66 * MIB, &ON_DEVICE, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK (cuMemCreate (&untouched, 3, &ON_DEVICE, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemCreate (&untouched, 2 * MIB, &on_host, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (untouched == 42);
  CHECK (cuMemCreate (&handle, 4 * MIB, &ON_DEVICE, 0) == CUDA_SUCCESS);
  CHECK (cuMemAddressReserve (&at, 4 * MIB, 0, 0, 0) == CUDA_SUCCESS);
  CHECK (cuMemAlloc_v2 (&elsewhere, 4 * MIB) == CUDA_SUCCESS);
  CHECK (cuMemMap (at, 8 * MIB, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);           /* beyond the reservation */
  CHECK (cuMemMap (at + 1, 2 * MIB, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);       /* not on a page */
  CHECK (cuMemMap (elsewhere, 4 * MIB, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);    /* not reserved */
  CHECK (cuMemMap (at, 4 * MIB, 0, handle + 1, 0) == CUDA_ERROR_INVALID_VALUE);       /* no such handle */
  CHECK (cuMemMap (at, 4 * MIB, 0, handle, 0) == CUDA_SUCCESS);
  CHECK (cuMemMap (at, 4 * MIB, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);           /* there already */
  CHECK (cuMemUnmap (at, 2 * MIB) == CUDA_ERROR_INVALID_VALUE);                       /* half a mapping */
  CHECK (cuMemFree_v2 (at) == CUDA_ERROR_INVALID_VALUE);
}

int
main (void)
{
#define ON_64M(piece, sentence)                                                                                        \
  CHECK (on_machine ("64m", "anonymous", piece) == 0);                                                                 \
  test_done (sentence)

  ON_64M (address_space, "address space takes no memory, is aligned, and is freed as a whole");
  ON_64M (handle_goes_first, "a mapping keeps its memory after the handle is released");
  ON_64M (mapping_goes_first, "a handle keeps its memory after the last mapping; retaining counts");
  ON_64M (refusals, "what does not fit, is not reserved or is mapped already is refused");
  return check_done ();
}

/* Memory that two processes share, and who is listed as holding what. */
#include "on_machine.h"

#include <sys/socket.h>

static const CUmemPoolProps ON_DEVICE = { .allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } };

static void
alone (void)
{
  void *device = NULL;
  CUdeviceptr pointer = 0;
  driver_up ();
  CHECK (nvmlInit_v2 () == 0 && nvmlDeviceGetHandleByIndex_v2 (0, &device) == 0);
  CHECK (nvml_bytes_of (device, getpid ()) == UINT64_MAX);
  CHECK (cuMemAlloc_v2 (&pointer, 6 * MIB) == CUDA_SUCCESS && nvml_bytes_of (device, getpid ()) == 6 * MIB);
  struct nvml_process_v1 old = { 0 };
  unsigned count = 0;
  CHECK (nvmlDeviceGetComputeRunningProcesses (device, &count, NULL) == 7 && count == 1);
  CHECK (nvmlDeviceGetComputeRunningProcesses (device, &count, &old) == 0 && old.pid == (unsigned) getpid ());
  CHECK (old.used_bytes == 6 * MIB);
  CHECK (nvmlDeviceGetComputeRunningProcesses (device, &count, NULL) == 2);
}

/* Sends `bytes` and, unless it is -1, a descriptor; or receives them. */
static bool
tell (int socket_fd, const void *bytes, size_t count, int file)
{
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct iovec piece = { (void *) (uintptr_t) bytes, count };
  struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
  if (file >= 0)
    {
      message.msg_control = control.room;
      message.msg_controllen = sizeof control.room;
      control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN (sizeof file), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
      memcpy (CMSG_DATA (&control.header), &file, sizeof file);
    }
  return sendmsg (socket_fd, &message, 0) == (ssize_t) count;
}

static bool
hear (int socket_fd, void *bytes, size_t count, int *file)
{
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct iovec piece = { bytes, count };
  struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room };
  bool heard = recvmsg (socket_fd, &message, 0) == (ssize_t) count;
  if (heard && file != NULL && CMSG_FIRSTHDR (&message) != NULL)
    memcpy (file, CMSG_DATA (CMSG_FIRSTHDR (&message)), sizeof *file);
  return heard;
}

/* What the owner shows to the other process: handles of four kinds. */
struct shown {
  CUipcMemHandle ipc;
  CUmemPoolPtrExportData pooled;
};

static const CUmemAllocationProp SHARED
    = { .type = CU_MEM_ALLOCATION_TYPE_PINNED, .requestedHandleTypes = 1, .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } };

/* The other process: opens everything, reads what the owner wrote, writes its own, and says how that went. */
static void
the_other (int owner)
{
  struct shown shown;
  int allocation = -1, pool_file = -1;
  char heard;
  CUdeviceptr ipc = 0, pooled = 0, mapped = 0, external = 0;
  CUmemGenericAllocationHandle handle = 0;
  CUmemoryPool pool = NULL;
  CUexternalMemory memory = NULL;
  CHECK (hear (owner, &shown, sizeof shown, &allocation) && hear (owner, &heard, 1, &pool_file));
  driver_up ();
  uint64_t before = free_bytes ();
  CHECK (cuIpcOpenMemHandle_v2 (&ipc, shown.ipc, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuIpcOpenMemHandle_v2 (&ipc, shown.ipc, 1) == CUDA_SUCCESS && ipc != 0);
  CHECK (*(char *) (uintptr_t) ipc == 1);
  CHECK (cuMemsetD8_v2 (ipc, 11, 3 * MIB) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (ipc) == CUDA_ERROR_INVALID_VALUE); /* closed, not freed */
  CHECK (cuIpcCloseMemHandle (ipc) == CUDA_SUCCESS && cuIpcCloseMemHandle (ipc) == CUDA_ERROR_INVALID_VALUE);

  CHECK (cuMemPoolImportFromShareableHandle (&pool, (void *) (intptr_t) pool_file, 1, 0) == CUDA_SUCCESS);
  CHECK (cuMemPoolImportPointer (&pooled, pool, &shown.pooled) == CUDA_SUCCESS);
  CHECK (*(char *) (uintptr_t) pooled == 2 && cuMemsetD8_v2 (pooled, 12, 1) == CUDA_SUCCESS);
  CHECK (cuMemAllocFromPoolAsync (&mapped, 1, pool, NULL) == CUDA_ERROR_INVALID_VALUE); /* not this process's pool */
  CHECK (cuMemFreeAsync (pooled, NULL) == CUDA_SUCCESS && cuMemPoolDestroy (pool) == CUDA_SUCCESS);

  CHECK (cuMemImportFromShareableHandle (&handle, (void *) (intptr_t) allocation, 1) == CUDA_SUCCESS);
  CHECK (cuMemAddressReserve (&mapped, 4 * MIB, 0, 0, 0) == CUDA_SUCCESS);
  CHECK (cuMemMap (mapped, 4 * MIB, 0, handle, 0) == CUDA_SUCCESS);
  const CUmemAccessDesc both_ways = { { CU_MEM_LOCATION_TYPE_DEVICE, 0 }, CU_MEM_ACCESS_FLAGS_PROT_READWRITE };
  CHECK (cuMemSetAccess (mapped, 4 * MIB, &both_ways, 1) == CUDA_SUCCESS);
  CHECK (*(char *) (uintptr_t) mapped == 3 && cuMemsetD8_v2 (mapped, 13, 1) == CUDA_SUCCESS);

  const CUDA_EXTERNAL_MEMORY_HANDLE_DESC from = { .type = 1, .handle.fd = dup (allocation), .size = 4 * MIB };
  const CUDA_EXTERNAL_MEMORY_BUFFER_DESC part = { .offset = 2 * MIB, .size = 2 * MIB }, beyond = { .offset = 4 * MIB, .size = 1 };
  CHECK (cuImportExternalMemory (&memory, &from) == CUDA_SUCCESS);
  CHECK (cuExternalMemoryGetMappedBuffer (&external, memory, &beyond) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuExternalMemoryGetMappedBuffer (&external, memory, &part) == CUDA_SUCCESS);
  CHECK (*(char *) (uintptr_t) external == 3 && cuMemsetD8_v2 (external, 14, 1) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (external) == CUDA_SUCCESS && cuDestroyExternalMemory (memory) == CUDA_SUCCESS);
  CHECK (cuDestroyExternalMemory (memory) == CUDA_ERROR_INVALID_HANDLE);
  CHECK (free_bytes () == before); /* none of it is this process's */
  CHECK (tell (owner, "", 1, -1) && hear (owner, &heard, 1, NULL));
  /* The owner has released it; it is there as long as one of both holds it. */
  CHECK (*(char *) (uintptr_t) mapped == 13);
  CHECK (cuMemUnmap (mapped, 4 * MIB) == CUDA_SUCCESS && cuMemRelease (handle) == CUDA_SUCCESS);
}

static void
other_processes (void)
{
  int pair[2], status = -1;
  char heard;
  CHECK (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
  fflush (stdout);
  pid_t other = fork ();
  if (other == 0)
    {
      close (pair[0]);
      the_other (pair[1]);
      fflush (stdout);
      _exit (check_failed_here);
    }
  close (pair[1]);
  driver_up ();
  struct shown shown;
  CUdeviceptr plain = 0, pooled = 0, mapped = 0;
  CUmemGenericAllocationHandle handle = 0;
  CUmemoryPool pool = NULL;
  CUmemPoolProps shared_pool = ON_DEVICE;
  int allocation = -1, pool_file = -1;
  shared_pool.handleTypes = 1;
  CHECK (cuMemAlloc_v2 (&plain, 3 * MIB) == CUDA_SUCCESS && cuMemsetD8_v2 (plain, 1, 3 * MIB) == CUDA_SUCCESS);
  CHECK (cuIpcGetMemHandle (&shown.ipc, plain) == CUDA_SUCCESS);
  CHECK (cuIpcOpenMemHandle_v2 (&mapped, shown.ipc, 1) == CUDA_ERROR_INVALID_CONTEXT); /* its own */
  CHECK (cuMemPoolCreate (&pool, &shared_pool) == CUDA_SUCCESS);
  CHECK (cuMemAllocFromPoolAsync (&pooled, 2 * MIB, pool, NULL) == CUDA_SUCCESS && cuMemsetD8_v2 (pooled, 2, 1) == CUDA_SUCCESS);
  CHECK (cuIpcGetMemHandle (&shown.ipc, pooled) == CUDA_ERROR_INVALID_VALUE);
  CHECK (cuMemPoolExportPointer (&shown.pooled, pooled) == CUDA_SUCCESS);
  CHECK (cuMemPoolExportToShareableHandle (&pool_file, pool, 1, 0) == CUDA_SUCCESS);
  CHECK (cuMemCreate (&handle, 4 * MIB, &SHARED, 0) == CUDA_SUCCESS);
  CHECK (cuMemAddressReserve (&mapped, 4 * MIB, 0, 0, 0) == CUDA_SUCCESS && cuMemMap (mapped, 4 * MIB, 0, handle, 0) == CUDA_SUCCESS);
  const CUmemAccessDesc both_ways = { { CU_MEM_LOCATION_TYPE_DEVICE, 0 }, CU_MEM_ACCESS_FLAGS_PROT_READWRITE };
  CHECK (cuMemSetAccess (mapped, 4 * MIB, &both_ways, 1) == CUDA_SUCCESS && cuMemsetD8_v2 (mapped, 3, 4 * MIB) == CUDA_SUCCESS);
  CHECK (cuMemExportToShareableHandle (&allocation, handle, 1, 0) == CUDA_SUCCESS);
  CHECK (free_bytes () == 54 * MIB); /* 4, 2 and 4 */
  CHECK (tell (pair[0], &shown, sizeof shown, allocation) && tell (pair[0], "", 1, pool_file));
  close (allocation);
  close (pool_file);
  CHECK (hear (pair[0], &heard, 1, NULL));
  CHECK (((char *) (uintptr_t) plain)[3 * MIB - 1] == 11 && *(char *) (uintptr_t) pooled == 12);
  CHECK (*(char *) (uintptr_t) mapped == 13 && ((char *) (uintptr_t) mapped)[2 * MIB] == 14);
  CHECK (cuMemUnmap (mapped, 4 * MIB) == CUDA_SUCCESS && cuMemRelease (handle) == CUDA_SUCCESS);
  CHECK (cuMemFree_v2 (plain) == CUDA_SUCCESS && cuMemFree_v2 (pooled) == CUDA_SUCCESS);
  CHECK (tell (pair[0], "", 1, -1));
  CHECK (waitpid (other, &status, 0) == other && status == 0);
  CHECK (free_bytes () == 64 * MIB);
}

int
main (void)
{
#define ON_64M(piece, sentence)                                                                                        \
  CHECK (on_machine ("64m", "anonymous", piece) == 0);                                                                 \
  test_done (sentence)
  ON_64M (other_processes, "two processes share an allocation, a pool's pointer, a handle and external memory; one of them has taken it");
  ON_64M (alone, "NVML lists a process that holds memory, and what it holds");
  return check_done ();
}

/* Host memory, managed memory, arrays, and what other processes lend: each counted once, or not at all. */
#include "harness.h"
#include <stdbool.h>
#include <sys/mman.h>

#define BUDGET (1 * GIB)

static void *cuda;
static int *driver_fails;
static _Atomic long *driver_calls;

#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static uint64_t
used (void)
{
  return look ().used_bytes;
}

static void
test_host (void)
{
  /* Where a memory cgroup can be read it counts the pages, and the ledger nothing; else the ledger counts all. */
  bool v1 = access ("/sys/fs/cgroup/memory/memory.stat", F_OK) == 0;
  bool readable = v1 ? access ("/sys/fs/cgroup/memory/release_agent", F_OK) != 0 : access ("/sys/fs/cgroup/cgroup.events", F_OK) == 0;
  uint64_t by_ledger = readable ? 0 : 64 * MIB;
  printf ("# a memory cgroup %s be read here\n", readable ? "can" : "cannot");
  void *one = NULL, *two = NULL, *three = NULL, *refused = &one;
  long calls = *driver_calls;
  CHECK (CALL (cuMemAllocHost_v2) (&refused, 2 * GIB) == 2 && CALL (cuMemHostAlloc) (&refused, BUDGET + 1, 0) == 2);
  CHECK (CALL (cuMemHostAlloc) (&refused, SIZE_MAX, 0) == 2 && CALL (cuMemAllocHost) (&refused, UINT32_MAX) == 2);
  CHECK (refused == &one && *driver_calls == calls && used () == 0 && look ().refused_count == 4);
  test_done ("pinned memory over the budget is refused, and the pointer stays");
  CHECK (CALL (cuMemAllocHost_v2) (&one, 64 * MIB) == 0 && used () == by_ledger);
  CHECK (CALL (cuMemHostAlloc) (&two, 64 * MIB, 0) == 0 && used () == 2 * by_ledger);
  CHECK (CALL (cuMemAllocHost) (&three, 64 * MIB) == 0 && used () == 3 * by_ledger);
  CHECK (CALL (cuMemFreeHost) ((void *) 0xbad) == 1 && used () == 3 * by_ledger);
  CHECK (CALL (cuMemFreeHost) (one) == 0 && CALL (cuMemFreeHost) (two) == 0 && CALL (cuMemFreeHost) (three) == 0 && used () == 0);
  *driver_fails = 2;
  CHECK (CALL (cuMemHostAlloc) (&two, 64 * MIB, 0) == 2 && used () == 0);
  *driver_fails = 0;
  test_done ("pinned memory is counted once: by the memory cgroup where one can be read, else by the ledger");
  char *own = mmap (NULL, 2 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  calls = *driver_calls;
  CHECK (CALL (cuMemHostRegister_v2) (own, 2 * GIB, 0) == 2 && CALL (cuMemHostRegister) (own, 2 * GIB, 0) == 2 && *driver_calls == calls);
  memset (own, 1, 64 * MIB);
  CHECK (CALL (cuMemHostRegister_v2) (own, 64 * MIB, 0) == 0 && used () == by_ledger);
  CHECK (CALL (cuMemHostUnregister) (own) == 0 && used () == 0);
  CHECK (CALL (cuMemHostRegister_v2) (NULL, 1, 0) == 0 && CALL (cuMemHostRegister_v2) (own, 0, 0) == 0 && used () == 0);
  munmap (own, 2 * GIB);
  test_done ("memory that is registered asks for room for the pages it has not yet, and is counted once");
  CUdeviceptr managed = 7;
  CHECK (CALL (cuMemAllocManaged) (&managed, BUDGET + 1, 1) == 2 && managed == 7);
  CHECK (CALL (cuMemAllocManaged) (&managed, 64 * MIB, 1) == 0 && used () == by_ledger);
  CHECK (CALL (cuMemFree_v2) (managed) == 0 && used () == 0);
  test_done ("managed memory too");
}

static void
test_arrays (void)
{
  CUarray one = NULL, two = NULL, other = (CUarray) 7;
  CUmipmappedArray mipmap = NULL;
  CUDA_ARRAY_DESCRIPTOR plain = { 4096, 4096, 0x20, 4 };             /* 256 MiB */
  CUDA_ARRAY_DESCRIPTOR_v1 old = { 4096, 4096, 0x01, 1 };            /* 16 MiB */
  CUDA_ARRAY3D_DESCRIPTOR deep = { 1024, 1024, 16, 0x10, 2, 0 };     /* 64 MiB */
  CUDA_ARRAY3D_DESCRIPTOR_v1 deep_old = { 1024, 1024, 16, 0x10, 2, 0 };
  CHECK (CALL (cuArrayCreate_v2) (&one, &plain) == 0 && used () == 256 * MIB);
  CHECK (CALL (cuArrayCreate) (&two, &old) == 0 && used () == 272 * MIB);
  CHECK (CALL (cuArrayDestroy) (one) == 0 && CALL (cuArrayDestroy) ((CUarray) 0xbad) == 1 && CALL (cuArrayDestroy) (two) == 0 && used () == 0);
  CHECK (CALL (cuArray3DCreate_v2) (&one, &deep) == 0 && CALL (cuArray3DCreate) (&two, &deep_old) == 0 && used () == 128 * MIB);
  CHECK (CALL (cuArrayDestroy) (one) == 0 && CALL (cuArrayDestroy) (two) == 0 && used () == 0);
  plain.Height = 0;
  CHECK (CALL (cuArrayCreate_v2) (&one, &plain) == 0 && used () == 64 << 10 && CALL (cuArrayDestroy) (one) == 0);
  test_done ("arrays count by their elements, in one to three dimensions");
  CUDA_ARRAY3D_DESCRIPTOR levels = { 1024, 1024, 0, 0x20, 4, 0 };
  CHECK (CALL (cuMipmappedArrayCreate) (&mipmap, &levels, 2) == 0 && used () == 20 * MIB);
  CHECK (CALL (cuMipmappedArrayDestroy) (mipmap) == 0 && used () == 0);
  CUDA_ARRAY3D_DESCRIPTOR blocks = { 1024, 1024, 6, 0x91, 4, 1 };
  CHECK (CALL (cuMipmappedArrayCreate) (&mipmap, &blocks, 1) == 0 && used () == 4 * MIB && CALL (cuMipmappedArrayDestroy) (mipmap) == 0);
  test_done ("mipmapped arrays by their levels, compressed ones by their blocks");
  long calls = *driver_calls;
  plain = (CUDA_ARRAY_DESCRIPTOR){ 65536, 65536, 0x20, 4 };
  CHECK (CALL (cuArrayCreate_v2) (&other, &plain) == 2 && other == (CUarray) 7);
  plain.Width = plain.Height = SIZE_MAX;
  CHECK (CALL (cuArrayCreate_v2) (&other, &plain) == 2 && *driver_calls == calls);
  deep = (CUDA_ARRAY3D_DESCRIPTOR){ 65536, 65536, 0, 0x20, 4, 0x40 };
  CHECK (CALL (cuArray3DCreate_v2) (&one, &deep) == 0 && used () == 0);
  CHECK (CALL (cuArrayCreate_v2) (&other, NULL) == 1 && used () == 0);
  test_done ("arrays over the budget are refused; sparse ones take nothing");
}

static void
test_imports (void)
{
  CUmemGenericAllocationHandle own = 0, imported = 0;
  CHECK (CALL (cuMemImportFromShareableHandle) (&imported, (void *) 0x4444, 1) == 0 && used () == 0);
  CHECK (CALL (cuMemMap) (0x40000000, 512 * MIB, 0, imported, 0) == 0 && used () == 0);
  CHECK (CALL (cuMemUnmap) (0x40000000, 512 * MIB) == 0 && CALL (cuMemRelease) (imported) == 0 && used () == 0);
  CHECK (CALL (cuMemCreate) (&own, 64 * MIB, NULL, 0) == 0 && used () == 64 * MIB);
  CHECK (CALL (cuMemImportFromShareableHandle) (&imported, (void *) (uintptr_t) own, 1) == 0 && imported == own && used () == 64 * MIB);
  CHECK (CALL (cuMemRelease) (imported) == 0 && used () == 64 * MIB && CALL (cuMemRelease) (own) == 0 && used () == 0);
  CHECK (CALL (cuMemFree_v2) (0x123456000) == 0 && used () == 0);
  test_done ("what another process lends is never counted, and one's own, imported again, once");
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  if (cuda == NULL)
    return 1;
  driver_fails = dlsym (cuda, "fake_cuda_fail");
  driver_calls = dlsym (cuda, "fake_cuda_calls");
  test_host ();
  test_arrays ();
  test_imports ();
  return check_done ();
}

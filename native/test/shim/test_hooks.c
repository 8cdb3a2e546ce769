/* What a program gets from the hooked functions: sizes, refusals, and a ledger that says exactly what is held. */
#include "harness.h"

#define BUDGET (4 * GIB)

static void *cuda, *nvml;
static _Atomic long *driver_calls;
static int *driver_fails;

#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))
#define NVML(symbol) ((__typeof__ (&symbol)) dlsym (nvml, #symbol))

static uint64_t
used (void)
{
  return look ().used_bytes;
}

static void
test_plain (void)
{
  CUdeviceptr a = 7, b = 7;
  CHECK (CALL (cuMemAlloc_v2) (&a, GIB) == 0 && a != 7);
  CHECK (used () == GIB);
  long calls = *driver_calls;
  CHECK (CALL (cuMemAlloc_v2) (&b, 3 * GIB + 1) == 2);
  CHECK (b == 7 && *driver_calls == calls && used () == GIB);
  CHECK (look ().refused_count == 1);
  test_done ("over budget: error 2, the pointer untouched, the driver not asked");
  CHECK (CALL (cuMemAlloc_v2) (&b, 3 * GIB) == 0);
  CHECK (used () == BUDGET && look ().peak_bytes == BUDGET);
  CUdeviceptr c = 7;
  CHECK (CALL (cuMemAlloc_v2) (&c, 1) == 2 && c == 7);
  CHECK (CALL (cuMemFree_v2) (b) == 0);
  CHECK (CALL (cuMemAlloc_v2) (&c, 2 * GIB) == 0 && CALL (cuMemFree_v2) (c) == 0);
  test_done ("the last byte can be had, and a refusal does not stick");
  CHECK (CALL (cuMemAlloc_v2) (&c, SIZE_MAX) == 2 && CALL (cuMemAlloc_v2) (&c, (size_t) 1 << 63) == 2);
  CHECK (CALL (cuMemAlloc_v2) (&c, 0) == 1 && CALL (cuMemAlloc_v2) (NULL, 1) == 1);
  CHECK (used () == GIB);
  test_done ("sizes 0, 2^63 and SIZE_MAX, and no pointer");
  *driver_fails = 2;
  CHECK (CALL (cuMemAlloc_v2) (&c, MIB) == 2);
  CHECK (used () == GIB);
  CHECK (CALL (cuMemFree_v2) (a) == 2 && used () == GIB);
  *driver_fails = 0;
  CHECK (CALL (cuMemFree_v2) (a) == 0 && used () == 0);
  CHECK (CALL (cuMemFree_v2) (a) == 0 && CALL (cuMemFree_v2) (0) == 0 && CALL (cuMemFree_v2) (0xbad) == 1 && used () == 0);
  test_done ("where the driver fails nothing is counted; a free that fails gives nothing back; a second free counts once");
}

static void
test_charges (void)
{
  CUdeviceptr small = 0, page = 0;
  CHECK (CALL (cuMemAlloc_v2) (&small, 1) == 0 && used () == 512);
  CHECK (CALL (cuMemAlloc_v2) (&page, MIB + 1) == 0 && used () == 512 + 2 * MIB);
  CALL (cuMemFree_v2) (small);
  CALL (cuMemFree_v2) (page);
  CUdeviceptr_v1 old = 0;
  CHECK (CALL (cuMemAlloc) (&old, 2 * MIB) == 0 && used () == 2 * MIB && CALL (cuMemFree) (old) == 0 && used () == 0);
  test_done ("small requests count in 512 bytes, large ones in pages of 2 MiB; the 32-bit names too");
  size_t pitch = 0;
  CUdeviceptr rows = 7;
  CHECK (CALL (cuMemAllocPitch_v2) (&rows, &pitch, 513, MIB, 4) == 0 && pitch == 1024 && used () == GIB);
  CHECK (CALL (cuMemFree_v2) (rows) == 0 && used () == 0);
  rows = 7, pitch = 7;
  /* Fits by the least pitch (512 x 5 Mi), not by the one that the driver takes (1024 x 5 Mi). */
  CHECK (CALL (cuMemAllocPitch_v2) (&rows, &pitch, 512, 5 * MIB, 4) == 2 && rows == 7 && pitch == 7 && used () == 0);
  CHECK (CALL (cuMemAllocPitch_v2) (&rows, &pitch, SIZE_MAX, SIZE_MAX, 4) == 2 && used () == 0);
  test_done ("pitched rows count with the pitch that the driver chose");
}

static void
test_vmm (void)
{
  CUmemGenericAllocationHandle one = 7, two = 7, again = 0;
  CHECK (CALL (cuMemCreate) (&one, GIB, NULL, 0) == 0 && used () == GIB);
  CHECK (CALL (cuMemCreate) (&two, 4 * GIB, NULL, 0) == 2 && two == 7);
  CHECK (CALL (cuMemRelease) (one) == 0 && used () == 0);
  test_done ("a handle that was never mapped goes back with its release");
  CHECK (CALL (cuMemCreate) (&one, GIB, NULL, 0) == 0);
  CHECK (CALL (cuMemMap) (0x40000000, GIB, 0, one, 0) == 0);
  CHECK (CALL (cuMemUnmap) (0x40000000, GIB) == 0 && used () == GIB && CALL (cuMemRelease) (one) == 0 && used () == 0);
  CHECK (CALL (cuMemCreate) (&one, GIB, NULL, 0) == 0 && CALL (cuMemMap) (0x40000000, GIB, 0, one, 0) == 0);
  CHECK (CALL (cuMemRelease) (one) == 0 && used () == GIB && CALL (cuMemUnmap) (0x40000000, GIB) == 0 && used () == 0);
  test_done ("mapped memory goes back with the last of its handle and its mapping, in either order");
  CHECK (CALL (cuMemCreate) (&one, 20 * MIB, NULL, 0) == 0 && CALL (cuMemCreate) (&two, 20 * MIB, NULL, 0) == 0);
  CHECK (CALL (cuMemMap) (0x80000000, 20 * MIB, 0, one, 0) == 0);
  CHECK (CALL (cuMemMap) (0x80000000 + 20 * MIB, 20 * MIB, 0, two, 0) == 0);
  CHECK (CALL (cuMemMap) (0xc0000000, 20 * MIB, 0, two, 0) == 0);
  CHECK (CALL (cuMemRelease) (one) == 0 && CALL (cuMemRelease) (two) == 0 && used () == 40 * MIB);
  CHECK (CALL (cuMemUnmap) (0x80000000, 40 * MIB) == 0 && used () == 20 * MIB);
  CHECK (CALL (cuMemUnmap) (0xc0000000, 20 * MIB) == 0 && used () == 0);
  test_done ("one unmap may end several mappings, and one handle may be mapped twice");
  CHECK (CALL (cuMemCreate) (&one, 2 * MIB, NULL, 0) == 0 && CALL (cuMemMap) (one, 2 * MIB, 0, one, 0) == 0);
  CHECK (CALL (cuMemRetainAllocationHandle) (&again, (void *) (uintptr_t) one) == 0 && again == one);
  CHECK (CALL (cuMemRelease) (one) == 0 && CALL (cuMemUnmap) (one, 2 * MIB) == 0 && used () == 2 * MIB);
  CHECK (CALL (cuMemRelease) (again) == 0 && used () == 0);
  CHECK (CALL (cuMemRelease) (0xbad) == 1 && CALL (cuMemUnmap) (0xbad, 1) == 1 && CALL (cuMemMap) (0, 1, 0, 0xbad, 0) == 1);
  CHECK (CALL (cuMemRelease) (12345) == 0 && CALL (cuMemMap) (0x1000, MIB, 0, 12345, 0) == 0 && CALL (cuMemUnmap) (0x1000, GIB) == 0);
  CHECK (used () == 0);
  test_done ("a retained handle holds on; unknown and imported handles count nothing");
}

static void
test_reports (void)
{
  size_t free_bytes = 7, total_bytes = 7;
  CUdeviceptr held = 0;
  CHECK (CALL (cuMemAlloc_v2) (&held, GIB) == 0);
  CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0);
  CHECK (total_bytes == BUDGET && free_bytes <= 3 * GIB && free_bytes > 0);
  uint32_t free_32 = 0, total_32 = 0;
  CHECK (CALL (cuMemGetInfo) (&free_32, &total_32) == 0 && total_32 == UINT32_MAX && free_32 <= 3 * GIB);
  size_t device_total = 7;
  CHECK (CALL (cuDeviceTotalMem_v2) (&device_total, 0) == 0 && device_total == BUDGET);
  CHECK (CALL (cuDeviceTotalMem_v2) (&device_total, 9) == 101 && device_total == BUDGET);
  CHECK (CALL (cuDeviceTotalMem) (&total_32, 0) == 0 && total_32 == UINT32_MAX);
  test_done ("the driver's reports: total is the budget, free is what is left of it");

  nvmlMemory_t memory = { 0 };
  nvmlMemory_v2_t memory_2 = { .version = SPARK_NVML_MEMORY_V2 };
  nvmlReturn_t *answer = dlsym (nvml, "fake_nvml_answer");
  unsigned long long *fake_total = dlsym (nvml, "fake_nvml_total");
  for (int unsupported = 0; unsupported < 2; unsupported++)
    {
      *answer = unsupported ? SPARK_NVML_ERROR_NOT_SUPPORTED : 0;
      CHECK (NVML (nvmlDeviceGetMemoryInfo) (NULL, &memory) == 0);
      CHECK (memory.total == BUDGET && memory.free <= 3 * GIB && memory.used == BUDGET - memory.free);
      CHECK (NVML (nvmlDeviceGetMemoryInfo_v2) (NULL, &memory_2) == 0);
      CHECK (memory_2.total == BUDGET && memory_2.free <= 3 * GIB && memory_2.reserved == 0);
      CHECK (memory_2.used == BUDGET - memory_2.free);
      nvmlMemory_v2_t wrong = { .version = 24 | 1 << 24, .total = 7 };
      CHECK (NVML (nvmlDeviceGetMemoryInfo_v2) (NULL, &wrong) == SPARK_NVML_ERROR_FUNCTION_NOT_FOUND);
      CHECK (wrong.total == 7);
    }
  test_done ("NVML v1 and v2 say the same, also where the real one has no figure");
  *answer = 15; /* NVML_ERROR_GPU_IS_LOST */
  memory.total = 7;
  CHECK (NVML (nvmlDeviceGetMemoryInfo) (NULL, &memory) == 15 && memory.total == 7);
  *answer = 0;
  CHECK (NVML (nvmlDeviceGetMemoryInfo) (NULL, NULL) == SPARK_NVML_ERROR_INVALID_ARGUMENT);
  *fake_total = 0;
  CHECK (NVML (nvmlDeviceGetMemoryInfo) (NULL, &memory) == 0 && memory.total == BUDGET);
  *fake_total = 2 * GIB;
  CHECK (NVML (nvmlDeviceGetMemoryInfo) (NULL, &memory) == 0 && memory.total == 2 * GIB && memory.free <= 2 * GIB);
  *fake_total = 128 * GIB;
  test_done ("other NVML errors pass; a device without a total has the budget's; a smaller device stays smaller");
  CALL (cuMemFree_v2) (held);
}

static void
test_get_proc_address (void)
{
  static const struct {
    const char *name;
    int version;
    uint64_t flags;
    const char *symbol; /* ours; NULL = not ours */
    int status;
  } cases[] = {
    { "cuMemAlloc", 12000, 0, "cuMemAlloc_v2", 0 },
    { "cuMemAlloc", 3000, 0, "cuMemAlloc", 0 },
    { "cuMemAlloc", 14000, 0, "cuMemAlloc_v2", 0 },
    { "cuMemFree", 13000, 0, "cuMemFree_v2", 0 }, /* at an address that is not exported */
    { "cuMemFree", 14000, 0, NULL, 0 },           /* in a form that we do not know */
    { "cuMemGetInfo", 13000, 0, "cuMemGetInfo_v2", 0 },
    { "cuMemCreate", 12000, 0, "cuMemCreate", 0 },
    { "cuMemAllocAsync", 12000, 0, "cuMemAllocAsync", 0 },
    { "cuMemAllocAsync", 12000, SPARK_CUDA_PER_THREAD_STREAM, "cuMemAllocAsync_ptsz", 0 },
    { "cuMemAllocHost", 3010, 0, "cuMemAllocHost", 0 },
    { "cuMemAllocHost", 12000, 0, "cuMemAllocHost_v2", 0 },
    { "cuMemHostAlloc", 12000, 0, "cuMemHostAlloc", 0 },
    { "cuMemHostRegister", 6000, 0, "cuMemHostRegister", 0 },
    { "cuMemHostRegister", 6050, 0, "cuMemHostRegister_v2", 0 },
    { "cuArray3DCreate", 12000, 0, "cuArray3DCreate_v2", 0 },
    { "cuGraphAddNode", 12020, 0, "cuGraphAddNode", 0 },
    { "cuGraphAddNode", 12030, 0, "cuGraphAddNode_v2", 0 },
    { "cuGraphLaunch", 12000, SPARK_CUDA_PER_THREAD_STREAM, "cuGraphLaunch_ptsz", 0 },
    { "cuGraphLaunch", 12000, 0, "cuGraphLaunch", 0 },
    { "cuMemPoolTrimTo", 11020, 0, "cuMemPoolTrimTo", 0 },
    { "cuGetProcAddress", 11030, 0, "cuGetProcAddress", 0 },
    { "cuGetProcAddress", 12000, 0, "cuGetProcAddress_v2", 0 },
    { "cuInit", 12000, 0, NULL, 0 },
    { "cuMemCreate", 9000, 0, NULL, 2 },
    { "cuNothing", 12000, 0, NULL, 1 },
    { "", 12000, 0, NULL, 1 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    {
      void *function = (void *) 7, *first = NULL;
      int status = 7;
      CUresult result
        = CALL (cuGetProcAddress_v2) (cases[i].name, &function, cases[i].version, cases[i].flags, &status);
      CHECK (status == cases[i].status && (result == 0) == (status == 0));
      CHECK (is_ours (function) == (cases[i].symbol != NULL));
      CHECK (cases[i].symbol == NULL || function == dlsym (cuda, cases[i].symbol));
      CHECK (CALL (cuGetProcAddress) (cases[i].name, &first, cases[i].version, cases[i].flags) == result && first == function);
    }
  test_done ("cuGetProcAddress gives ours for each hooked name and version, the driver's answer for all else");
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  nvml = dlopen ("libnvidia-ml.so.1", RTLD_NOW);
  driver_calls = dlsym (cuda, "fake_cuda_calls");
  driver_fails = dlsym (cuda, "fake_cuda_fail");
  if (driver_calls == NULL || driver_fails == NULL || nvml == NULL)
    {
      printf ("# the fake driver cannot be opened: %s\n", dlerror ());
      return 1;
    }
  test_plain ();
  test_charges ();
  test_vmm ();
  test_reports ();
  test_get_proc_address ();
  return check_done ();
}

/* The ledger beside the simulated driver's own pages: what is taken by one call and named in another counts once, and as much as it takes. */
#include "harness.h"

#include <dirent.h>

#include <stdbool.h>

static void *cuda;

/* As NVIDIA documents them for CUDA 13.0; the shim needs none of them. */
struct resource {
  int type;
  unsigned char rest[140];
};
struct array_mapping {
  int resource_type;
  CUarray array;
  int subresource_type;
  int padding;
  unsigned level, layer, x, y, z, width, height, depth;
  int operation;
  int handle_type;
  CUmemGenericAllocationHandle handle;
  unsigned long long offset;
  unsigned device_mask;
  unsigned flags;
  unsigned reserved[2];
};
_Static_assert (sizeof (struct array_mapping) == 96, "a mapping into an array");

#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))
#define OTHER(name, ...) ((CUresult (*) (__VA_ARGS__)) dlsym (cuda, name))

static uint64_t
used (void)
{
  return look ().used_bytes;
}

/* Bytes of the machine that this process has, as the kernel counts them: in files that the simulator made. */
static uint64_t
taken (void)
{
  uint64_t bytes = 0;
  DIR *files = opendir ("/proc/self/fd");
  if (files == NULL)
    return UINT64_MAX;
  for (const struct dirent *file = readdir (files); file != NULL; file = readdir (files))
    {
      char path[64], target[64] = "";
      struct stat status;
      snprintf (path, sizeof path, "/proc/self/fd/%.11s", file->d_name);
      if (readlink (path, target, sizeof target - 1) > 0 && strncmp (target, "/memfd:spark-sim-", 17) == 0 && stat (path, &status) == 0)
        bytes += (uint64_t) status.st_blocks * 512;
    }
  closedir (files);
  return bytes;
}

static bool
both (uint64_t bytes)
{
  if (used () == bytes && taken () == bytes)
    return true;
  printf ("# %llu MiB expected, the ledger has %llu, the simulator took %llu\n", (unsigned long long) (bytes / MIB),
          (unsigned long long) (used () / MIB), (unsigned long long) (taken () / MIB));
  return false;
}

static int
green_body (void)
{
  struct resource all = { 0 };
  void *description = NULL, *green = NULL;
  CUcontext context = NULL, primary = NULL;
  CUdeviceptr pointer = 0, second = 0;
  cuda = start_simulator ("1g");
  if (cuda == NULL || !is_ours (dlsym (cuda, "cuMemAlloc_v2")))
    return 1;
  CHECK (OTHER ("cuDeviceGetDevResource", int, struct resource *, int) (0, &all, 1) == 0);
  CHECK (OTHER ("cuDevResourceGenerateDesc", void **, struct resource *, unsigned) (&description, &all, 1) == 0);
  CHECK (CALL (cuDevicePrimaryCtxRetain) (&primary, 0) == 0);
  CHECK (OTHER ("cuGreenCtxCreate", void **, void *, int, unsigned) (&green, description, 0, 1) == 0);
  CHECK (OTHER ("cuCtxFromGreenCtx", CUcontext *, void *) (&context, green) == 0);
  CHECK (OTHER ("cuCtxSetCurrent", CUcontext) (context) == 0 && both (0));
  CHECK (CALL (cuMemAlloc_v2) (&pointer, 96 * MIB) == 0 && both (96 * MIB));
  CHECK (CALL (cuMemAlloc_v2) (&second, 98 * MIB) == 2 && second == 0 && both (96 * MIB));
  CHECK (CALL (cuMemAlloc_v2) (&second, 64 * MIB) == 0 && both (160 * MIB));
  CHECK (CALL (cuCtxDestroy_v2) (context) == 201 && both (160 * MIB));
  CHECK (CALL (cuMemFree_v2) (second) == 0 && both (96 * MIB));
  /* The primary context lives, and so does what was taken for it. */
  CHECK (OTHER ("cuCtxSetCurrent", CUcontext) (primary) == 0 && OTHER ("cuGreenCtxDestroy", void *) (green) == 0 && both (96 * MIB));
  CHECK (CALL (cuMemFree_v2) (pointer) == 0 && both (0));
  fflush (stdout);
  return check_failed_here;
}

static int
sparse_body (void)
{
  const CUDA_ARRAY3D_DESCRIPTOR shape = { 1024, 1024, 0, 0x20, 4, 0x40 };
  /* cuMemCreate's description: pinned memory of device 0 that is made for tiles. */
  struct {
    int type, handle_types, place, id;
    void *unused;
    unsigned char compression, rdma;
    unsigned short usage;
    unsigned char reserved[4];
  } properties = { .type = 1, .place = 1, .usage = 1 };
  CUarray array = NULL;
  CUmemGenericAllocationHandle handle = 0, other = 0;
  cuda = start_simulator ("1g");
  if (cuda == NULL || simulated_context (cuda) == NULL)
    return 1;
  CUresult (*map) (struct array_mapping *, unsigned, CUstream) = (__typeof__ (map)) dlsym (cuda, "cuMemMapArrayAsync");
  CHECK (CALL (cuArray3DCreate_v2) (&array, &shape) == 0 && both (0));
  CHECK (CALL (cuMemCreate) (&handle, 128 * MIB, (const CUmemAllocationProp *) &properties, 0) == 0 && both (128 * MIB));
  CHECK (CALL (cuMemCreate) (&other, 66 * MIB, (const CUmemAllocationProp *) &properties, 0) == 2 && both (128 * MIB));
  struct array_mapping wish
    = { .array = array, .width = 1024, .height = 512, .depth = 1, .operation = 1, .handle = handle, .device_mask = 1 };
  CHECK (map (&wish, 1, NULL) == 0 && both (128 * MIB));
  wish.y = 512, wish.offset = 64 * MIB;
  CHECK (map (&wish, 1, NULL) == 0 && both (128 * MIB));
  wish.operation = 2;
  CHECK (map (&wish, 1, NULL) == 0 && both (128 * MIB));
  /* What is mapped keeps the memory, whoever holds the handle: until it is unmapped, or its array ends. */
  CHECK (CALL (cuMemRelease) (handle) == 0 && both (128 * MIB));
  CHECK (CALL (cuMemCreate) (&other, 66 * MIB, (const CUmemAllocationProp *) &properties, 0) == 2);
  wish.y = 0, wish.offset = 0;
  CHECK (map (&wish, 1, NULL) == 0 && both (0));
  CHECK (CALL (cuMemCreate) (&handle, 64 * MIB, (const CUmemAllocationProp *) &properties, 0) == 0);
  wish.operation = 1, wish.handle = handle;
  CHECK (map (&wish, 1, NULL) == 0 && CALL (cuMemRelease) (handle) == 0 && both (64 * MIB));
  CHECK (CALL (cuArrayDestroy) (array) == 0 && both (0));
  fflush (stdout);
  return check_failed_here;
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, 192 * MIB);
  CHECK (child_agrees (green_body));
  test_done ("in a green context the ledger has what the device has");
  CHECK (child_agrees (sparse_body));
  test_done ("a sparse array that memory is mapped into counts by that memory, once and for as long as it is mapped");
  return check_done ();
}

/* What the shim takes for live allocations, through its hooks. The driver beside it keeps nothing of what it gives out. */
#include "harness.h"
#include "table_bytes.h"

enum { MOST = 200000 };
#define BASE ((uint64_t) 1 << 44)

static void *cuda;

#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static CUmemGenericAllocationHandle handles[MOST];

/* Memory by handle, each mapped once; `released` as PyTorch's expandable segments do. */
static void
test_by_handle (int released, const char *sentence)
{
  __typeof__ (&cuMemCreate) create = CALL (cuMemCreate);
  __typeof__ (&cuMemMap) map = CALL (cuMemMap);
  __typeof__ (&cuMemRelease) release = CALL (cuMemRelease);
  __typeof__ (&cuMemUnmap) unmap = CALL (cuMemUnmap);
  memset (handles, 1, sizeof handles);
  uint64_t before = mapped_bytes (), most = 0;
  size_t count = 0, worst = 0;
  for (size_t next = 1000; next <= MOST; next += next / 97 + 1)
    {
      for (; count < next; count++)
        {
          CHECK (create (&handles[count], 2 * MIB, NULL, 0) == 0);
          CHECK (map (BASE + count * 2 * MIB, 2 * MIB, 0, handles[count], 0) == 0);
          CHECK (!released || release (handles[count]) == 0);
        }
      note_most (mapped_bytes () - before, count, &most, &worst);
    }
  printf ("# growing: at most %.1f bytes each, at %zu\n", (double) most / 1000, worst);
  CHECK (most <= 64000 && look ().used_bytes == count * 2 * MIB);
  most = 0;
  while (count > 1000)
    {
      count--;
      CHECK (unmap (BASE + count * 2 * MIB, 2 * MIB) == 0 && (released || release (handles[count]) == 0));
      if (count % 97 == 0)
        note_most (mapped_bytes () - before, count, &most, &worst);
    }
  printf ("# shrinking: at most %.1f bytes each, at %zu\n", (double) most / 1000, worst);
  CHECK (most <= 64000 && look ().used_bytes == count * 2 * MIB);
  for (size_t i = 0; i < count; i++)
    CHECK (unmap (BASE + i * 2 * MIB, 2 * MIB) == 0 && (released || release (handles[i]) == 0));
  CHECK (look ().used_bytes == 0);
  test_done (sentence);
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, MOST * 2 * MIB);
  cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  if (cuda == NULL)
    return 1;
  /* What the shim takes once, whatever is allocated. */
  CUdeviceptr pointer = 0;
  size_t free_bytes = 0, total_bytes = 0;
  CHECK (CALL (cuMemAlloc_v2) (&pointer, MIB) == 0 && CALL (cuMemFree_v2) (pointer) == 0);
  CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0);
  test_by_handle (0, "memory by handle, mapped, takes at most 64 bytes each, whether there come more or fewer");
  test_by_handle (1, "and so it does where the handle is released after mapping");
  return check_done ();
}

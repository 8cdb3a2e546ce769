#include "table.h"

#include "raw.h"
#include <sys/mman.h>

/* A table of some megabytes has more pages than the processor keeps addresses of: each look-up would pay for another. 2 MiB is what a
   huge page has on machines with pages of 4 KiB; elsewhere the advice does what it can. */
enum { HUGE_PAGE_BYTES = 2 << 20, HUGE_FROM_BYTES = 4 << 20, WHOLE_PAGES_BYTES = 64 << 10 };

/* Whole pages of whatever size, so that both ends can be cut off. */
static size_t
mapped_bytes (size_t bytes)
{
  return bytes < HUGE_FROM_BYTES ? bytes : (bytes + WHOLE_PAGES_BYTES - 1) & ~(size_t) (WHOLE_PAGES_BYTES - 1);
}

static char *
take (size_t bytes, int flags)
{
  return raw_mmap (bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1);
}

static char *
take_aligned (size_t bytes)
{
  char *memory = take (bytes + HUGE_PAGE_BYTES, 0);
  if (memory == NULL)
    return NULL;
  size_t front = -(uintptr_t) memory & (HUGE_PAGE_BYTES - 1);
  if (front > 0)
    raw_munmap (memory, front);
  raw_munmap (memory + front + bytes, HUGE_PAGE_BYTES - front);
  raw_madvise (memory + front, bytes, MADV_HUGEPAGE);
  return memory + front;
}

void *
spark_table_take (size_t bytes)
{
  /* Small pages all at once: a fault for each would be most of what a new table costs. */
  char *memory = bytes < HUGE_FROM_BYTES ? take (bytes, MAP_POPULATE) : take_aligned (mapped_bytes (bytes));
  /* A forked child starts with an empty table and need not carry ours. */
  if (memory != NULL)
    raw_madvise (memory, mapped_bytes (bytes), MADV_DONTFORK);
  return memory;
}

void *
spark_table_change (void *memory, size_t old_bytes, size_t bytes)
{
  return raw_mremap (memory, mapped_bytes (old_bytes), mapped_bytes (bytes));
}

void
spark_table_give (void *memory, size_t bytes, size_t gone_bytes)
{
  raw_munmap ((char *) memory + gone_bytes, mapped_bytes (bytes) - gone_bytes);
}

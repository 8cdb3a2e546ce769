#include "take.h"

#include "driver.h"
#include "tell.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { ARENA_PER_SHARE = 4 }; /* MAX reserves four times its share as address space */
enum { REFUSALS_ENOUGH = 3 }; /* greedy mode asks this often after it was told no */
enum { HELD_MAX = 1 << 16 };

static struct held {
  unsigned long long pointer;
  unsigned long long handle; /* 0: from cuMemAlloc */
  uint64_t bytes;
} held[HELD_MAX];
static size_t held_count;
static uint64_t held_bytes;

static unsigned long long arena;
static uint64_t arena_bytes, arena_used_bytes;

/* As MAX does since 2026: address space first, then pieces created and mapped into it. */
static int
take_mapped (struct held *piece)
{
  static const struct allocation_properties on_gpu = { .type = 1, .location = { .type = 1 } };
  static const struct access read_write = { .location = { .type = 1 }, .flags = 3 };
  int result = cuda.create (&piece->handle, piece->bytes, &on_gpu, 0);
  if (result != CUDA_SUCCESS)
    return result;
  piece->pointer = arena + arena_used_bytes;
  cuda_must (cuda.map (piece->pointer, piece->bytes, 0, piece->handle, 0), "cuMemMap");
  cuda_must (cuda.set_access (piece->pointer, piece->bytes, &read_write, 1), "cuMemSetAccess");
  arena_used_bytes += piece->bytes;
  return CUDA_SUCCESS;
}

/* Takes `bytes`, or says why not. True if they are ours. */
static bool
take (uint64_t bytes)
{
  struct held *piece = &held[held_count];
  if (held_count == HELD_MAX)
    give_up (EXIT_BAD_OPTION, "%d pieces are the most; use a larger --chunk", HELD_MAX);
  *piece = (struct held){ .bytes = bytes };
  int result = arena_used_bytes + bytes <= arena_bytes ? take_mapped (piece) : cuda.alloc (&piece->pointer, bytes);
  if (result != CUDA_SUCCESS)
    {
      tell_refused (bytes, held_bytes, result, cuda_error_name (result));
      if (result != CUDA_ERROR_OUT_OF_MEMORY)
        give_up (EXIT_NO_DRIVER, "an engine expects CUDA_ERROR_OUT_OF_MEMORY here, not %s", cuda_error_name (result));
      return false;
    }
  cuda_must (cuda.fill (piece->pointer, 0xa5, PIECE_BYTES), "cuMemsetD8");
  held_count++;
  held_bytes += bytes;
  tell_got (bytes, held_bytes);
  return true;
}

void
give_back (void)
{
  for (; held_count > 0; held_count--)
    {
      const struct held *piece = &held[held_count - 1];
      if (piece->handle == 0)
        cuda_must (cuda.free (piece->pointer), "cuMemFree");
      else
        {
          cuda_must (cuda.unmap (piece->pointer, piece->bytes), "cuMemUnmap");
          cuda_must (cuda.release (piece->handle), "cuMemRelease");
        }
    }
  if (arena_bytes > 0)
    cuda_must (cuda.unreserve (arena, arena_bytes), "cuMemAddressFree");
  cuda.context_release (0);
}

static uint64_t
smaller (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

static uint64_t
share_of (const struct manners *manners, uint64_t bytes)
{
  uint64_t share = (uint64_t) ((unsigned __int128) bytes * manners->percent / 100) / PIECE_BYTES * PIECE_BYTES;
  return smaller (share, manners->limit_bytes);
}

void
be_polite (const struct manners *manners, uint64_t free_bytes)
{
  uint64_t share = share_of (manners, free_bytes);
  if (share > 0 && cuda.reserve (&arena, share * ARENA_PER_SHARE, 0, 0, 0) == CUDA_SUCCESS)
    arena_bytes = share * ARENA_PER_SHARE;
  uint64_t chunk = manners->chunk_bytes != 0 ? manners->chunk_bytes : share;
  while (held_bytes < share && take (smaller (chunk, share - held_bytes)))
    ;
}

void
be_greedy (const struct manners *manners, uint64_t total_bytes)
{
  uint64_t share = share_of (manners, total_bytes);
  uint64_t chunk = manners->chunk_bytes != 0 ? manners->chunk_bytes : share;
  int refusals = 0;
  while (held_bytes < share && refusals < REFUSALS_ENOUGH)
    refusals += !take (smaller (chunk, share - held_bytes));
  uint64_t beyond = manners->chunk_bytes != 0 ? manners->chunk_bytes : UINT64_C (256) << 20;
  for (refusals = 0; refusals < REFUSALS_ENOUGH && held_bytes < manners->limit_bytes;)
    refusals += !take (smaller (beyond, manners->limit_bytes - held_bytes));
}

void
bypass (const struct manners *manners)
{
  uint64_t chunk = manners->chunk_bytes != 0 ? manners->chunk_bytes : UINT64_C (64) << 20;
  while (held_bytes < manners->limit_bytes)
    {
      uint64_t bytes = smaller (chunk, manners->limit_bytes - held_bytes);
      void *at = mmap (NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
      if (at == MAP_FAILED)
        {
          tell_refused (bytes, held_bytes, errno, errno == ENOMEM ? "ENOMEM" : strerror (errno));
          give_up (EXIT_KERNEL_REFUSED,
                   "the kernel gave no more huge pages before anybody stopped this; "
                   "raise vm.nr_overcommit_hugepages or give a lower --limit");
        }
      held_bytes += bytes;
      tell_got (bytes, held_bytes);
    }
}

uint64_t
taken_bytes (void)
{
  return held_bytes;
}

/* A libcuda.so.1 that takes no memory and keeps true books: what lives, how much each thing takes, what ends with what. It gives out
   the address or handle that was freed last, so that a shim that remembers a moment too late is found out; it fails now and then,
   leaving rubbish in the outputs; and it aborts where more is held than the limit allows. */
#include "driver_books.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 1 << 16, FIRST_ADDRESS = 0x100000 };
enum { POOLS = 3 }; /* 1 is the device's own */

pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fuzz_truth own_truth;
struct fuzz_truth *driver_truth = &own_truth;
static unsigned seed = 1;
static int failures_per_thousand;

static struct block { uint64_t bytes; uint32_t context; uint32_t pool; uint32_t next_free; int lent; uint64_t unseen, stuck; } blocks[BLOCKS];
static uint32_t free_block, fresh_block = 1;
static struct context { int alive; int references; } contexts[DRIVER_CONTEXTS]; /* 1 is the primary one */
static struct pool { uint64_t used_bytes, reserved_bytes; } pools[POOLS];
static __thread uint32_t current;
static __thread uint64_t just_pitched;
static __thread uint64_t my_unseen_bytes;
static __thread bool in_pool_call;
static int pool_calls; /* on their way */
static uint64_t unseen_in_pools;

void
fuzz_driver_begin (struct fuzz_truth *shared, unsigned first, int failures)
{
  driver_truth = shared;
  seed = first;
  failures_per_thousand = failures;
}

static uint64_t
charge_of (uint64_t bytes)
{
  uint64_t unit = bytes <= (1u << 20) ? 512 : 2u << 20;
  return (bytes + unit - 1) / unit * unit;
}

/* All below with the lock held. */
int
driver_fails (void)
{
  if ((int) (rand_r (&seed) % 1000) >= failures_per_thousand)
    return 0;
  static const int errors[] = { OUT_OF_MEMORY, INVALID, DESTROYED, UNKNOWN };
  return errors[rand_r (&seed) % 4];
}

void
driver_hold (uint64_t bytes, uint64_t unseen)
{
  driver_truth->unseen_bytes += unseen;
  my_unseen_bytes += unseen;
  uint64_t now = driver_truth->held_bytes += bytes, seen = now - driver_truth->unseen_bytes, most = driver_truth->most_bytes;
  if (driver_truth->limit_bytes != 0 && now > driver_truth->limit_bytes + driver_truth->unseen_bytes + driver_truth->graph_bytes + driver_truth->stuck_bytes)
    {
      fprintf (stderr, "fuzz driver: %llu bytes held, the limit is %llu\n", (unsigned long long) seen,
               (unsigned long long) driver_truth->limit_bytes);
      abort ();
    }
  while (most < seen && !__atomic_compare_exchange_n ((uint64_t *) &driver_truth->most_bytes, &most, seen, 0, 5, 5))
    ;
  driver_truth->granted++;
}

/* One call's growth of a pool may be given back by another call alone, that took of the new page meanwhile: until none is on its way. */
void
fuzz_driver_call_over (void)
{
  pthread_mutex_lock (&driver_lock);
  if (in_pool_call)
    unseen_in_pools += my_unseen_bytes;
  else
    driver_truth->unseen_bytes -= my_unseen_bytes;
  pool_calls -= in_pool_call;
  if (pool_calls == 0)
    {
      driver_truth->unseen_bytes -= unseen_in_pools;
      unseen_in_pools = 0;
    }
  my_unseen_bytes = just_pitched = 0;
  in_pool_call = false;
  pthread_mutex_unlock (&driver_lock);
}

static uint32_t
take_block (uint64_t bytes, uint64_t unseen, uint32_t context)
{
  uint32_t index = free_block != 0 ? free_block : fresh_block < BLOCKS ? fresh_block++ : 0;
  if (index == 0)
    return 0;
  if (index == free_block)
    free_block = blocks[index].next_free;
  blocks[index] = (struct block){ .bytes = bytes, .context = context, .unseen = unseen };
  driver_hold (bytes, unseen);
  return index;
}

static void
drop_block (uint32_t index)
{
  if (blocks[index].lent)
    ; /* another process's */
  else if (blocks[index].pool != 0)
    pools[blocks[index].pool].used_bytes -= blocks[index].bytes; /* the pool keeps its pages */
  else
    driver_truth->held_bytes -= blocks[index].bytes;
  driver_truth->stuck_bytes -= blocks[index].stuck;
  blocks[index] = (struct block){ .next_free = free_block };
  free_block = index;
}

static int
end_context (uint32_t context)
{
  for (uint32_t i = 1; i < fresh_block; i++)
    if (blocks[i].bytes != 0 && blocks[i].context == context)
      drop_block (i);
  driver_context_ended (context);
  contexts[context].alive = 0;
  return 0;
}

/* `known` is what the caller could say beforehand. */
static int
give_charged (uint64_t *pointer, uint64_t bytes, uint64_t known, uint32_t context)
{
  *pointer = 0xdeadbeef;
  int error = bytes > (uint64_t) 1 << 61 ? OUT_OF_MEMORY : context != 0 && !contexts[context].alive ? DESTROYED : driver_fails ();
  if (error != 0)
    return error;
  uint32_t index = take_block (bytes, bytes - known, context);
  if (index == 0)
    return OUT_OF_MEMORY;
  *pointer = FIRST_ADDRESS + (uint64_t) index * 512;
  return 0;
}

static int
give (uint64_t *pointer, uint64_t size, uint64_t known, uint32_t context)
{
  *pointer = 0xdeadbeef;
  return size > (uint64_t) 1 << 60 ? OUT_OF_MEMORY : give_charged (pointer, charge_of (size), charge_of (known), context);
}

#define GIVE(size, known, context) LOCKED (p == NULL || (size) == 0 ? INVALID : give (p, (size), (known), (context)))

static int
give_short (uint32_t *pointer, uint64_t size)
{
  uint64_t address = 0;
  int error = give (&address, size, size, current);
  *pointer = (uint32_t) address;
  return error;
}

static int
take_back (uint64_t pointer)
{
  uint64_t index = (pointer - FIRST_ADDRESS) / 512;
  if (pointer == 0 || driver_graph_freed (pointer))
    return 0;
  if (pointer < FIRST_ADDRESS || pointer % 512 != 0 || index == 0 || index >= fresh_block || blocks[index].bytes == 0 || blocks[index].lent)
    return INVALID;
  /* Never for what the shim itself gives back and nothing else will end: nobody could try again. */
  struct block *block = &blocks[index];
  bool by_shim = pointer == just_pitched;
  int error = block->pool != 0 || (by_shim && block->context == 0) ? 0 : by_shim && rand_r (&seed) % 4 == 0 ? UNKNOWN : driver_fails ();
  if (error == 0)
    drop_block ((uint32_t) index);
  else if (by_shim)
    driver_truth->stuck_bytes += block->stuck = block->unseen; /* until its context ends */
  return error;
}

CUresult cuInit (unsigned f) { return (int) f; }
CUresult cuMemGetInfo_v2 (size_t *f, size_t *t) { return f == NULL || t == NULL ? INVALID : (*f = *t = (size_t) 1 << 40, 0); }
CUresult cuMemGetInfo (uint32_t *f, uint32_t *t) { return f == NULL || t == NULL ? INVALID : (*f = *t = UINT32_MAX, 0); }
CUresult cuDeviceTotalMem_v2 (size_t *b, CUdevice d) { return b == NULL || d != 0 ? 101 : (*b = (size_t) 1 << 40, 0); }
CUresult cuDeviceTotalMem (uint32_t *b, CUdevice d) { return b == NULL || d != 0 ? 101 : (*b = UINT32_MAX, 0); }
CUresult cuMemAlloc_v2 (CUdeviceptr *p, size_t n) { GIVE (n, n, current); }
CUresult cuMemAlloc (CUdeviceptr_v1 *p, uint32_t n) { LOCKED (p == NULL || n == 0 ? INVALID : give_short (p, n)); }
/* A pool takes pages of 2 MiB and keeps them until it is trimmed. */
static int
give_from_pool (CUdeviceptr *p, uint64_t size, uint64_t pool)
{
  enum { PAGE = 2 << 20 };
  *p = 0xdeadbeef;
  pool_calls += !in_pool_call;
  in_pool_call = true;
  int error = pool == 0 || pool >= POOLS ? INVALID : size > (uint64_t) 1 << 60 ? OUT_OF_MEMORY : driver_fails ();
  uint32_t index = error != 0 ? 0 : free_block != 0 ? free_block : fresh_block < BLOCKS ? fresh_block++ : 0;
  if (index == 0)
    return error != 0 ? error : OUT_OF_MEMORY;
  if (index == free_block)
    free_block = blocks[index].next_free;
  uint64_t bytes = charge_of (size);
  blocks[index] = (struct block){ .bytes = bytes, .pool = (uint32_t) pool };
  struct pool *from = &pools[pool];
  from->used_bytes += bytes;
  if (from->used_bytes > from->reserved_bytes)
    {
      /* Nobody can know beforehand: two who count on the same idle page both grow. */
      uint64_t growth = (from->used_bytes - from->reserved_bytes + PAGE - 1) / PAGE * PAGE;
      from->reserved_bytes += growth;
      driver_hold (growth, growth);
    }
  *p = FIRST_ADDRESS + (uint64_t) index * 512;
  return 0;
}

static int
trim_pool (uint64_t pool, uint64_t keep)
{
  if (pool == 0 || pool >= POOLS)
    return INVALID;
  uint64_t least = (pools[pool].used_bytes + (2u << 20) - 1) >> 21 << 21;
  if (least < keep)
    least = keep;
  if (pools[pool].reserved_bytes > least)
    {
      driver_truth->held_bytes -= pools[pool].reserved_bytes - least;
      pools[pool].reserved_bytes = least;
    }
  return 0;
}

#define POOL(m) ((uint64_t) (uintptr_t) (m))
#define GIVE_ASYNC(m) (void) s; LOCKED (p == NULL || n == 0 ? INVALID : give_from_pool (p, n, (m)))
CUresult cuCtxGetDevice (CUdevice *d) { return *d = 0, 0; }
CUresult cuDeviceGetMemPool (CUmemoryPool *m, CUdevice d) { return d != 0 ? 101 : (*m = (CUmemoryPool) 1, 0); }
CUresult cuMemPoolGetAttribute (CUmemoryPool m, int a, void *v) { LOCKED (POOL (m) == 0 || POOL (m) >= POOLS || (a != 5 && a != 7) ? INVALID : (*(uint64_t *) v = a == 5 ? pools[POOL (m)].reserved_bytes : pools[POOL (m)].used_bytes, 0)); }
CUresult cuMemPoolTrimTo (CUmemoryPool m, size_t n) { LOCKED (trim_pool (POOL (m), n)); }
CUresult cuMemAllocAsync (CUdeviceptr *p, size_t n, CUstream s) { GIVE_ASYNC (1); }
CUresult cuMemAllocAsync_ptsz (CUdeviceptr *p, size_t n, CUstream s) { GIVE_ASYNC (1); }
CUresult cuMemAllocFromPoolAsync (CUdeviceptr *p, size_t n, CUmemoryPool m, CUstream s) { (void) m; GIVE_ASYNC (POOL (m)); }
CUresult cuMemAllocFromPoolAsync_ptsz (CUdeviceptr *p, size_t n, CUmemoryPool m, CUstream s) { (void) m; GIVE_ASYNC (POOL (m)); }
CUresult cuMemFree_v2 (CUdeviceptr p) { LOCKED (take_back (p)); }
CUresult cuMemFree (CUdeviceptr_v1 p) { LOCKED (take_back (p)); }
CUresult cuMemFreeAsync (CUdeviceptr p, CUstream s) { (void) s; LOCKED (take_back (p)); }
CUresult cuMemFreeAsync_ptsz (CUdeviceptr p, CUstream s) { (void) s; LOCKED (take_back (p)); }
CUresult cuMemAllocManaged (CUdeviceptr *p, size_t n, unsigned f) { LOCKED (p == NULL || n == 0 || f == 0 ? INVALID : give (p, n, n, current)); }

/* Pinned memory by whole pages; a block's address is never looked at. */
static int
give_pinned (void **p, uint64_t n)
{
  uint64_t pages = (n + 4095) / 4096 * 4096;
  return n > (uint64_t) 1 << 60 ? OUT_OF_MEMORY : give_charged ((uint64_t *) p, pages, pages, current);
}
CUresult cuMemAllocHost_v2 (void **p, size_t n) { LOCKED (p == NULL || n == 0 ? INVALID : give_pinned (p, n)); }
CUresult cuMemAllocHost (void **p, uint32_t n) { LOCKED (p == NULL || n == 0 ? INVALID : give_pinned (p, n)); }
CUresult cuMemHostAlloc (void **p, size_t n, unsigned f) { LOCKED (p == NULL || n == 0 || f > 7 ? INVALID : give_pinned (p, n)); }
CUresult cuMemFreeHost (void *p) { LOCKED (p == NULL ? INVALID : take_back ((uintptr_t) p)); }

/* Bytes of one channel alone: what the shim computes for the other formats is another test's subject. */
static int
give_array (void *p, uint64_t w, uint64_t h, uint64_t d)
{
  uint64_t bytes = 0;
  if (__builtin_mul_overflow (w, h == 0 ? 1 : h, &bytes) || __builtin_mul_overflow (bytes, d == 0 ? 1 : d, &bytes))
    return OUT_OF_MEMORY;
  return give (p, bytes, bytes, current);
}
CUresult cuArrayCreate_v2 (CUarray *p, const CUDA_ARRAY_DESCRIPTOR *a) { LOCKED (p == NULL || a == NULL || a->Width == 0 ? INVALID : give_array (p, a->Width, a->Height, 0)); }
CUresult cuArray3DCreate_v2 (CUarray *p, const CUDA_ARRAY3D_DESCRIPTOR *a) { LOCKED (p == NULL || a == NULL || a->Width == 0 ? INVALID : give_array (p, a->Width, a->Height, a->Depth)); }
CUresult cuArrayDestroy (CUarray p) { LOCKED (p == NULL ? INVALID : take_back ((uintptr_t) p)); }

static int
give_pitched (CUdeviceptr *p, size_t *pitch, uint64_t w, uint64_t h, uint64_t align)
{
  uint64_t least, most;
  *pitch = 0xdeadbeef;
  if (__builtin_mul_overflow ((w + 511) / 512 * 512, h, &least) || __builtin_mul_overflow ((w + align - 1) / align * align, h, &most)
      || most > (uint64_t) 1 << 60)
    return OUT_OF_MEMORY;
  int error = give (p, most, least, current);
  just_pitched = error == 0 ? *p : 0;
  *pitch = error == 0 ? (w + align - 1) / align * align : 0xbad;
  return error;
}

CUresult
cuMemAllocPitch_v2 (CUdeviceptr *p, size_t *pitch, size_t w, size_t h, unsigned e)
{
  LOCKED (p == NULL || pitch == NULL || w == 0 || h == 0 || w > SIZE_MAX - 1024 || e == 0 ? INVALID : give_pitched (p, pitch, w, h, 1024));
}

CUresult
cuMemAllocPitch (CUdeviceptr_v1 *p, uint32_t *pitch, uint32_t w, uint32_t h, uint32_t e)
{
  if (p == NULL || pitch == NULL || w == 0 || h == 0 || e == 0)
    return INVALID;
  CUdeviceptr wide = 0;
  size_t wide_pitch = 0;
  pthread_mutex_lock (&driver_lock);
  int error = give_pitched (&wide, &wide_pitch, w, h, 512);
  pthread_mutex_unlock (&driver_lock);
  *p = (uint32_t) wide, *pitch = (uint32_t) wide_pitch;
  return error;
}

/* ---- what another process lends: at the addresses that everything has, and nothing is held for it ---- */

static int
lend (CUdeviceptr *pointer)
{
  int error = driver_fails ();
  uint32_t index = error != 0 ? 0 : take_block (0, 0, 0);
  if (index == 0)
    return error != 0 ? error : OUT_OF_MEMORY;
  blocks[index].bytes = blocks[index].lent = 1;
  *pointer = FIRST_ADDRESS + (uint64_t) index * 512;
  return 0;
}

static int
close_lent (uint64_t pointer)
{
  uint64_t index = (pointer - FIRST_ADDRESS) / 512;
  if (pointer < FIRST_ADDRESS || index >= fresh_block || !blocks[index].lent)
    return INVALID;
  drop_block ((uint32_t) index);
  return 0;
}

CUresult cuIpcOpenMemHandle_v2 (CUdeviceptr *p, struct fuzz_ipc_handle h, unsigned f) { (void) h; LOCKED (p == NULL || f != 1 ? INVALID : lend (p)); }
CUresult cuIpcCloseMemHandle (CUdeviceptr p) { LOCKED (close_lent (p)); }

/* ---- contexts ---- */

static CUcontext
handle_of (uint32_t context)
{
  return (CUcontext) ((uintptr_t) context * FUZZ_PRIMARY);
}

static int
create_context (CUcontext *context)
{
  for (uint32_t i = 2; i < DRIVER_CONTEXTS; i++)
    if (!contexts[i].alive)
      return contexts[i].alive = 1, *context = handle_of (i), current = i, 0;
  return OUT_OF_MEMORY;
}

/* Its number, 0 where it is none. */
static uint32_t
is_context (CUcontext context)
{
  uintptr_t number = (uintptr_t) context / FUZZ_PRIMARY;
  return (uintptr_t) context % FUZZ_PRIMARY == 0 && number < DRIVER_CONTEXTS && contexts[number].alive ? (uint32_t) number : 0;
}

uint32_t
driver_context (void)
{
  return contexts[current].alive ? current : 0;
}

CUresult cuCtxCreate_v2 (CUcontext *c, unsigned f, CUdevice d) { LOCKED (c == NULL || f != 0 || d != 0 ? INVALID : create_context (c)); }
CUresult cuCtxSetCurrent (CUcontext c) { LOCKED (c != NULL && !is_context (c) ? DESTROYED : (current = is_context (c), 0)); }
CUresult cuCtxGetCurrent (CUcontext *c) { return *c = handle_of (current), 0; }
CUresult cuCtxDestroy_v2 (CUcontext c) { LOCKED (is_context (c) < 2 ? DESTROYED : end_context (is_context (c))); }
CUresult cuCtxDestroy (CUcontext c) { return cuCtxDestroy_v2 (c); }
CUresult cuDevicePrimaryCtxRetain (CUcontext *c, CUdevice d) { LOCKED (d != 0 ? 101 : (contexts[1].references++, contexts[1].alive = 1, *c = handle_of (1), 0)); }
CUresult cuDevicePrimaryCtxGetState (CUdevice d, unsigned *f, int *a) { LOCKED (d != 0 ? 101 : (*f = 0, *a = contexts[1].alive, 0)); }
CUresult cuDevicePrimaryCtxReset_v2 (CUdevice d) { LOCKED (d != 0 ? 101 : end_context (1)); }
CUresult cuDevicePrimaryCtxReset (CUdevice d) { return cuDevicePrimaryCtxReset_v2 (d); }
CUresult cuDevicePrimaryCtxRelease_v2 (CUdevice d) { LOCKED (d != 0 ? 101 : contexts[1].references == 0 ? DESTROYED : --contexts[1].references == 0 ? end_context (1) : 0); }
CUresult cuDevicePrimaryCtxRelease (CUdevice d) { return cuDevicePrimaryCtxRelease_v2 (d); }

/* Random interleavings of every hooked call, checked against the driver's own books: after each call where one thread runs, at rest
   where several do. The shim is linked in, with the sanitizer that the program has; the driver is driver.c.
     fuzz SEED ROUNDS    rounds of seed SEED, SEED + 1, …; a finding names its seed, and that seed alone shows it again */
#include "common/ledger.h"
#include "driver.h"
#include "shim/hooks.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((uint64_t) 1 << 20)
#define BUDGET (256 * MIB)

enum { STEPS = 2000, THREADS_MAX = 6, POINTERS = 48, HANDLES = 16, PLACES = 64, CONTEXTS = 3, UNTOUCHED = 0x7e57 };

static struct fuzz_truth *truth;
static int ledger_fd;
static unsigned round_seed;
static char ledger_path[64] = "/tmp/spark-fuzz-XXXXXX";

#define MUST(condition)                                                                                                \
  do                                                                                                                   \
    if (!(condition))                                                                                                  \
      {                                                                                                                \
        fprintf (stderr, "fuzz: seed %u: %s:%d: not true: %s\n", round_seed, __FILE__, __LINE__, #condition);           \
        abort ();                                                                                                      \
      }                                                                                                                \
  while (0)

struct actor {
  unsigned seed;
  int index;
  int alone; /* nobody else runs: all can be checked after each call */
  uint64_t pointers[POINTERS];
  uintptr_t owners[POINTERS]; /* the context that the pointer ends with, 0 = none */
  uintptr_t current;
  uint64_t handles[HANDLES];
  int references[HANDLES];
  uint64_t mapped[PLACES]; /* by place: bytes of the mapping that begins there */
  CUcontext contexts[CONTEXTS];
  int primaries;
};

static unsigned
pick (struct actor *actor, unsigned below)
{
  return (unsigned) rand_r (&actor->seed) % below;
}

static struct spark_ledger_view
look (void)
{
  struct spark_ledger_view view;
  MUST (spark_ledger_peek (ledger_fd, &view) == 0);
  return view;
}

static uint64_t
some_size (struct actor *actor)
{
  static const uint64_t edges[] = { 0, 1, 511, 512, 513, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 1, BUDGET, BUDGET + 1,
                                    (uint64_t) 1 << 32, (uint64_t) 1 << 63, ((uint64_t) 1 << 63) - 1, UINT64_MAX, UINT64_MAX - 511 };
  switch (pick (actor, 8))
    {
    case 0:
      return edges[pick (actor, sizeof edges / sizeof edges[0])];
    case 1:
      return BUDGET - truth->held_bytes; /* to the last byte */
    case 2:
    case 3:
      return pick (actor, 70000);
    default:
      return (uint64_t) pick (actor, 24) * MIB + pick (actor, 2);
    }
}

static uint64_t
charge_of (uint64_t bytes)
{
  uint64_t unit = bytes <= MIB ? 512 : 2 * MIB;
  return bytes > UINT64_MAX - unit ? UINT64_MAX : (bytes + unit - 1) / unit * unit;
}

/* ---- one call each ---- */

static void
allocate (struct actor *actor)
{
  unsigned at = pick (actor, POINTERS);
  if (actor->pointers[at] != 0)
    return;
  uint64_t bytes = some_size (actor), whole = charge_of (bytes), pointer = UNTOUCHED, pitch = UNTOUCHED;
  uint32_t small = UNTOUCHED, small_pitch = UNTOUCHED;
  uint64_t refused = actor->alone ? look ().refused_count : 0;
  bool nowhere = pick (actor, 50) == 0;
  CUdeviceptr *to = nowhere ? NULL : &pointer;
  CUresult result;
  unsigned how = pick (actor, 9);
  CUmemoryPool pool = (CUmemoryPool) (uintptr_t) (1 + pick (actor, 2));
  switch (how)
    {
    case 0:
      result = cuMemAllocAsync (to, bytes, NULL);
      break;
    case 1:
      result = cuMemAllocAsync_ptsz (to, bytes, NULL);
      break;
    case 2:
      result = cuMemAllocFromPoolAsync (to, bytes, pool, NULL);
      break;
    case 3:
      result = cuMemAllocFromPoolAsync_ptsz (to, bytes, pool, NULL);
      break;
    case 4:
      {
        uint64_t rows = 1 + pick (actor, 40), row;
        whole = __builtin_mul_overflow (bytes > UINT64_MAX - 1023 ? UINT64_MAX : (bytes + 1023) / 1024 * 1024, rows, &row) ? UINT64_MAX : charge_of (row);
        result = cuMemAllocPitch_v2 (to, pick (actor, 20) ? &pitch : NULL, bytes, rows, 4);
        MUST (result == 0 || pitch == UNTOUCHED);
        break;
      }
    case 5:
      whole = charge_of ((uint32_t) bytes);
      result = cuMemAlloc (nowhere ? NULL : &small, (uint32_t) bytes);
      pointer = small;
      break;
    case 6:
      {
        uint32_t width = (uint32_t) (bytes % 100000), rows = pick (actor, 40);
        whole = charge_of ((uint64_t) ((width + 511) / 512 * 512) * rows);
        result = cuMemAllocPitch (nowhere ? NULL : &small, &small_pitch, width, rows, 4);
        pointer = small;
        break;
      }
    default:
      result = cuMemAlloc_v2 (to, bytes);
    }
  uint64_t held = truth->held_bytes; /* before a refusal the pools were trimmed */
  if (actor->alone && look ().refused_count != refused)
    {
      /* By how much a pool grows is known afterwards alone: it may be refused while another pool still had pages to give. */
      bool by_pool = how < 4;
      MUST (look ().refused_count == refused + 1 && result == 2 && (by_pool || whole > BUDGET || held + whole > BUDGET));
    }
  if (result == 0)
    {
      MUST (!nowhere && pointer != 0 && pointer != UNTOUCHED);
      actor->pointers[at] = pointer;
      actor->owners[at] = how < 4 ? 0 : actor->current;
    }
  else
    MUST (pointer == UNTOUCHED);
}

static void
let_go (struct actor *actor)
{
  unsigned at = pick (actor, POINTERS);
  uint64_t pointer = actor->pointers[at];
  if (pointer == 0 && pick (actor, 20) != 0)
    return;
  CUresult result;
  if (pointer == 0)
    pointer = pick (actor, 2) ? 0 : (uint64_t) pick (actor, 1000) * 512 + 7; /* nothing, or an address that never was */
  switch (pick (actor, 5))
    {
    case 0:
      result = cuMemFreeAsync (pointer, NULL);
      break;
    case 1:
      result = cuMemFreeAsync_ptsz (pointer, NULL);
      break;
    case 2:
      result = cuMemFree ((uint32_t) pointer);
      break;
    default:
      result = cuMemFree_v2 (pointer);
    }
  if (result == 0)
    actor->pointers[at] = 0;
}

/* Kept among the device's pointers: in this driver all that frees frees anything, so each goes back by any of the ways. */
static void
pools (struct actor *actor)
{
  CUmemoryPool pool = (CUmemoryPool) (uintptr_t) pick (actor, 4);
  MUST ((cuMemPoolTrimTo (pool, pick (actor, 3) ? 0 : (uint64_t) pick (actor, 64) * MIB) == 0) == ((uintptr_t) pool == 1 || (uintptr_t) pool == 2));
}

static void
other_kinds (struct actor *actor)
{
  unsigned at = pick (actor, POINTERS);
  if (actor->pointers[at] != 0)
    return;
  uint64_t bytes = some_size (actor), pointer = UNTOUCHED;
  uint64_t whole = bytes > UINT64_MAX - 4095 ? UINT64_MAX : (bytes + 4095) / 4096 * 4096;
  uint64_t refused = actor->alone ? look ().refused_count : 0;
  if (pick (actor, 8) == 0)
    pools (actor);
  bool nowhere = pick (actor, 50) == 0;
  void *to = nowhere ? NULL : &pointer;
  CUDA_ARRAY_DESCRIPTOR flat = { .Width = bytes, .Height = pick (actor, 5), .Format = 1, .NumChannels = 1 };
  CUDA_ARRAY3D_DESCRIPTOR deep = { .Width = bytes, .Height = pick (actor, 5), .Depth = pick (actor, 5), .Format = 1, .NumChannels = 1 };
  CUresult result;
  switch (pick (actor, 6))
    {
    case 0:
      result = cuMemAllocHost_v2 (to, bytes);
      break;
    case 1:
      whole = ((uint64_t) (uint32_t) bytes + 4095) / 4096 * 4096;
      result = cuMemAllocHost (to, (uint32_t) bytes);
      break;
    case 2:
      result = cuMemHostAlloc (to, bytes, pick (actor, 9));
      break;
    case 3:
      result = cuArrayCreate_v2 (to, pick (actor, 30) ? &flat : NULL);
      if (__builtin_mul_overflow (bytes, flat.Height == 0 ? 1 : flat.Height, &whole))
        whole = UINT64_MAX;
      whole = charge_of (whole);
      break;
    case 4:
      result = cuArray3DCreate_v2 (to, pick (actor, 30) ? &deep : NULL);
      if (__builtin_mul_overflow (bytes, (deep.Height == 0 ? 1 : deep.Height) * (deep.Depth == 0 ? 1 : deep.Depth), &whole))
        whole = UINT64_MAX;
      whole = charge_of (whole);
      break;
    default:
      whole = charge_of (bytes);
      result = cuMemAllocManaged (to, bytes, pick (actor, 3));
    }
  uint64_t held = truth->held_bytes; /* before a refusal the pools were trimmed */
  if (actor->alone && look ().refused_count != refused)
    MUST (look ().refused_count == refused + 1 && result == 2 && (whole > BUDGET || held + whole > BUDGET));
  MUST ((result == 0) == (pointer != UNTOUCHED) && (result != 0 || !nowhere));
  if (result != 0)
    return;
  actor->pointers[at] = pointer;
  actor->owners[at] = actor->current;
  if (pick (actor, 4) == 0 && (pick (actor, 2) ? cuMemFreeHost ((void *) (uintptr_t) pointer) : cuArrayDestroy ((CUarray) (uintptr_t) pointer)) == 0)
    actor->pointers[at] = 0;
}

static uint64_t
place (struct actor *actor, unsigned at)
{
  return ((uint64_t) (actor->index + 1) << 44) + at * 2 * MIB;
}

static void
handles (struct actor *actor)
{
  unsigned at = pick (actor, HANDLES), where = pick (actor, PLACES);
  uint64_t handle = UNTOUCHED;
  switch (pick (actor, 6))
    {
    case 0:
      if (actor->references[at] == 0)
        {
          uint64_t bytes = pick (actor, 4) ? (uint64_t) (1 + pick (actor, 8)) * 2 * MIB : some_size (actor);
          uint64_t refused = actor->alone ? look ().refused_count : 0;
          CUresult result = cuMemCreate (pick (actor, 30) ? &handle : NULL, bytes, NULL, pick (actor, 30) == 0);
          if (actor->alone && look ().refused_count != refused)
            MUST (result == 2 && bytes > BUDGET - truth->held_bytes);
          MUST ((result == 0) == (handle != UNTOUCHED));
          if (result == 0)
            actor->handles[at] = handle, actor->references[at] = 1;
        }
      break;
    case 1:
      if (actor->references[at] > 0)
        {
          MUST (cuMemRelease (actor->handles[at]) == 0);
          actor->references[at]--;
        }
      else if (actor->alone)
        cuMemRelease (1000000 + pick (actor, 1000));
      break;
    case 2:
    case 3:
      if (actor->references[at] > 0)
        {
          /* Where it does not lie on another's. */
          uint64_t bytes = (uint64_t) (1 + pick (actor, 3)) * 2 * MIB;
          if (cuMemMap (place (actor, where), bytes, 0, actor->handles[at], 0) == 0)
            actor->mapped[where] = bytes;
        }
      break;
    case 4:
      if (actor->mapped[where] != 0)
        {
          /* With its neighbours, or alone; sometimes half of it, which the driver refuses. */
          unsigned end = where, cut = pick (actor, 8) == 0;
          do
            end += (unsigned) (actor->mapped[end] / (2 * MIB));
          while (end < PLACES && actor->mapped[end] != 0 && pick (actor, 2));
          uint64_t bytes = (end - where) * 2 * MIB - (cut ? MIB : 0);
          CUresult result = cuMemUnmap (place (actor, where), bytes);
          MUST ((result == 0) == !cut);
          for (unsigned i = where; result == 0 && i < end && i < PLACES; i++)
            actor->mapped[i] = 0;
        }
      break;
    default:
      if (actor->mapped[where] != 0 && cuMemRetainAllocationHandle (&handle, (void *) (uintptr_t) place (actor, where)) == 0)
        {
          unsigned to = HANDLES, empty = HANDLES;
          for (unsigned i = 0; i < HANDLES; i++)
            if (actor->references[i] > 0 && actor->handles[i] == handle)
              to = i;
            else if (actor->references[i] == 0)
              empty = i;
          if (to == HANDLES && empty == HANDLES)
            MUST (cuMemRelease (handle) == 0);
          else if (to != HANDLES)
            actor->references[to]++;
          else
            actor->handles[empty] = handle, actor->references[empty] = 1;
        }
    }
}

static void
set_current (struct actor *actor, uintptr_t context)
{
  if (cuCtxSetCurrent ((CUcontext) context) == 0)
    actor->current = context;
}

/* A context has ended. Its pointers name nothing any more, or what another thread was given since. */
static void
forget_owned (struct actor *actor, uintptr_t context)
{
  for (unsigned i = 0; i < POINTERS; i++)
    if (actor->owners[i] == context)
      actor->pointers[i] = 0;
}

static void
contexts (struct actor *actor)
{
  unsigned at = pick (actor, CONTEXTS);
  CUcontext context = actor->contexts[at];
  switch (pick (actor, 6))
    {
    case 0:
      if (context == NULL)
        {
          if (cuCtxCreate_v2 (&actor->contexts[at], 0, 0) == 0)
            actor->current = (uintptr_t) actor->contexts[at];
        }
      break;
    case 1:
      if (context != NULL && pick (actor, 4) == 0)
        {
          set_current (actor, 0);
          MUST ((pick (actor, 2) ? cuCtxDestroy (context) : cuCtxDestroy_v2 (context)) == 0);
          actor->contexts[at] = NULL;
          forget_owned (actor, (uintptr_t) context);
        }
      else if (pick (actor, 10) == 0)
        MUST (cuCtxDestroy_v2 (NULL) != 0 && cuCtxDestroy ((CUcontext) 12345) != 0);
      break;
    case 2:
      if (actor->index == 0 && cuDevicePrimaryCtxRetain (&context, 0) == 0)
        {
          actor->primaries++;
          set_current (actor, (uintptr_t) context);
        }
      break;
    case 3:
      if (actor->index == 0 && pick (actor, 2))
        {
          CUresult result = pick (actor, 2) ? cuDevicePrimaryCtxRelease_v2 (0) : cuDevicePrimaryCtxRelease (0);
          MUST ((result == 0) == (actor->primaries > 0));
          actor->primaries -= result == 0;
          if (actor->primaries == 0)
            forget_owned (actor, 1);
        }
      else if (actor->index == 0)
        {
          MUST ((pick (actor, 2) ? cuDevicePrimaryCtxReset_v2 (0) : cuDevicePrimaryCtxReset (0)) == 0);
          MUST (cuDevicePrimaryCtxReset_v2 (9) != 0);
          forget_owned (actor, 1);
        }
      break;
    default:
      set_current (actor, (uintptr_t) context);
    }
}

static bool
is_program (void *function)
{
  Dl_info found, own;
  return dladdr (function, &found) != 0 && dladdr ((void *) is_program, &own) != 0 && found.dli_fbase == own.dli_fbase;
}

static void
names (struct actor *actor)
{
  static const char *const bases[] = {
#define X(base, symbol, since, per_thread) #base,
    SPARK_CUDA_HOOKS (X)
#undef X
  };
  static const char *const others[] = { "", "cuInit", "cuCtxGetCurrent", "cuNothing", "cuMemAlloc_v2_v2", "malloc", "%s%n", "cu" };
  char noise[64];
  unsigned which = pick (actor, 3);
  const char *name = which == 0 ? bases[pick (actor, sizeof bases / sizeof bases[0])] : others[pick (actor, sizeof others / sizeof others[0])];
  if (which == 2)
    {
      size_t length = pick (actor, sizeof noise - 1);
      for (size_t i = 0; i < length; i++)
        noise[i] = (char) (1 + pick (actor, 255));
      noise[length] = '\0';
      name = noise;
    }
  void *function = (void *) UNTOUCHED;
  int status = UNTOUCHED, version = pick (actor, 4) ? (int) pick (actor, 13001) : (int) ((unsigned) rand_r (&actor->seed) * 2u);
  uint64_t flags = pick (actor, 2) ? pick (actor, 4) : (uint64_t) rand_r (&actor->seed) << 2;
  bool first = pick (actor, 2), hooked = false;
  CUresult result = first ? cuGetProcAddress (name, &function, version, flags)
                          : cuGetProcAddress_v2 (name, &function, version, flags, &status);
  for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++)
    hooked |= strcmp (name, bases[i]) == 0;
  MUST (result != 0 || (function != NULL && is_program (function) == hooked));
  if (pick (actor, 20) == 0)
    MUST (cuGetProcAddress_v2 (NULL, &function, version, flags, NULL) != 0 && cuGetProcAddress_v2 (name, NULL, version, flags, NULL) != 0
          && cuGetProcAddress (NULL, NULL, version, flags) != 0);
}

static void
reports (struct actor *actor)
{
  size_t free_bytes = UNTOUCHED, total_bytes = UNTOUCHED, total = 0;
  uint32_t free_32 = 0, total_32 = 0;
  MUST (cuMemGetInfo_v2 (&free_bytes, &total_bytes) == 0 && total_bytes == BUDGET && free_bytes <= BUDGET);
  MUST (!actor->alone || free_bytes == BUDGET - truth->held_bytes);
  MUST (cuMemGetInfo (&free_32, &total_32) == 0 && total_32 == BUDGET && free_32 <= BUDGET);
  MUST (cuDeviceTotalMem_v2 (&total, 0) == 0 && total == BUDGET && cuDeviceTotalMem_v2 (&total, 5) != 0);
  MUST (cuMemGetInfo_v2 (NULL, &total) != 0 && cuMemGetInfo_v2 (&total, NULL) != 0 && cuMemGetInfo (NULL, NULL) != 0);
  MUST (cuDeviceTotalMem_v2 (NULL, 0) != 0 && cuDeviceTotalMem (NULL, 0) != 0 && cuDeviceTotalMem (&total_32, 0) == 0);
}

/* ---- rounds ---- */

static void
step (struct actor *actor)
{
  static void (*const calls[]) (struct actor *)
    = { allocate, allocate, allocate, let_go, let_go, let_go, handles, handles, handles, handles, contexts, other_kinds, names, reports };
  calls[pick (actor, actor->alone ? sizeof calls / sizeof calls[0] : sizeof calls / sizeof calls[0] - 2)](actor);
  if (pick (actor, 50) == 0)
    {
      names (actor);
      reports (actor);
    }
  if (actor->alone)
    MUST (look ().used_bytes == truth->held_bytes);
}

static void *
act (void *data)
{
  struct actor *actor = data;
  for (int i = 0; i < STEPS; i++)
    step (actor);
  return NULL;
}

/* Everything goes back, however often the driver fails meanwhile. */
static void
clear (struct actor *actor)
{
  for (unsigned i = 0; i < CONTEXTS; i++)
    if (actor->contexts[i] != NULL)
      {
        MUST (cuCtxDestroy_v2 (actor->contexts[i]) == 0);
        forget_owned (actor, (uintptr_t) actor->contexts[i]);
      }
  forget_owned (actor, actor->primaries > 0 ? 1 : UINTPTR_MAX);
  for (; actor->primaries > 0; actor->primaries--)
    MUST (cuDevicePrimaryCtxRelease_v2 (0) == 0);
  for (unsigned i = 0; i < POINTERS; i++)
    for (int tries = 0; actor->pointers[i] != 0 && tries < 100 && cuMemFree_v2 (actor->pointers[i]) != 0; tries++)
      ;
  for (unsigned i = 0; i < HANDLES; i++)
    while (actor->references[i]-- > 0)
      MUST (cuMemRelease (actor->handles[i]) == 0);
  for (unsigned i = 0; i < PLACES; i++)
    if (actor->mapped[i] != 0)
      MUST (cuMemUnmap (place (actor, i), actor->mapped[i]) == 0);
  MUST (cuMemPoolTrimTo ((CUmemoryPool) 1, 0) == 0 && cuMemPoolTrimTo ((CUmemoryPool) 2, 0) == 0);
}

/* A child holds nothing of ours, and what it holds goes with it. */
static void
fork_once (unsigned seed)
{
  uint64_t before = look ().used_bytes;
  pid_t pid = fork ();
  if (pid == 0)
    {
      struct actor child = { .seed = seed, .index = 8 };
      for (int i = 0; i < 200; i++)
        step (&child);
      _exit (0);
    }
  int status = 1;
  MUST (waitpid (pid, &status, 0) == pid && status == 0 && look ().used_bytes == before);
}

static void
run_round (unsigned seed)
{
  static struct actor actors[THREADS_MAX];
  pthread_t threads[THREADS_MAX];
  round_seed = seed;
  int count = seed % 2 ? 1 : 2 + (int) (seed / 2 % (THREADS_MAX - 1));
  memset (actors, 0, sizeof actors);
  fuzz_driver_begin (truth, seed, seed % 3 ? 20 : 0);
  for (int i = 0; i < count; i++)
    actors[i] = (struct actor){ .seed = seed * 7919 + (unsigned) i, .index = i, .alone = count == 1 };
  if (count == 1)
    act (&actors[0]);
  else
    {
      for (int i = 0; i < count; i++)
        MUST (pthread_create (&threads[i], NULL, act, &actors[i]) == 0);
      for (int i = 0; i < count; i++)
        pthread_join (threads[i], NULL);
    }
  MUST (look ().used_bytes == truth->held_bytes);
  cuCtxSetCurrent (NULL);
  for (int i = 0; i < count; i++)
    clear (&actors[i]);
  MUST (look ().used_bytes == truth->held_bytes && truth->held_bytes == 0 && look ().peak_bytes <= BUDGET);
  truth->unseen_bytes = 0;
  if (seed % 16 == 1)
    {
      /* The driver's books go into the child too, as they are; what it takes there is not the parent's. */
      uint64_t held = truth->held_bytes;
      fork_once (seed);
      truth->held_bytes = held;
      truth->unseen_bytes = 0;
    }
}

static void
remove_ledger (void)
{
  unlink (ledger_path);
}

int
main (int argc, char **argv)
{
  if (argc != 3)
    {
      fprintf (stderr, "usage: fuzz SEED ROUNDS\n");
      return 2;
    }
  unsigned seed = (unsigned) strtoul (argv[1], NULL, 10), rounds = (unsigned) strtoul (argv[2], NULL, 10);
  struct spark_error error = { 0 };
  ledger_fd = mkstemp (ledger_path);
  atexit (remove_ledger);
  setenv ("SPARK_RUN_LEDGER", ledger_path, 1);
  truth = mmap (NULL, sizeof *truth, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST (ledger_fd >= 0 && truth != MAP_FAILED && spark_ledger_create (ledger_path, BUDGET, 0, 0, &error) == 0);
  truth->limit_bytes = BUDGET;
  for (unsigned i = 0; i < rounds; i++)
    run_round (seed + i);
  printf ("fuzz: seeds %u to %u, %ld grants, %llu refusals, nothing found\n", seed, seed + rounds - 1, (long) truth->granted,
          (unsigned long long) look ().refused_count);
  return 0;
}

/* The calls that take and give memory. */
#include "fuzz.h"

uint64_t
fuzz_size (struct actor *actor)
{
  static const uint64_t edges[] = { 0, 1, 511, 512, 513, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 1, BUDGET, BUDGET + 1,
                                    (uint64_t) 1 << 32, (uint64_t) 1 << 63, ((uint64_t) 1 << 63) - 1, UINT64_MAX, UINT64_MAX - 511 };
  switch (pick (actor, 8))
    {
    case 0:
      return edges[pick (actor, sizeof edges / sizeof edges[0])];
    case 1:
      return BUDGET - fuzz_truth->held_bytes; /* to the last byte */
    case 2:
    case 3:
      return pick (actor, 70000);
    default:
      return (uint64_t) pick (actor, 24) * MIB + pick (actor, 2);
    }
}

bool
fuzz_is_over (uint64_t bytes)
{
  return bytes > BUDGET || fuzz_truth->held_bytes + bytes > BUDGET;
}

void
fuzz_agree (void)
{
  size_t free_bytes, total_bytes;
  uint64_t held = fuzz_truth->held_bytes, used = fuzz_look ().used_bytes;
  MUST (held <= BUDGET + fuzz_truth->graph_bytes + fuzz_truth->stuck_bytes && used <= BUDGET);
  if (used == held)
    return;
  MUST (used < held && held - used <= fuzz_truth->graph_bytes + fuzz_truth->stuck_bytes);
  /* Whoever asks is told what there is now. */
  MUST (cuMemGetInfo_v2 (&free_bytes, &total_bytes) == 0);
  MUST (held - fuzz_look ().used_bytes <= fuzz_truth->stuck_bytes || held > BUDGET);
}

uint64_t
fuzz_charge_of (uint64_t bytes)
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
  uint64_t bytes = fuzz_size (actor), whole = fuzz_charge_of (bytes), pointer = UNTOUCHED, pitch = UNTOUCHED;
  uint32_t small = UNTOUCHED, small_pitch = UNTOUCHED;
  uint64_t refused = actor->alone ? fuzz_look ().refused_count : 0;
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
        whole = __builtin_mul_overflow (bytes > UINT64_MAX - 1023 ? UINT64_MAX : (bytes + 1023) / 1024 * 1024, rows, &row) ? UINT64_MAX : fuzz_charge_of (row);
        result = cuMemAllocPitch_v2 (to, pick (actor, 20) ? &pitch : NULL, bytes, rows, 4);
        MUST (result == 0 || pitch == UNTOUCHED);
        break;
      }
    case 5:
      whole = fuzz_charge_of ((uint32_t) bytes);
      result = cuMemAlloc (nowhere ? NULL : &small, (uint32_t) bytes);
      pointer = small;
      break;
    case 6:
      {
        uint32_t width = (uint32_t) (bytes % 100000), rows = pick (actor, 40);
        whole = fuzz_charge_of ((uint64_t) ((width + 511) / 512 * 512) * rows);
        result = cuMemAllocPitch (nowhere ? NULL : &small, &small_pitch, width, rows, 4);
        pointer = small;
        break;
      }
    default:
      result = cuMemAlloc_v2 (to, bytes);
    }
  if (actor->alone && fuzz_look ().refused_count != refused)
    {
      /* By how much a pool grows is known afterwards alone: it may be refused while another pool still had pages to give. */
      bool by_pool = how < 4;
      MUST (fuzz_look ().refused_count == refused + 1 && result == 2 && (by_pool || fuzz_is_over (whole)));
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
  uint64_t bytes = fuzz_size (actor), pointer = UNTOUCHED;
  uint64_t whole = bytes > UINT64_MAX - 4095 ? UINT64_MAX : (bytes + 4095) / 4096 * 4096;
  uint64_t refused = actor->alone ? fuzz_look ().refused_count : 0;
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
      whole = fuzz_charge_of (whole);
      break;
    case 4:
      result = cuArray3DCreate_v2 (to, pick (actor, 30) ? &deep : NULL);
      if (__builtin_mul_overflow (bytes, (deep.Height == 0 ? 1 : deep.Height) * (deep.Depth == 0 ? 1 : deep.Depth), &whole))
        whole = UINT64_MAX;
      whole = fuzz_charge_of (whole);
      break;
    default:
      whole = fuzz_charge_of (bytes);
      result = cuMemAllocManaged (to, bytes, pick (actor, 3));
    }
  if (actor->alone && fuzz_look ().refused_count != refused)
    MUST (fuzz_look ().refused_count == refused + 1 && result == 2 && fuzz_is_over (whole));
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
          uint64_t bytes = pick (actor, 4) ? (uint64_t) (1 + pick (actor, 8)) * 2 * MIB : fuzz_size (actor);
          uint64_t refused = actor->alone ? fuzz_look ().refused_count : 0;
          CUresult result = cuMemCreate (pick (actor, 30) ? &handle : NULL, bytes, NULL, pick (actor, 30) == 0);
          if (actor->alone && fuzz_look ().refused_count != refused)
            MUST (result == 2 && fuzz_is_over (bytes));
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

/* ---- any of them ---- */

void
fuzz_step (struct actor *actor)
{
  static void (*const calls[]) (struct actor *)
    = { allocate, allocate, allocate, let_go, let_go, let_go, handles, handles, handles, handles, fuzz_contexts, other_kinds,
        fuzz_graphs, fuzz_graphs, fuzz_lent, fuzz_registered, fuzz_limits, fuzz_names, fuzz_reports };
  calls[pick (actor, actor->alone ? sizeof calls / sizeof calls[0] : sizeof calls / sizeof calls[0] - 2)](actor);
  if (pick (actor, 50) == 0)
    {
      fuzz_names (actor);
      fuzz_reports (actor);
    }
  fuzz_driver_call_over ();
  if (actor->alone)
    fuzz_agree ();
}

void
fuzz_clear (struct actor *actor)
{
  for (unsigned i = 0; i < CONTEXTS; i++)
    if (actor->contexts[i] != NULL)
      {
        MUST (cuCtxDestroy_v2 (actor->contexts[i]) == 0);
        fuzz_forget_owned (actor, (uintptr_t) actor->contexts[i]);
      }
  fuzz_forget_owned (actor, actor->primaries > 0 ? FUZZ_PRIMARY : UINTPTR_MAX);
  for (; actor->primaries > 0; actor->primaries--)
    MUST (cuDevicePrimaryCtxRelease_v2 (0) == 0);
  for (unsigned i = 0; i < POINTERS; i++)
    for (int tries = 0; actor->pointers[i] != 0 && tries < 100 && cuMemFree_v2 (actor->pointers[i]) != 0; tries++)
      ;
  fuzz_clear_lent (actor);
  fuzz_clear_graphs (actor);
  for (unsigned i = 0; i < HANDLES; i++)
    while (actor->references[i]-- > 0)
      MUST (cuMemRelease (actor->handles[i]) == 0);
  for (unsigned i = 0; i < PLACES; i++)
    if (actor->mapped[i] != 0)
      MUST (cuMemUnmap (place (actor, i), actor->mapped[i]) == 0);
  MUST (cuMemPoolTrimTo ((CUmemoryPool) 1, 0) == 0 && cuMemPoolTrimTo ((CUmemoryPool) 2, 0) == 0);
}

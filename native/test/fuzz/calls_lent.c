/* What another process lends, which is never counted here, and the program's own memory that the driver pins. */
#include "fuzz.h"

void
fuzz_lent (struct actor *actor)
{
  unsigned at = pick (actor, GRAPHS), which = pick (actor, HANDLES);
  uint64_t held = fuzz_truth->held_bytes, used = fuzz_look ().used_bytes, pointer = UNTOUCHED, handle = UNTOUCHED;
  switch (pick (actor, 4))
    {
    case 0:
      if (actor->lent[at] == 0 && cuIpcOpenMemHandle_v2 (&pointer, (struct fuzz_ipc_handle){ "" }, pick (actor, 20) != 0) == 0)
        actor->lent[at] = pointer;
      break;
    case 1:
      if (actor->lent[at] != 0)
        {
          /* It is closed, not freed. */
          MUST ((pick (actor, 2) ? cuMemFree_v2 (actor->lent[at]) : cuMemFreeAsync (actor->lent[at], NULL)) != 0);
          MUST (cuIpcCloseMemHandle (actor->lent[at]) == 0);
          actor->lent[at] = 0;
        }
      break;
    case 2:
      /* Its own, exported: the driver has a handle for it already. */
      if (actor->references[which] > 0 && cuMemImportFromShareableHandle (&handle, (void *) (uintptr_t) actor->handles[which], 1) == 0)
        {
          MUST (handle == actor->handles[which]);
          actor->references[which]++;
        }
      break;
    default:
      if (actor->references[which] == 0
          && cuMemImportFromShareableHandle (&handle, (void *) (uintptr_t) ((1 + pick (actor, 64)) << 12), 1 + (pick (actor, 20) == 0)) == 0)
        actor->handles[which] = handle, actor->references[which] = 1;
    }
  MUST (!actor->alone || (fuzz_truth->held_bytes == held && fuzz_look ().used_bytes == used));
}

/* Addresses that nobody looks at: without a memory cgroup the whole range counts, touched or not. */
static void *
range_of (struct actor *actor, unsigned at)
{
  return (void *) (((uintptr_t) (actor->index + 1) << 40) + ((uintptr_t) at << 34));
}

void
fuzz_registered (struct actor *actor)
{
  unsigned at = pick (actor, REGISTERED);
  void *range = range_of (actor, at);
  uint64_t refused = actor->alone ? fuzz_look ().refused_count : 0;
  if (pick (actor, 2))
    {
      uint64_t bytes = fuzz_size (actor), whole = bytes > UINT64_MAX - 4095 ? UINT64_MAX : (bytes + 4095) / 4096 * 4096;
      unsigned flags = pick (actor, 20) ? 0 : 9;
      void *from = pick (actor, 20) ? range : NULL;
      CUresult result = pick (actor, 2) ? cuMemHostRegister (from, bytes, flags) : cuMemHostRegister_v2 (from, bytes, flags);
      if (actor->alone && fuzz_look ().refused_count != refused)
        MUST (fuzz_look ().refused_count == refused + 1 && result == 2 && fuzz_is_over (whole));
      MUST (result != 0 || (actor->registered[at] == 0 && from != NULL && actor->current != 0));
      if (result == 0)
        actor->registered[at] = actor->current;
    }
  else
    {
      CUresult result = cuMemHostUnregister (range);
      MUST (result != 0 || actor->registered[at] != 0);
      if (result == 0)
        actor->registered[at] = 0;
    }
}

void
fuzz_clear_lent (struct actor *actor)
{
  for (unsigned i = 0; i < GRAPHS; i++)
    if (actor->lent[i] != 0)
      MUST (cuIpcCloseMemHandle (actor->lent[i]) == 0);
  for (unsigned i = 0; i < REGISTERED; i++)
    for (int tries = 0; actor->registered[i] != 0 && tries < 100 && cuMemHostUnregister (range_of (actor, i)) != 0; tries++)
      ;
}

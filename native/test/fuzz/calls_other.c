/* The calls that end contexts, hand out functions and report. */
#include "fuzz.h"

#include "shim/hooks.h"
#include <dlfcn.h>
#include <string.h>

static void
set_current (struct actor *actor, uintptr_t context)
{
  if (cuCtxSetCurrent ((CUcontext) context) == 0)
    actor->current = context;
}

/* A context has ended. Its pointers name nothing any more, or what another thread was given since. */
void
fuzz_forget_owned (struct actor *actor, uintptr_t context)
{
  for (unsigned i = 0; i < POINTERS; i++)
    if (actor->owners[i] == context)
      actor->pointers[i] = 0;
  for (unsigned i = 0; i < REGISTERED; i++)
    if (actor->registered[i] == context)
      actor->registered[i] = 0;
}

/* What a limit takes ends with its context, whatever it was. */
void
fuzz_limits (struct actor *actor)
{
  int limit = (int) pick (actor, 4);
  uint64_t value = pick (actor, 2) ? (uint64_t) 512 << pick (actor, 8) : fuzz_size (actor);
  uint64_t refused = actor->alone ? fuzz_look ().refused_count : 0;
  CUresult result = cuCtxSetLimit (limit, value);
  MUST (result != 0 || (limit < 3 && actor->current != 0));
  if (actor->alone && fuzz_look ().refused_count != refused)
    MUST (fuzz_look ().refused_count == refused + 1 && result == 2 && limit != 1 && fuzz_is_over (limit == 0 && value < BUDGET ? value * 2048 : value));
}

void
fuzz_contexts (struct actor *actor)
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
          fuzz_forget_owned (actor, (uintptr_t) context);
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
            fuzz_forget_owned (actor, FUZZ_PRIMARY);
        }
      else if (actor->index == 0)
        {
          MUST ((pick (actor, 2) ? cuDevicePrimaryCtxReset_v2 (0) : cuDevicePrimaryCtxReset (0)) == 0);
          MUST (cuDevicePrimaryCtxReset_v2 (9) != 0);
          fuzz_forget_owned (actor, FUZZ_PRIMARY);
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

void
fuzz_names (struct actor *actor)
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

void
fuzz_reports (struct actor *actor)
{
  size_t free_bytes = UNTOUCHED, total_bytes = UNTOUCHED, total = 0;
  uint32_t free_32 = 0, total_32 = 0;
  MUST (cuMemGetInfo_v2 (&free_bytes, &total_bytes) == 0 && total_bytes == BUDGET && free_bytes <= BUDGET);
  MUST (!actor->alone || free_bytes == BUDGET - fuzz_look ().used_bytes);
  MUST (cuMemGetInfo (&free_32, &total_32) == 0 && total_32 == BUDGET && free_32 <= BUDGET);
  MUST (cuDeviceTotalMem_v2 (&total, 0) == 0 && total == BUDGET && cuDeviceTotalMem_v2 (&total, 5) != 0);
  MUST (cuMemGetInfo_v2 (NULL, &total) != 0 && cuMemGetInfo_v2 (&total, NULL) != 0 && cuMemGetInfo (NULL, NULL) != 0);
  MUST (cuDeviceTotalMem_v2 (NULL, 0) != 0 && cuDeviceTotalMem (NULL, 0) != 0 && cuDeviceTotalMem (&total_32, 0) == 0);
}

/* What a context of the fuzz driver has beside its memory: host memory that it registered, and limits. */
#include "driver_books.h"

enum { REGISTERED = 256, LIMITS = 3, STACK = 0, PROCESSORS = 16, THREADS_OF_ONE = 39 };

static struct registered { uintptr_t at; uint64_t bytes; uint32_t context; } registered[REGISTERED];
static const size_t first_limits[LIMITS] = { 1024, 1 << 20, 8 << 20 };
static struct limits { int touched; size_t values[LIMITS]; uint64_t bytes[LIMITS]; } limits[DRIVER_CONTEXTS];

void
driver_context_ended (uint32_t context)
{
  for (int i = 0; i < REGISTERED; i++)
    if (registered[i].bytes != 0 && registered[i].context == context)
      {
        driver_truth->held_bytes -= registered[i].bytes;
        registered[i].bytes = 0;
      }
  for (int i = 0; i < LIMITS; i++)
    driver_truth->held_bytes -= limits[context].bytes[i];
  limits[context] = (struct limits){ 0 };
}

/* ---- registered memory: whole pages of the program's own, which nobody looks at ---- */

static int
add (uintptr_t at, uint64_t bytes)
{
  int place = -1;
  for (int i = 0; i < REGISTERED; i++)
    if (registered[i].bytes == 0)
      place = i;
    else if (registered[i].at == at)
      return 712;
  int error = driver_context () == 0 ? DESTROYED : place < 0 || bytes > (uint64_t) 1 << 60 ? OUT_OF_MEMORY : driver_fails ();
  if (error != 0)
    return error;
  registered[place] = (struct registered){ .at = at, .bytes = (bytes + 4095) / 4096 * 4096, .context = driver_context () };
  driver_hold (registered[place].bytes, 0);
  return 0;
}

static int
take_out (uintptr_t at)
{
  for (int i = 0; i < REGISTERED; i++)
    if (registered[i].bytes != 0 && registered[i].at == at)
      {
        int error = driver_fails ();
        if (error == 0)
          {
            driver_truth->held_bytes -= registered[i].bytes;
            registered[i].bytes = 0;
          }
        return error;
      }
  return 713;
}

CUresult cuMemHostRegister_v2 (void *p, size_t n, unsigned f) { LOCKED (p == NULL || n == 0 || f > 7 ? INVALID : add ((uintptr_t) p, n)); }
CUresult cuMemHostRegister (void *p, size_t n, unsigned f) { return cuMemHostRegister_v2 (p, n, f); }
CUresult cuMemHostUnregister (void *p) { LOCKED (p == NULL ? INVALID : take_out ((uintptr_t) p)); }

/* ---- limits: what they take beyond the first ones ---- */

static struct limits *
limits_of (uint32_t context)
{
  struct limits *mine = &limits[context];
  for (int i = 0; i < LIMITS && !mine->touched; i++)
    mine->values[i] = first_limits[i];
  mine->touched = 1;
  return mine;
}

static int
set_limit (int limit, size_t value)
{
  uint64_t unit = limit == STACK ? 2 * 1024 : limit == 2 ? 1 : 0;
  if (limit < 0 || limit >= LIMITS)
    return INVALID;
  int error = driver_context () == 0 ? DESTROYED : value > (uint64_t) 1 << 48 ? OUT_OF_MEMORY : driver_fails ();
  if (error != 0)
    return error;
  struct limits *mine = limits_of (driver_context ());
  uint64_t bytes = value > first_limits[limit] ? (value - first_limits[limit]) * unit : 0;
  driver_truth->held_bytes -= mine->bytes[limit];
  driver_hold (bytes, 0);
  mine->bytes[limit] = bytes;
  mine->values[limit] = value;
  return 0;
}

static int
get_limit (size_t *value, int limit)
{
  if (value == NULL || limit < 0 || limit >= LIMITS || driver_context () == 0)
    return INVALID;
  *value = limits_of (driver_context ())->values[limit];
  return 0;
}

CUresult cuCtxSetLimit (int l, size_t v) { LOCKED (set_limit (l, v)); }
CUresult cuCtxGetLimit (size_t *v, int l) { LOCKED (get_limit (v, l)); }
CUresult cuDeviceGetAttribute (int *v, int a, CUdevice d) { return d != 0 ? 101 : a == PROCESSORS ? (*v = 2, 0) : a == THREADS_OF_ONE ? (*v = 1024, 0) : INVALID; }

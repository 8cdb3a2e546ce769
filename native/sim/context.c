/* Contexts: the primary one, counted, and created ones; each thread has a stack of them. */
#include "context.h"

#include "driver.h"
#include "machine.h"
#include "memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Stack, printf buffer, heap of code on the device, depth and count of launches from it, L2 fetches and persisting lines. */
static const size_t default_limits[SIM_CONTEXT_LIMITS] = { 1024, 1 << 20, 8 << 20, 2, 2048, 128, 0 };

enum { STACK_DEPTH = 64 };

struct stack {
  CUcontext items[STACK_DEPTH];
  size_t depth;
};

static pthread_key_t stack_key;
static pthread_once_t stack_once = PTHREAD_ONCE_INIT;
static CUcontext primary;
static unsigned primary_references;
static unsigned primary_flags;
static unsigned long long next_id = 1;

static void
stack_start (void)
{
  pthread_key_create (&stack_key, free);
}

/* Thread-specific data rather than _Thread_local: that would need the loader's __tls_get_addr, a second library. */
static struct stack *
stack (void)
{
  pthread_once (&stack_once, stack_start);
  struct stack *mine = pthread_getspecific (stack_key);
  if (mine == NULL)
    {
      mine = calloc (1, sizeof *mine);
      if (mine != NULL)
        pthread_setspecific (stack_key, mine);
    }
  return mine;
}

static CUresult
context_new (unsigned flags, uint64_t own_bytes, CUcontext *made)
{
  struct context *context = sim_handle_new (SIM_CONTEXT, sizeof *context);
  if (context == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  if (own_bytes > 0 && sim_pages_take (own_bytes, &context->pages) != 0)
    {
      int status = errno;
      sim_handle_free (context);
      return sim_memory_error (status);
    }
  context->flags = flags;
  memcpy (context->limits, default_limits, sizeof context->limits);
  context->id = __atomic_fetch_add (&next_id, 1, __ATOMIC_RELAXED);
  *made = context;
  return CUDA_SUCCESS;
}

CUresult
sim_context_new_green (CUcontext *made)
{
  CUresult result = context_new (0, 0, made);
  if (result == CUDA_SUCCESS)
    ((struct context *) *made)->green = true;
  return result;
}

CUcontext
sim_context_of_memory (CUcontext context)
{
  if (!((struct context *) context)->green)
    return context;
  sim_lock ();
  CUcontext owner = primary;
  sim_unlock ();
  return owner;
}

static void
context_end (CUcontext context)
{
  const struct sim_pages pages = ((struct context *) context)->pages;
  sim_modules_end_context (context);
  sim_memory_end_context (context);
  sim_handle_free (context);
  if (pages.bytes > 0)
    sim_pages_give (&pages);
}

CUresult
cuCtxGetCurrent (CUcontext *context)
{
  SIM_ENTER ();
  if (context == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  struct stack *mine = stack ();
  *context = NULL;
  if (mine != NULL && mine->depth > 0 && sim_handle_is (SIM_CONTEXT, mine->items[mine->depth - 1]))
    *context = mine->items[mine->depth - 1];
  return CUDA_SUCCESS;
}

CUresult
cuCtxPushCurrent_v2 (CUcontext context)
{
  SIM_ENTER ();
  struct stack *mine = stack ();
  if (!sim_handle_is (SIM_CONTEXT, context))
    return CUDA_ERROR_INVALID_CONTEXT;
  if (mine == NULL || mine->depth == STACK_DEPTH)
    return CUDA_ERROR_OUT_OF_MEMORY;
  mine->items[mine->depth++] = context;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuCtxPushCurrent, cuCtxPushCurrent_v2);

CUresult
cuCtxPopCurrent_v2 (CUcontext *context)
{
  SIM_ENTER ();
  struct stack *mine = stack ();
  if (mine == NULL || mine->depth == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  mine->depth--;
  if (context != NULL)
    *context = mine->items[mine->depth];
  return CUDA_SUCCESS;
}
SIM_ALSO (cuCtxPopCurrent, cuCtxPopCurrent_v2);

CUresult
cuCtxSetCurrent (CUcontext context)
{
  SIM_ENTER ();
  struct stack *mine = stack ();
  if (context != NULL && !sim_handle_is (SIM_CONTEXT, context))
    return CUDA_ERROR_INVALID_CONTEXT;
  if (mine == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  if (mine->depth > 0)
    mine->depth--;
  if (context != NULL)
    mine->items[mine->depth++] = context;
  return CUDA_SUCCESS;
}

CUresult
cuCtxCreate_v2 (CUcontext *context, unsigned int flags, CUdevice device)
{
  SIM_ENTER ();
  if (context == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  CUcontext made;
  CUresult result = context_new (flags, sim_machine ()->context_bytes, &made);
  if (result != CUDA_SUCCESS)
    return result;
  result = cuCtxPushCurrent_v2 (made);
  if (result != CUDA_SUCCESS)
    {
      context_end (made);
      return result;
    }
  *context = made;
  return CUDA_SUCCESS;
}

SIM_ALSO (cuCtxCreate, cuCtxCreate_v2);

/* The form of CUDA 11.4, which could ask for a part of the processors. */
CUresult
cuCtxCreate_v3 (CUcontext *context, void *affinities, int count, unsigned int flags, CUdevice device)
{
  if (affinities != NULL || count != 0)
    return CUDA_ERROR_NOT_SUPPORTED;
  return cuCtxCreate_v2 (context, flags, device);
}

CUresult
cuCtxCreate_v4 (CUcontext *context, void *parameters, unsigned int flags, CUdevice device)
{
  if (parameters != NULL)
    return CUDA_ERROR_NOT_SUPPORTED;
  return cuCtxCreate_v2 (context, flags, device);
}

CUresult
cuCtxDestroy_v2 (CUcontext context)
{
  SIM_ENTER ();
  /* That of a green context, too (measured, driver 580 on H100). */
  if (!sim_handle_is (SIM_CONTEXT, context) || context == primary || ((struct context *) context)->green)
    return CUDA_ERROR_INVALID_CONTEXT;
  struct stack *mine = stack ();
  if (mine != NULL && mine->depth > 0 && mine->items[mine->depth - 1] == context)
    mine->depth--;
  context_end (context);
  return CUDA_SUCCESS;
}
SIM_ALSO (cuCtxDestroy, cuCtxDestroy_v2);

CUresult
cuDevicePrimaryCtxRetain (CUcontext *context, CUdevice device)
{
  SIM_ENTER ();
  if (context == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  sim_lock ();
  CUresult result = primary == NULL ? context_new (primary_flags, sim_machine ()->context_bytes, &primary) : CUDA_SUCCESS;
  if (result == CUDA_SUCCESS)
    {
      primary_references++;
      *context = primary;
    }
  sim_unlock ();
  return result;
}

static CUresult
primary_let_go (bool all)
{
  CUcontext ended = NULL;
  sim_lock ();
  bool had = primary_references > 0;
  if (had && !all)
    primary_references--;
  /* A reset ends the context and leaves its references (measured, driver 580 on H200). */
  if (primary != NULL && (all || primary_references == 0))
    {
      ended = primary;
      primary = NULL;
    }
  sim_unlock ();
  if (ended != NULL)
    context_end (ended);
  return had || all ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult
cuDevicePrimaryCtxRelease_v2 (CUdevice device)
{
  SIM_ENTER ();
  return device == 0 ? primary_let_go (false) : CUDA_ERROR_INVALID_DEVICE;
}
SIM_ALSO (cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2);

CUresult
cuDevicePrimaryCtxReset_v2 (CUdevice device)
{
  SIM_ENTER ();
  return device == 0 ? primary_let_go (true) : CUDA_ERROR_INVALID_DEVICE;
}
SIM_ALSO (cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset_v2);

CUresult
cuDevicePrimaryCtxSetFlags_v2 (CUdevice device, unsigned int flags)
{
  SIM_ENTER ();
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  primary_flags = flags;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuDevicePrimaryCtxSetFlags, cuDevicePrimaryCtxSetFlags_v2);

CUresult
cuDevicePrimaryCtxGetState (CUdevice device, unsigned int *flags, int *active)
{
  SIM_ENTER ();
  if (device != 0)
    return CUDA_ERROR_INVALID_DEVICE;
  if (flags == NULL || active == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  *flags = primary_flags;
  *active = primary != NULL;
  sim_unlock ();
  return CUDA_SUCCESS;
}

#include "driver.h"

#include "machine.h"
#include "pages.h"
#include "ranges.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_ranges handles;
static bool initialized;
static bool forked;

void
sim_lock (void)
{
  pthread_mutex_lock (&driver_lock);
}

void
sim_unlock (void)
{
  pthread_mutex_unlock (&driver_lock);
}

static void
in_child (void)
{
  forked = true;
  sim_pages_forget ();
}

CUresult
cuInit (unsigned int flags)
{
  static bool watching;
  if (flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (forked)
    return CUDA_ERROR_NOT_INITIALIZED;
  if (!sim_machine ()->ready)
    return CUDA_ERROR_NO_DEVICE;
  sim_lock ();
  if (!watching)
    watching = pthread_atfork (NULL, NULL, in_child) == 0;
  initialized = true;
  sim_unlock ();
  return CUDA_SUCCESS;
}

CUresult
sim_enter (void)
{
  return initialized && !forked ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

CUresult
sim_enter_context (CUcontext *context)
{
  CUcontext current = NULL;
  CUresult result = cuCtxGetCurrent (&current);
  if (result != CUDA_SUCCESS)
    return result;
  if (current == NULL)
    return CUDA_ERROR_INVALID_CONTEXT;
  if (context != NULL)
    *context = current;
  return CUDA_SUCCESS;
}

void *
sim_handle_new (enum sim_kind kind, size_t bytes)
{
  void *object = calloc (1, bytes);
  if (object == NULL)
    return NULL;
  pthread_mutex_lock (&handles_lock);
  bool added = sim_ranges_add (&handles, &(struct sim_range){ .base = (uintptr_t) object, .bytes = bytes, .kind = kind });
  pthread_mutex_unlock (&handles_lock);
  if (added)
    return object;
  free (object);
  return NULL;
}

bool
sim_handle_is (enum sim_kind kind, const void *handle)
{
  pthread_mutex_lock (&handles_lock);
  const struct sim_range *range = sim_ranges_find (&handles, (uintptr_t) handle);
  bool is = range != NULL && range->base == (uintptr_t) handle && range->kind == (int) kind;
  pthread_mutex_unlock (&handles_lock);
  return is;
}

void
sim_handle_free (void *handle)
{
  pthread_mutex_lock (&handles_lock);
  struct sim_range *range = sim_ranges_find (&handles, (uintptr_t) handle);
  if (range != NULL)
    sim_ranges_remove (&handles, range);
  pthread_mutex_unlock (&handles_lock);
  free (handle);
}

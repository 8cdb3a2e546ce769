/* Streams and events. Every call has done its work when it returns, so a stream is always idle. */
#include "driver.h"
#include "memory.h"

#include <time.h>

struct stream {
  unsigned flags;
  int priority;
  unsigned long long id;
  bool capturing;
  CUgraph graph; /* what a capture makes */
};

struct event {
  bool recorded;
  struct timespec at;
};

static unsigned long long next_id = 3;

/* NULL, legacy (1) and per-thread (2) are the default stream. */
static bool
is_default (CUstream stream)
{
  return (uintptr_t) stream <= 2;
}

static CUresult
check (CUstream stream)
{
  SIM_ENTER_CONTEXT (NULL);
  return is_default (stream) || sim_handle_is (SIM_STREAM, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

#define CHECK_STREAM(stream)                                                                                           \
  do                                                                                                                   \
    {                                                                                                                  \
      CUresult checked = check (stream);                                                                               \
      if (checked != CUDA_SUCCESS)                                                                                     \
        return checked;                                                                                                \
    }                                                                                                                  \
  while (0)

CUresult
cuStreamCreateWithPriority (CUstream *stream, unsigned int flags, int priority)
{
  SIM_ENTER_CONTEXT (NULL);
  if (stream == NULL || flags > 1)
    return CUDA_ERROR_INVALID_VALUE;
  struct stream *made = sim_handle_new (SIM_STREAM, sizeof *made);
  if (made == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  made->flags = flags;
  made->priority = priority;
  made->id = __atomic_fetch_add (&next_id, 1, __ATOMIC_RELAXED);
  *stream = made;
  return CUDA_SUCCESS;
}

CUresult
cuStreamCreate (CUstream *stream, unsigned int flags)
{
  return cuStreamCreateWithPriority (stream, flags, 0);
}

CUresult
cuStreamDestroy_v2 (CUstream stream)
{
  CHECK_STREAM (stream);
  if (is_default (stream))
    return CUDA_ERROR_INVALID_HANDLE;
  sim_handle_free (stream);
  return CUDA_SUCCESS;
}
SIM_ALSO (cuStreamDestroy, cuStreamDestroy_v2);

CUgraph
sim_stream_capture (CUstream stream)
{
  if (is_default (stream) || !sim_handle_is (SIM_STREAM, stream) || !((struct stream *) stream)->capturing)
    return NULL;
  return ((struct stream *) stream)->graph;
}

/* Work cannot be recorded into a graph here, only memory: while a stream captures, asking anything of it is refused, not lost. */
CUresult
cuStreamQuery (CUstream stream)
{
  CHECK_STREAM (stream);
  bool capturing = !is_default (stream) && ((struct stream *) stream)->capturing;
  return capturing ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}
SIM_ALSO (cuStreamQuery_ptsz, cuStreamQuery);

CUresult
cuStreamSynchronize (CUstream stream)
{
  CUresult result = cuStreamQuery (stream);
  if (result == CUDA_SUCCESS)
    sim_pools_settle ();
  return result;
}
SIM_ALSO (cuStreamSynchronize_ptsz, cuStreamSynchronize);

CUresult
cuStreamWaitEvent (CUstream stream, CUevent event, unsigned int flags)
{
  (void) flags;
  CHECK_STREAM (stream);
  return sim_handle_is (SIM_EVENT, event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
SIM_ALSO (cuStreamWaitEvent_ptsz, cuStreamWaitEvent);

CUresult
cuStreamGetPriority (CUstream stream, int *priority)
{
  CHECK_STREAM (stream);
  if (priority == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *priority = is_default (stream) ? 0 : ((struct stream *) stream)->priority;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuStreamGetPriority_ptsz, cuStreamGetPriority);

CUresult
cuStreamGetFlags (CUstream stream, unsigned int *flags)
{
  CHECK_STREAM (stream);
  if (flags == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *flags = is_default (stream) ? 0 : ((struct stream *) stream)->flags;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuStreamGetFlags_ptsz, cuStreamGetFlags);

CUresult
cuStreamGetId (CUstream stream, unsigned long long *id)
{
  CHECK_STREAM (stream);
  if (id == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *id = is_default (stream) ? (uintptr_t) stream : ((struct stream *) stream)->id;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuStreamGetId_ptsz, cuStreamGetId);

CUresult
cuStreamGetCtx (CUstream stream, CUcontext *context)
{
  CHECK_STREAM (stream);
  return cuCtxGetCurrent (context);
}
SIM_ALSO (cuStreamGetCtx_ptsz, cuStreamGetCtx);

CUresult
cuStreamAddCallback (CUstream stream, CUstreamCallback callback, void *user_data, unsigned int flags)
{
  CUresult result = cuStreamQuery (stream);
  if (result != CUDA_SUCCESS)
    return result;
  if (callback == NULL || flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  callback (stream, CUDA_SUCCESS, user_data);
  return CUDA_SUCCESS;
}
SIM_ALSO (cuStreamAddCallback_ptsz, cuStreamAddCallback);

CUresult
cuLaunchHostFunc (CUstream stream, CUhostFn function, void *user_data)
{
  CUresult result = cuStreamQuery (stream);
  if (result != CUDA_SUCCESS)
    return result;
  if (function == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  function (user_data);
  return CUDA_SUCCESS;
}
SIM_ALSO (cuLaunchHostFunc_ptsz, cuLaunchHostFunc);

CUresult
cuStreamBeginCapture_v2 (CUstream stream, int mode)
{
  CHECK_STREAM (stream);
  if (is_default (stream) || mode < 0 || mode > 2)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  struct stream *this = stream;
  if (this->capturing)
    return CUDA_ERROR_ILLEGAL_STATE;
  CUresult result = cuGraphCreate (&this->graph, 0);
  this->capturing = result == CUDA_SUCCESS;
  return result;
}
SIM_ALSO (cuStreamBeginCapture_v2_ptsz, cuStreamBeginCapture_v2);

/* The form of CUDA 10.0 knew no modes. */
CUresult
cuStreamBeginCapture (CUstream stream)
{
  return cuStreamBeginCapture_v2 (stream, 0);
}
SIM_ALSO (cuStreamBeginCapture_ptsz, cuStreamBeginCapture);

CUresult
cuStreamEndCapture (CUstream stream, CUgraph *graph)
{
  CHECK_STREAM (stream);
  if (graph == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  struct stream *this = is_default (stream) ? NULL : stream;
  if (this == NULL || !this->capturing)
    return CUDA_ERROR_ILLEGAL_STATE;
  this->capturing = false;
  *graph = this->graph;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuStreamEndCapture_ptsz, cuStreamEndCapture);

CUresult
cuStreamIsCapturing (CUstream stream, int *status)
{
  CHECK_STREAM (stream);
  if (status == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *status = !is_default (stream) && ((struct stream *) stream)->capturing;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuStreamIsCapturing_ptsz, cuStreamIsCapturing);

CUresult
cuStreamGetCaptureInfo_v2 (CUstream stream, int *status, unsigned long long *id, CUgraph *graph,
                           const CUgraphNode **dependencies, size_t *dependency_count)
{
  CUresult result = cuStreamIsCapturing (stream, status);
  if (result != CUDA_SUCCESS || *status == 0)
    return result;
  if (id != NULL)
    *id = ((struct stream *) stream)->id;
  if (graph != NULL)
    *graph = ((struct stream *) stream)->graph;
  if (dependencies != NULL)
    *dependencies = NULL;
  if (dependency_count != NULL)
    *dependency_count = 0;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuStreamGetCaptureInfo_v2_ptsz, cuStreamGetCaptureInfo_v2);

CUresult
cuEventCreate (CUevent *event, unsigned int flags)
{
  (void) flags;
  SIM_ENTER_CONTEXT (NULL);
  if (event == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *event = sim_handle_new (SIM_EVENT, sizeof (struct event));
  return *event != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

#define CHECK_EVENT(event)                                                                                             \
  do                                                                                                                   \
    {                                                                                                                  \
      SIM_ENTER ();                                                                                                    \
      if (!sim_handle_is (SIM_EVENT, event))                                                                           \
        return CUDA_ERROR_INVALID_HANDLE;                                                                              \
    }                                                                                                                  \
  while (0)

CUresult
cuEventDestroy_v2 (CUevent event)
{
  CHECK_EVENT (event);
  sim_handle_free (event);
  return CUDA_SUCCESS;
}
SIM_ALSO (cuEventDestroy, cuEventDestroy_v2);

CUresult
cuEventRecordWithFlags (CUevent event, CUstream stream, unsigned int flags)
{
  (void) flags;
  CHECK_EVENT (event);
  CUresult result = cuStreamQuery (stream);
  if (result != CUDA_SUCCESS)
    return result;
  struct event *this = event;
  this->recorded = true;
  clock_gettime (CLOCK_MONOTONIC, &this->at);
  return CUDA_SUCCESS;
}
SIM_ALSO (cuEventRecordWithFlags_ptsz, cuEventRecordWithFlags);

CUresult
cuEventRecord (CUevent event, CUstream stream)
{
  return cuEventRecordWithFlags (event, stream, 0);
}
SIM_ALSO (cuEventRecord_ptsz, cuEventRecord);

CUresult
cuEventQuery (CUevent event)
{
  CHECK_EVENT (event);
  return CUDA_SUCCESS;
}

CUresult
cuEventSynchronize (CUevent event)
{
  CUresult result = cuEventQuery (event);
  if (result == CUDA_SUCCESS)
    sim_pools_settle ();
  return result;
}

CUresult
cuEventElapsedTime_v2 (float *milliseconds, CUevent start, CUevent end)
{
  CHECK_EVENT (start);
  CHECK_EVENT (end);
  const struct event *from = start, *to = end;
  if (milliseconds == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  if (!from->recorded || !to->recorded)
    return CUDA_ERROR_INVALID_HANDLE;
  *milliseconds
      = (float) (to->at.tv_sec - from->at.tv_sec) * 1e3f + (float) (to->at.tv_nsec - from->at.tv_nsec) * 1e-6f;
  return CUDA_SUCCESS;
}
SIM_ALSO (cuEventElapsedTime, cuEventElapsedTime_v2);

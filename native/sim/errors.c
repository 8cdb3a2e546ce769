/* Names and sentences of the results. */
#include "driver.h"

#define RESULT(name, sentence) { name, #name, sentence }

static const struct {
  CUresult result;
  const char *name;
  const char *sentence;
} results[] = {
  RESULT (CUDA_SUCCESS, "no error"),
  RESULT (CUDA_ERROR_INVALID_VALUE, "invalid argument"),
  RESULT (CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
  RESULT (CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
  RESULT (CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
  RESULT (CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
  RESULT (CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
  RESULT (CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "peer access is not supported between these two devices"),
  RESULT (CUDA_ERROR_FILE_NOT_FOUND, "file not found"),
  RESULT (CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
  RESULT (CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"),
  RESULT (CUDA_ERROR_NOT_FOUND, "named symbol not found"),
  RESULT (CUDA_ERROR_NOT_READY, "device not ready"),
  RESULT (CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "part or all of the requested memory range is already mapped"),
  RESULT (CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "pointer does not correspond to a registered memory region"),
  RESULT (CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
  RESULT (CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
  RESULT (CUDA_ERROR_UNKNOWN, "unknown error"),
};

CUresult
cuGetErrorName (CUresult error, const char **text)
{
  if (text == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *text = NULL;
  for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
    if (results[i].result == error)
      *text = results[i].name;
  return *text != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult
cuGetErrorString (CUresult error, const char **text)
{
  if (text == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *text = NULL;
  for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
    if (results[i].result == error)
      *text = results[i].sentence;
  return *text != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

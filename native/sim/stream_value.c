/* Streams that wait for a value in memory, or write one. A stream here has no future to wait in: what does not hold yet is refused. */
#include "driver.h"
#include "memory.h"

enum { WAIT_GEQ = 0, WAIT_EQ = 1, WAIT_AND = 2, WAIT_NOR = 3, WAIT_FLUSH = 1 << 30 };

static CUresult
usable (CUstream stream, CUdeviceptr address, uint64_t bytes)
{
  CUresult result = cuStreamQuery (stream);
  if (result != CUDA_SUCCESS)
    return result;
  return address % bytes == 0 && sim_memory_reachable (address, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* `bits` is the width of the value; a difference is taken in that width, as documented for GEQ. */
static CUresult
holds (uint64_t now, uint64_t value, unsigned int flags, int bits)
{
  bool yes;
  switch (flags & ~(unsigned int) WAIT_FLUSH)
    {
    case WAIT_GEQ:
      yes = bits == 32 ? (int32_t) (uint32_t) (now - value) >= 0 : (int64_t) (now - value) >= 0;
      break;
    case WAIT_EQ:
      yes = now == value;
      break;
    case WAIT_AND:
      yes = (now & value) != 0;
      break;
    case WAIT_NOR:
      yes = bits == 32 ? (uint32_t) ~(now | value) != 0 : ~(now | value) != 0;
      break;
    default:
      return CUDA_ERROR_INVALID_VALUE;
    }
  return yes ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

#define VALUES(bits)                                                                                                   \
  CUresult cuStreamWaitValue##bits##_v2 (CUstream stream, CUdeviceptr address, uint##bits##_t value, unsigned int flags) \
  {                                                                                                                    \
    CUresult result = usable (stream, address, sizeof value);                                                          \
    if (result != CUDA_SUCCESS)                                                                                        \
      return result;                                                                                                   \
    return holds (__atomic_load_n ((uint##bits##_t *) (uintptr_t) address, __ATOMIC_ACQUIRE), value, flags, bits);     \
  }                                                                                                                    \
  SIM_ALSO (cuStreamWaitValue##bits##_v2_ptsz, cuStreamWaitValue##bits##_v2);                                          \
  CUresult cuStreamWriteValue##bits##_v2 (CUstream stream, CUdeviceptr address, uint##bits##_t value,                  \
                                          unsigned int flags)                                                          \
  {                                                                                                                    \
    (void) flags;                                                                                                      \
    CUresult result = usable (stream, address, sizeof value);                                                          \
    if (result == CUDA_SUCCESS)                                                                                        \
      __atomic_store_n ((uint##bits##_t *) (uintptr_t) address, value, __ATOMIC_RELEASE);                              \
    return result;                                                                                                     \
  }                                                                                                                    \
  SIM_ALSO (cuStreamWriteValue##bits##_v2_ptsz, cuStreamWriteValue##bits##_v2)

VALUES (32);
VALUES (64);

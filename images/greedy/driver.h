/* The driver as an engine finds it: by name, and its functions through the handle. */
#ifndef GREEDY_DRIVER_H
#define GREEDY_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CUDA_SUCCESS = 0, CUDA_ERROR_OUT_OF_MEMORY = 2 };

struct location {
  int type;
  int id;
};

/* CUmemAllocationProp and CUmemAccessDesc, as documented. */
struct allocation_properties {
  int type;
  int handle_types;
  struct location location;
  void *unused;
  unsigned char flags[8];
};

struct access {
  struct location location;
  int flags;
};

struct cuda {
  int (*init) (unsigned flags);
  int (*device_get) (int *device, int ordinal);
  int (*context_retain) (void **context, int device);
  int (*context_set) (void *context);
  int (*context_release) (int device);
  int (*info) (size_t *free_bytes, size_t *total_bytes);
  int (*alloc) (unsigned long long *pointer, size_t bytes);
  int (*free) (unsigned long long pointer);
  int (*fill) (unsigned long long pointer, unsigned char value, size_t bytes);
  int (*error_name) (int error, const char **name);
  int (*reserve) (unsigned long long *pointer, size_t bytes, size_t align, unsigned long long at, unsigned long long flags);
  int (*unreserve) (unsigned long long pointer, size_t bytes);
  int (*create) (unsigned long long *handle, size_t bytes, const struct allocation_properties *, unsigned long long flags);
  int (*release) (unsigned long long handle);
  int (*map) (unsigned long long pointer, size_t bytes, size_t offset, unsigned long long handle, unsigned long long flags);
  int (*unmap) (unsigned long long pointer, size_t bytes);
  int (*set_access) (unsigned long long pointer, size_t bytes, const struct access *access, size_t count);
};

extern struct cuda cuda;

/* Opens libcuda.so.1, fills `cuda`, and makes the primary context current. Ends the program where that cannot be. */
void cuda_open (void);

const char *cuda_error_name (int error);

/* Ends the program with a sentence unless `result` is success. */
void cuda_must (int result, const char *what);

/* True with what NVML says; false where there is no NVML or it does not tell, as on the real GB10. */
bool nvml_memory (uint64_t *total_bytes, uint64_t *free_bytes);

#endif

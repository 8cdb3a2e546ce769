/* The three requests by which a process asks NVIDIA's kernel module (its resource manager, RM) for memory and gives it back, as far as
   they are read here. The same in every release of the open kernel modules from 535.43.02 to 595.45.04 (nvos.h, nv-ioctl-numbers.h). */
#ifndef SPARK_COMMON_RM_ABI_H
#define SPARK_COMMON_RM_ABI_H

#include <stdint.h>

/* Whole numbers, with direction and size, so that no other device's request is taken for one of these. */
#define RM_REQUEST_ALLOC 0xC030462Bu     /* struct rm_alloc */
#define RM_REQUEST_ALLOC_OLD 0xC020462Bu /* struct rm_alloc_old */
#define RM_REQUEST_FREE 0xC0104629u      /* struct rm_free */
#define RM_REQUEST_WRAPPED 0xC01046D3u   /* struct rm_wrapped: any of them by its low byte */

enum {
  RM_CLASS_MEMORY_SYSTEM = 0x3e, /* pages that the kernel module takes from the machine */
  RM_CLASS_MEMORY_LOCAL = 0x40,  /* a GPU's own */
  RM_OK = 0,
  RM_NO_MEMORY = 0x51
};

struct rm_wrapped {
  uint32_t request_low;
  uint32_t bytes;
  uint64_t pointer;
};

/* NVOS64_PARAMETERS */
struct rm_alloc {
  uint32_t root;
  uint32_t parent;
  uint32_t object; /* 0: the module chooses one and writes it here */
  uint32_t class_number;
  uint64_t parameters; /* struct rm_memory for the classes above */
  uint64_t rights;
  uint32_t parameters_bytes;
  uint32_t flags;
  uint32_t status;
  uint32_t padding;
};

/* NVOS21_PARAMETERS */
struct rm_alloc_old {
  uint32_t root;
  uint32_t parent;
  uint32_t object;
  uint32_t class_number;
  uint64_t parameters;
  uint32_t parameters_bytes;
  uint32_t status;
};

/* NVOS00_PARAMETERS */
struct rm_free {
  uint32_t root;
  uint32_t parent;
  uint32_t object;
  uint32_t status;
};

/* The start of NV_MEMORY_ALLOCATION_PARAMS. */
struct rm_memory {
  uint8_t unread[64];
  uint64_t bytes;
};

_Static_assert (sizeof (struct rm_alloc) == 48 && sizeof (struct rm_alloc_old) == 32, "as in nvos.h");
_Static_assert (sizeof (struct rm_free) == 16 && sizeof (struct rm_wrapped) == 16, "as in nvos.h");

#endif

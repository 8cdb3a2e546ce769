/* An array: memory whose layout is the driver's. Here rows follow each other without gaps, and slices do. */
#ifndef SPARK_SIM_ARRAY_H
#define SPARK_SIM_ARRAY_H

#include "cuda_abi.h"
#include "pages.h"

struct sim_array {
  CUDA_ARRAY3D_DESCRIPTOR shape;
  uint64_t row_bytes;
  uint64_t rows;   /* of a slice, at least 1 */
  uint64_t slices; /* at least 1 */
  struct sim_pages pages; /* of an array of its own; a level of a mipmapped one has the whole's */
  char *bytes;            /* where they are mapped */
  CUmipmappedArray whole; /* NULL: an array of its own */
  struct sim_array_part *parts; /* of an array that takes nothing itself: what is mapped into it */
};

enum { SIM_ARRAY_SPARSE = 64, SIM_ARRAY_DEFERRED = 128 };

/* Does its memory come from cuMemMapArrayAsync? No copy reaches such an array: `bytes` is NULL. */
static inline bool
sim_array_is_mapped (const struct sim_array *array)
{
  return (array->shape.Flags & (SIM_ARRAY_SPARSE | SIM_ARRAY_DEFERRED)) != 0;
}

/* Lets go of all that is mapped into it. */
void sim_array_unmap (struct sim_array *array);

/* What `array` is, or NULL if it is no array. */
struct sim_array *sim_array (CUarray array);

#endif

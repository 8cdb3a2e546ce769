/* Sizes as people write them: docs/formats.md section 1. */
#ifndef SPARK_COMMON_SIZE_H
#define SPARK_COMMON_SIZE_H

#include "error.h"
#include <stddef.h>
#include <stdint.h>

/* Reads `text` into `*bytes`. A bare number is multiplied by `unit_bytes`; a percentage is taken of `percent_of_bytes`
   (0 = percentages are an error). Returns 0, or -1 with a sentence that shows what was given and what is allowed. */
int spark_size_parse (const char *text, uint64_t unit_bytes, uint64_t percent_of_bytes, uint64_t *bytes,
                      struct spark_error *error);

/* Writes `bytes` as "40.0 GiB" into `buffer` (16 bytes suffice) and returns it. Allocates nothing. */
char *spark_size_format (uint64_t bytes, char *buffer, size_t buffer_size);

#endif

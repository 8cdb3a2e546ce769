/* The parsers under fuzzing. An input's first byte says which parser gets the rest of it. */
#ifndef SPARK_TEST_FUZZ_PARSERS_TARGETS_H
#define SPARK_TEST_FUZZ_PARSERS_TARGETS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* libFuzzer's entry point, and ours. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* What must hold for any input. Not assert: NDEBUG must not take it away. */
#define ALWAYS(condition)                                                                                             \
  do                                                                                                                  \
    {                                                                                                                 \
      if (!(condition))                                                                                               \
        {                                                                                                             \
          fprintf (stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                  \
          abort ();                                                                                                   \
        }                                                                                                             \
    }                                                                                                                 \
  while (0)

/* Each gets a text of `length` bytes with a NUL after it, in memory of exactly that size. */
void target_plan (const char *text, size_t length);
void target_config (const char *text, size_t length);
void target_request (const char *text, size_t length);

/* A file of that content in memory, rewound; and its path. */
int memory_file (const char *text, size_t length);
const char *memory_path (int fd, char path[64]);

#endif

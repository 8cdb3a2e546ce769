/* One error object, filled by the function that fails and printed by the one that gives up. */
#ifndef SPARK_COMMON_ERROR_H
#define SPARK_COMMON_ERROR_H

#include <stdbool.h>

/* `text` is one sentence without a trailing period or newline, in words for the person who has to act. */
struct spark_error {
  int status; /* errno of the cause, or 0 */
  char text[1024];
};

/* Fills `error` (may be NULL) and returns -1, so that a function can end with `return spark_fail (...)`.
   A non-zero `status` appends ": " and its errno text. */
int spark_fail (struct spark_error *error, int status, const char *format, ...) __attribute__ ((format (printf, 3, 4)));

#endif

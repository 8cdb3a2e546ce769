/* A test program in C: CHECK states a fact, main ends with `return check_done ()`. Prints TAP. */
#ifndef SPARK_TEST_CHECK_H
#define SPARK_TEST_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_count, check_failures;

/* A named group of facts: one TAP line, failed if any CHECK since the last one failed. */
static int check_failed_here;

#define CHECK(condition)                                                                                              \
  do                                                                                                                  \
    {                                                                                                                 \
      if (!(condition))                                                                                               \
        {                                                                                                             \
          check_failed_here = 1;                                                                                      \
          printf ("# %s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                          \
        }                                                                                                             \
    }                                                                                                                 \
  while (0)

#define CHECK_TEXT(got, want)                                                                                         \
  do                                                                                                                  \
    {                                                                                                                 \
      const char *check_got = (got), *check_want = (want);                                                            \
      if (check_got == NULL || strcmp (check_got, check_want) != 0)                                                   \
        {                                                                                                             \
          check_failed_here = 1;                                                                                      \
          printf ("# %s:%d: got \"%s\", want \"%s\"\n", __FILE__, __LINE__, check_got ? check_got : "(null)", check_want); \
        }                                                                                                             \
    }                                                                                                                 \
  while (0)

/* Ends a group and names it as a sentence. */
static inline void
test_done (const char *sentence)
{
  check_count++;
  if (check_failed_here)
    check_failures++;
  printf ("%sok %d - %s\n", check_failed_here ? "not " : "", check_count, sentence);
  check_failed_here = 0;
  fflush (stdout);
}

/* Names a group that cannot run here, and why. */
__attribute__ ((unused)) static inline void
test_skip (const char *sentence, const char *reason)
{
  check_count++;
  check_failed_here = 0;
  printf ("ok %d - %s # SKIP %s\n", check_count, sentence, reason);
  fflush (stdout);
}

static inline int
check_done (void)
{
  printf ("1..%d\n", check_count);
  return check_failures == 0 ? 0 : 1;
}

#endif

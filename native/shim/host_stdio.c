/* /proc/meminfo by stream. The C library makes the stream; before anything is read its descriptor is given the other file. */
#undef _FORTIFY_SOURCE /* its inline functions have the names of ours */
#include "host_file.h"
#include "host_hooks.h"

#include <errno.h>
#include <stdio.h>

typedef FILE *(*fopen_function) (const char *, const char *);
typedef FILE *(*freopen_function) (const char *, const char *, FILE *);

static FILE *
opened (FILE *stream, const char *path, const char *call)
{
  if (stream != NULL && path != NULL)
    spark_host_opened (fileno (stream), path, call);
  return stream;
}

static FILE *
no_such_function (void)
{
  errno = ENOSYS;
  return NULL;
}

#define DEFINE_FOPEN(symbol)                                                                                            \
  SPARK_HOST_EXPORT FILE *symbol (const char *path, const char *mode)                                                   \
  {                                                                                                                     \
    fopen_function real = SPARK_HOST_REAL (fopen_function, symbol);                                                     \
    return real == NULL ? no_such_function () : opened (real (path, mode), path, #symbol);                              \
  }
/* Without a path the stream keeps its file. */
#define DEFINE_FREOPEN(symbol)                                                                                          \
  SPARK_HOST_EXPORT FILE *symbol (const char *path, const char *mode, FILE *stream)                                     \
  {                                                                                                                     \
    freopen_function real = SPARK_HOST_REAL (freopen_function, symbol);                                                 \
    return real == NULL ? no_such_function () : opened (real (path, mode, stream), path, #symbol);                      \
  }

DEFINE_FOPEN (fopen)
DEFINE_FOPEN (fopen64)
DEFINE_FREOPEN (freopen)
DEFINE_FREOPEN (freopen64)

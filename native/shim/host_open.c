/* /proc/meminfo by descriptor. The real function goes first, so that errors, cancellation and whoever else interposes it stay as
   they are; what it opened is looked at only if its last name is meminfo. */
#undef _FORTIFY_SOURCE /* its inline functions have the names of ours */
#include "host_file.h"
#include "host_hooks.h"

#include "raw.h"
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

typedef int (*open_function) (const char *, int, ...);
typedef int (*openat_function) (int, const char *, int, ...);
typedef int (*open_2_function) (const char *, int);
typedef int (*openat_2_function) (int, const char *, int);
typedef int (*openat2_function) (int, const char *, const void *, size_t);
typedef off_t (*lseek_function) (int, off_t, int);

_Static_assert (sizeof (off_t) == sizeof (off64_t), "one type for lseek and lseek64");

/* The mode is there only with these flags. */
static bool
has_mode (int flags)
{
  return (flags & O_CREAT) != 0 || (flags & __O_TMPFILE) == __O_TMPFILE;
}

#define READ_MODE(mode, flags)                                                                                          \
  mode_t mode = 0;                                                                                                      \
  if (has_mode (flags))                                                                                                 \
    {                                                                                                                   \
      va_list arguments;                                                                                                \
      va_start (arguments, flags);                                                                                      \
      mode = va_arg (arguments, mode_t);                                                                                \
      va_end (arguments);                                                                                               \
    }

static int
no_such_function (void)
{
  errno = ENOSYS;
  return -1;
}

#define DEFINE_OPEN(symbol)                                                                                             \
  SPARK_HOST_EXPORT int symbol (const char *path, int flags, ...)                                                       \
  {                                                                                                                     \
    READ_MODE (mode, flags)                                                                                             \
    open_function real = SPARK_HOST_REAL (open_function, symbol);                                                       \
    return real == NULL ? no_such_function () : spark_host_opened (real (path, flags, mode), path, #symbol);            \
  }
#define DEFINE_OPENAT(symbol)                                                                                           \
  SPARK_HOST_EXPORT int symbol (int directory, const char *path, int flags, ...)                                        \
  {                                                                                                                     \
    READ_MODE (mode, flags)                                                                                             \
    openat_function real = SPARK_HOST_REAL (openat_function, symbol);                                                   \
    return real == NULL ? no_such_function () : spark_host_opened (real (directory, path, flags, mode), path, #symbol); \
  }
/* What _FORTIFY_SOURCE makes of an open without a mode. */
#define DEFINE_OPEN_2(symbol)                                                                                           \
  SPARK_HOST_EXPORT int symbol (const char *path, int flags);                                                           \
  SPARK_HOST_EXPORT int symbol (const char *path, int flags)                                                            \
  {                                                                                                                     \
    open_2_function real = SPARK_HOST_REAL (open_2_function, symbol);                                                   \
    return real == NULL ? no_such_function () : spark_host_opened (real (path, flags), path, #symbol);                  \
  }
#define DEFINE_OPENAT_2(symbol)                                                                                         \
  SPARK_HOST_EXPORT int symbol (int directory, const char *path, int flags);                                            \
  SPARK_HOST_EXPORT int symbol (int directory, const char *path, int flags)                                             \
  {                                                                                                                     \
    openat_2_function real = SPARK_HOST_REAL (openat_2_function, symbol);                                               \
    return real == NULL ? no_such_function () : spark_host_opened (real (directory, path, flags), path, #symbol);       \
  }
#define DEFINE_LSEEK(symbol)                                                                                            \
  SPARK_HOST_EXPORT off_t symbol (int fd, off_t offset, int whence)                                                     \
  {                                                                                                                     \
    lseek_function real = SPARK_HOST_REAL (lseek_function, symbol);                                                     \
    if (real == NULL)                                                                                                   \
      return no_such_function ();                                                                                       \
    if (spark_host_file_any () && offset == 0 && whence == SEEK_SET)                                                    \
      spark_host_file_rewound (fd, #symbol);                                                                            \
    return real (fd, offset, whence);                                                                                   \
  }

DEFINE_OPEN (open)
DEFINE_OPEN (open64)
DEFINE_OPENAT (openat)
DEFINE_OPENAT (openat64)
DEFINE_OPEN_2 (__open_2)
DEFINE_OPEN_2 (__open64_2)
DEFINE_OPENAT_2 (__openat_2)
DEFINE_OPENAT_2 (__openat64_2)
DEFINE_LSEEK (lseek)
DEFINE_LSEEK (lseek64)

/* glibc 2.43 has a function for this call. Where there is none a program cannot have been linked against it, but may find ours by
   name: it does what that function would. */
SPARK_HOST_EXPORT int spark_host_openat2 (int directory, const char *path, const void *how, size_t size) __asm__ ("openat2");
int
spark_host_openat2 (int directory, const char *path, const void *how, size_t size)
{
  openat2_function real = SPARK_HOST_REAL (openat2_function, openat2);
  if (real != NULL)
    return spark_host_opened (real (directory, path, how, size), path, "openat2");
  enum { NUMBER = 437 }; /* SYS_openat2, on every architecture */
  long fd = raw_syscall (NUMBER, directory, path, how, size);
  if (fd < 0)
    {
      errno = (int) -fd;
      return -1;
    }
  return spark_host_opened ((int) fd, path, "openat2");
}

#include "redirect.h"

#include "inner.h"
#include "log.h"
#include "process.h"
#include "resolve.h"
#include "run_path.h"
#include "trace.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FOUND_PATH_BYTES = 1024 };

static struct redirect {
  const char *driver; /* libcuda.so, libcuda.so.1, libcuda.so.580.95.05 … */
  const char *library;
  char path[PATH_BYTES]; /* of our library; empty if the directory that the shim lies in cannot be known */
} redirects[] = {
  { "libcuda.so", "libspark-cuda.so", "" },
  { "libnvidia-ml.so", "libspark-nvml.so", "" },
};

/* Where dlopen.S jumps for everything that is not ours. */
static void *
no_dlopen (const char *file, int mode)
{
  (void) file;
  (void) mode;
  return NULL;
}
static void *
no_dlmopen (long scope, const char *file, int mode)
{
  (void) scope;
  return no_dlopen (file, mode);
}
__attribute__ ((visibility ("hidden"))) _Atomic (spark_dlopen_function) spark_real_dlopen = no_dlopen;
__attribute__ ((visibility ("hidden"))) _Atomic (spark_dlmopen_function) spark_real_dlmopen = no_dlmopen;
static _Atomic (spark_dlclose_function) real_dlclose;

__attribute__ ((constructor)) static void
remember_own_directory (void)
{
  static char own_directory[PATH_BYTES];
  struct spark_object self;
  if (!spark_object_of ((const void *) remember_own_directory, &self))
    return;
  const char *slash = strrchr (self.path, '/');
  size_t length = slash != NULL ? (size_t) (slash + 1 - self.path) : 0, start = 0;
  if (self.path[0] != '/')
    {
      /* A relative preload: right now the working directory is still the one it was given in. */
      if (getcwd (own_directory, sizeof own_directory - 1) == NULL)
        return;
      start = strlen (own_directory);
      own_directory[start++] = '/';
    }
  /* Room for the longest library name too, so that joining them never overflows. */
  if (start + length + 64 > sizeof own_directory || start + length == 0)
    return;
  memcpy (own_directory + start, self.path, length);
  for (size_t i = 0; i < sizeof redirects / sizeof redirects[0]; i++)
    {
      memcpy (redirects[i].path, own_directory, start + length);
      memcpy (redirects[i].path + start + length, redirects[i].library, strlen (redirects[i].library) + 1);
    }
}

static const struct redirect *
redirect_for (const char *path)
{
  const char *slash = strrchr (path, '/'), *name = slash != NULL ? slash + 1 : path;
  for (size_t i = 0; i < sizeof redirects / sizeof redirects[0]; i++)
    {
      size_t length = strlen (redirects[i].driver);
      if (strncmp (name, redirects[i].driver, length) == 0 && (name[length] == '\0' || name[length] == '.'))
        return &redirects[i];
    }
  return NULL;
}

/* The driver's libraries open each other; they get what they ask for. */
static bool
is_driver (const struct spark_object *object)
{
  return redirect_for (object->path) != NULL;
}

/* The library itself, as the caller would have got it. Only the loader can search with the caller's identity, and only for a caller
   that it returns to, so a name without a slash is looked for where that caller's RUNPATH leads, then by the loader from here. */
static void *
open_driver (spark_dlopen_function open_library, const char *file, int mode, const struct spark_object *caller)
{
  if (strchr (file, '/') != NULL)
    return open_library (file, mode);
  void *loaded = open_library (file, mode | RTLD_NOLOAD);
  if (loaded != NULL || (mode & RTLD_NOLOAD) != 0)
    return loaded;
  char path[FOUND_PATH_BYTES];
  if (spark_find_in_run_path (caller, file, path, sizeof path))
    {
      void *found = open_library (path, mode);
      if (found != NULL)
        return found;
    }
  return open_library (file, mode);
}

static void *
open_redirected (const struct redirect *redirect, const char *file, int mode, const void *caller)
{
  spark_dlopen_function open_library = spark_real_dlopen;
  spark_dlclose_function close_library = real_dlclose;
  struct spark_object object = { .path = "" };
  if (close_library == NULL || redirect->path[0] == '\0' || !spark_object_of (caller, &object) || is_driver (&object)
      || spark_process () == NULL)
    return NULL;
  void *driver = open_driver (open_library, file, mode, &object);
  if (driver == NULL)
    return NULL;
  void *ours = open_library (redirect->path, mode & ~RTLD_NOLOAD);
  if (ours == NULL)
    {
      spark_log ("the driver is used without a budget, this cannot be opened beside it: ", redirect->path);
      return driver;
    }
  /* Ours needs the driver and so keeps it: one dlopen, one reference, and the caller's one dlclose gives all of it back. */
  close_library (driver);
  return ours;
}

/* What dlopen.S goes on to. */
static bool
find_real_functions (void)
{
  if (atomic_load_explicit (&spark_real_dlopen, memory_order_relaxed) != no_dlopen)
    return true;
  spark_dlopen_function found = spark_find_dlopen ();
  if (found == NULL)
    return false;
  spark_dlmopen_function scoped = spark_find_dlmopen ();
  if (scoped != NULL)
    spark_real_dlmopen = scoped;
  real_dlclose = spark_find_dlclose ();
  spark_real_dlopen = found;
  return true;
}

void *
spark_dlopen_redirect (const char *file, int mode, const void *caller)
{
  if (!find_real_functions ())
    return NULL;
  if ((mode & RTLD_DEEPBIND) != 0 || (file != NULL && spark_is_libc (file)))
    spark_inner_cover ();
  const struct redirect *redirect = file != NULL ? redirect_for (file) : NULL;
  if (redirect == NULL)
    return NULL;
  int saved_errno = errno;
  void *handle = open_redirected (redirect, file, mode, caller);
  SPARK_TRACE (.layer = "loader", .call = "dlopen", .detail = file, .by = handle != NULL ? SPARK_BY_SHIM : SPARK_BY_DRIVER);
  errno = saved_errno;
  return handle;
}

/* Another scope has a C library of its own and none of us in it: there the driver is what it is without us. */
void *
spark_dlmopen_redirect (long scope, const char *file, int mode, const void *caller)
{
  if (scope == LM_ID_BASE)
    return spark_dlopen_redirect (file, mode, caller);
  find_real_functions ();
  return NULL;
}

/* Who stands in for dlopen was called by way of us or before us; asked again we would go round in circles. */
void *
spark_inner_dlopen_redirect (const char *file, int mode, const void *caller)
{
  return spark_inner_is_interposer (caller) ? NULL : spark_dlopen_redirect (file, mode, caller);
}

void *
spark_inner_dlmopen_redirect (long scope, const char *file, int mode, const void *caller)
{
  return spark_inner_is_interposer (caller) ? NULL : spark_dlmopen_redirect (scope, file, mode, caller);
}

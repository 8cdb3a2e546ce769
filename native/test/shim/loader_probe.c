/* A program that runs inside of test images (test_images.sh), built for the oldest C library.
     loader_probe transcript <directory>   writes what the loader does with the driver's names: with the shim the same as without
     loader_probe hooked <bytes>           exit code 0 if the driver is ours and keeps a budget of so many bytes
     loader_probe plain                    exit code 0 if it is the driver's own
     loader_probe start <name=value>… -- <program> <argument>…   starts it with that environment, as an image may have no env(1) */
#include "shim/cuda_abi.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *handles[64];
static int handle_count;

/* Which of the handles seen so far this one is: names for addresses. */
static int
number_of (void *handle)
{
  for (int i = 0; i < handle_count; i++)
    if (handles[i] == handle)
      return i;
  if (handle_count == 64)
    exit (3);
  return handles[handle_count] = handle, handle_count++;
}

static void *
opens (const char *name, int mode)
{
  errno = 1234;
  void *handle = dlopen (name, mode);
  const char *said = handle == NULL ? dlerror () : NULL;
  printf ("dlopen (%s, %#x): ", name != NULL ? name : "NULL", (unsigned) mode);
  if (handle != NULL)
    printf ("handle %d, errno %s\n", number_of (handle), errno == 1234 ? "untouched" : "changed");
  else
    printf ("%s\n", said != NULL ? said : "no handle and no error");
  return handle;
}

static void
closes (void *handle)
{
  if (handle == NULL)
    return;
  int number = number_of (handle), result = dlclose (handle);
  printf ("dlclose (handle %d): %d\n", number, result);
}

static void
finds (void *handle, const char *what, const char *name)
{
  dlerror ();
  void *function = dlsym (handle, name);
  const char *said = dlerror (), *symbol = "";
  Dl_info info;
  if (function != NULL && dladdr (function, &info) != 0 && info.dli_sname != NULL)
    symbol = info.dli_sname;
  /* The text names the library that was searched. That is ours for a handle of the driver, a known difference. */
  const char *words = said != NULL ? strstr (said, ": undefined symbol: ") : NULL;
  printf ("dlsym (%s, %s): %s, dladdr %s, dlerror %s\n", what, name, function != NULL ? "found" : "none", symbol,
          words != NULL ? words + 2 : said != NULL ? said : "none");
}

static void
write_file (const char *directory, const char *name, const void *content, size_t size)
{
  char path[4096];
  snprintf (path, sizeof path, "%s/%s", directory, name);
  FILE *file = fopen (path, "w");
  if (file == NULL || fwrite (content, 1, size, file) != size || fclose (file) != 0)
    exit (3);
}

static int
transcript (const char *directory)
{
  static const char elf32[64] = "\177ELF\1\1\1", truncated[20] = "\177ELF\2\1\1";
  static const char *const broken[]
    = { "libcuda.so.90", "libcuda.so.91", "libcuda.so.92", "libcuda.so.93", "libnvidia-ml.so.94", "libcuda.so.95" };
  char path[4096];
  write_file (directory, broken[0], "not a library at all, and long enough to have a header in it", 60);
  write_file (directory, broken[1], "", 0);
  write_file (directory, broken[2], elf32, sizeof elf32);
  write_file (directory, broken[3], truncated, sizeof truncated);
  write_file (directory, broken[4], "/* GNU ld script */ INPUT (libnvidia-ml.so.1)", 45);
  for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
    {
      snprintf (path, sizeof path, "%s/%s", directory, broken[i]);
      opens (path, RTLD_NOW);
    }
  opens (directory, RTLD_NOW);
  opens ("libcuda.so.404", RTLD_LAZY);
  opens ("/nowhere/libnvidia-ml.so.1", RTLD_NOW);
  opens ("libcuda.so.1", 0);
  opens ("", RTLD_NOW);
  opens ("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);

  void *program = opens (NULL, RTLD_NOW);
  void *first = opens ("libcuda.so.1", RTLD_NOW), *second = opens ("libcuda.so.1", RTLD_LAZY);
  void *linked = opens ("libcuda.so", RTLD_NOW), *resident = opens ("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  finds (first, "driver", "cuInit");
  finds (first, "driver", "cuMemAlloc_v2");
  finds (first, "driver", "cuNoSuchFunction");
  finds (program, "program", "cuInit");
  finds (RTLD_DEFAULT, "RTLD_DEFAULT", "cuInit");
  finds (RTLD_NEXT, "RTLD_NEXT", "cuInit");
  void *global = opens ("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
  finds (program, "program", "cuInit");
  finds (RTLD_DEFAULT, "RTLD_DEFAULT", "cuInit");
  finds (RTLD_NEXT, "RTLD_NEXT", "cuInit");
  closes (global);
  closes (resident);
  closes (linked);
  closes (second);
  void *still = opens ("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  closes (still);
  closes (first);
  opens ("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  finds (RTLD_DEFAULT, "RTLD_DEFAULT", "cuInit");
  void *nvml = opens ("libnvidia-ml.so.1", RTLD_NOW | RTLD_GLOBAL);
  finds (nvml, "nvml", "nvmlInit_v2");
  finds (RTLD_DEFAULT, "RTLD_DEFAULT", "nvmlInit_v2");
  closes (nvml);
  closes (program);
  /* All are closed: what is opened now may have the address of any of them. */
  handle_count = 0;
  void *math = opens ("libm.so.6", RTLD_NOW);
  finds (math, "libm", "cos");
  closes (math);
  return 0;
}

static int
is_hooked (void *driver)
{
  Dl_info info;
  void *function = driver != NULL ? dlsym (driver, "cuMemAlloc_v2") : NULL;
  if (function == NULL || dladdr (function, &info) == 0)
    exit (4);
  return strstr (info.dli_fname, "libspark-shim.so") != NULL;
}

static int
hooked (size_t expected)
{
  void *driver = dlopen ("libcuda.so.1", RTLD_NOW);
  if (driver == NULL || !is_hooked (driver))
    return 5;
  CUresult (*info) (size_t *, size_t *) = (__typeof__ (info)) dlsym (driver, "cuMemGetInfo_v2");
  CUresult (*allocate) (CUdeviceptr *, size_t) = (__typeof__ (allocate)) dlsym (driver, "cuMemAlloc_v2");
  CUresult (*release) (CUdeviceptr) = (__typeof__ (release)) dlsym (driver, "cuMemFree_v2");
  size_t free_bytes = 0, total_bytes = 0;
  CUdeviceptr pointer = 7;
  if (info (&free_bytes, &total_bytes) != 0 || total_bytes != expected || free_bytes > expected)
    return 6;
  if (allocate (&pointer, expected + 1) != SPARK_CUDA_ERROR_OUT_OF_MEMORY || pointer != 7)
    return 7;
  if (allocate (&pointer, 1 << 20) != 0 || pointer == 7 || release (pointer) != 0)
    return 8;
  return dlclose (driver) == 0 ? 0 : 9;
}

static int
start (char **words)
{
  char **program = words;
  while (*program != NULL && strcmp (*program, "--") != 0)
    program++;
  if (*program == NULL || program[1] == NULL)
    return 2;
  *program++ = NULL;
  execve (program[0], program, words);
  return 127;
}

int
main (int argc, char **argv)
{
  const char *part = argc > 1 ? argv[1] : "";
  if (argc == 3 && strcmp (part, "transcript") == 0)
    return transcript (argv[2]);
  if (argc == 3 && strcmp (part, "hooked") == 0)
    return hooked (strtoull (argv[2], NULL, 10));
  if (argc > 2 && strcmp (part, "start") == 0)
    return start (argv + 2);
  if (argc == 2 && strcmp (part, "plain") == 0)
    return is_hooked (dlopen ("libcuda.so.1", RTLD_NOW));
  return 2;
}

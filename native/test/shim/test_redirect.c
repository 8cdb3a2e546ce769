/* Which library a program gets when it opens the driver, and that everything else about dlopen is as before. */
#include "harness.h"

static void
opens (const char *name, int flags)
{
  void *handle = dlopen (name, flags);
  CHECK (handle != NULL);
  CHECK (dlerror () == NULL);
  if (handle == NULL)
    return;
  CHECK (is_ours (dlsym (handle, "cuMemAlloc_v2")));
  CHECK (is_ours (dlsym (handle, "cuGetProcAddress_v2")));
  CHECK (dlsym (handle, "cuInit") != NULL && !is_ours (dlsym (handle, "cuInit")));
  CHECK (dlclose (handle) == 0);
}

static void *
loaded (const char *name)
{
  void *handle = dlopen (name, RTLD_NOW | RTLD_NOLOAD);
  if (handle != NULL)
    dlclose (handle);
  return handle;
}

static void
test_names (void)
{
  opens ("libcuda.so.1", RTLD_NOW);
  opens ("libcuda.so.1", RTLD_LAZY | RTLD_GLOBAL);
  test_done ("dlopen by name gives our functions first, the driver's after");
  opens (in_build ("test/shim/fake/libcuda.so.1"), RTLD_NOW);
  opens (in_build ("test/shim/fake/libcuda.so"), RTLD_NOW);
  opens (in_build ("test/shim/fake/libcuda.so.580.1"), RTLD_NOW);
  test_done ("dlopen by path, and by any version's name");
  if (getenv ("SPARK_TEST_SANITIZED") != NULL)
    test_skip ("dlopen with RTLD_DEEPBIND", "AddressSanitizer does not allow it");
  else
    {
      opens ("libcuda.so.1", RTLD_NOW | RTLD_DEEPBIND);
      test_done ("dlopen with RTLD_DEEPBIND");
    }
  void *nvml = dlopen ("libnvidia-ml.so.1", RTLD_NOW);
  CHECK (is_ours (dlsym (nvml, "nvmlDeviceGetMemoryInfo")));
  CHECK (is_ours (dlsym (nvml, "nvmlDeviceGetMemoryInfo_v2")));
  CHECK (!is_ours (dlsym (nvml, "nvmlInit_v2")));
  CHECK (dlclose (nvml) == 0);
  test_done ("NVML likewise");
}

static void
test_errors (void)
{
  static const char rest[] = ": cannot open shared object file: No such file or directory";
  char wanted[256];
  CHECK (dlopen ("libcuda.so.404", RTLD_NOW) == NULL);
  snprintf (wanted, sizeof wanted, "libcuda.so.404%s", rest);
  CHECK_TEXT (dlerror (), wanted);
  CHECK (dlerror () == NULL);
  CHECK (dlopen ("/nowhere/libnvidia-ml.so.1", RTLD_NOW) == NULL);
  snprintf (wanted, sizeof wanted, "/nowhere/libnvidia-ml.so.1%s", rest);
  CHECK_TEXT (dlerror (), wanted);
  CHECK (dlopen ("libnothing.so", RTLD_NOW) == NULL);
  snprintf (wanted, sizeof wanted, "libnothing.so%s", rest);
  CHECK_TEXT (dlerror (), wanted);
  CHECK (dlopen ("libcuda.so.1", 0) == NULL);
  CHECK_TEXT (dlerror (), "libcuda.so.1: invalid mode for dlopen(): Invalid argument");
  test_done ("what cannot be opened gives NULL and the loader's own words");
  void *self = dlopen (NULL, RTLD_NOW);
  CHECK (self != NULL && dlclose (self) == 0);
  void *libm = dlopen ("libm.so.6", RTLD_NOW);
  CHECK (libm != NULL && dlsym (libm, "cos") != NULL && dlclose (libm) == 0);
  errno = 1234;
  void *handle = dlopen ("libcuda.so.1", RTLD_NOW);
  CHECK (errno == 1234);
  dlclose (handle);
  test_done ("every other name goes through, and errno is left alone");
}

static long
count_mappings (void)
{
  FILE *maps = fopen ("/proc/self/maps", "r");
  long lines = 0;
  for (int c; maps != NULL && (c = getc (maps)) != EOF;)
    lines += c == '\n';
  if (maps != NULL)
    fclose (maps);
  return lines;
}

static void
test_references (void)
{
  CHECK (loaded ("libcuda.so.1") == NULL);
  CHECK (dlerror () == NULL);
  void *first = dlopen ("libcuda.so.1", RTLD_NOW), *second = dlopen ("libcuda.so.1", RTLD_NOW);
  CHECK (first != NULL && first == second);
  void *third = dlopen ("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  CHECK (third == first);
  dlclose (third);
  dlclose (second);
  CHECK (loaded ("libcuda.so.1") != NULL);
  dlclose (first);
  CHECK (loaded ("libcuda.so.1") == NULL);
  test_done ("as many dlclose as dlopen unload the driver again; RTLD_NOLOAD opens nothing");
  opens ("libcuda.so.1", RTLD_NOW);
  long before = count_mappings ();
  for (int i = 0; i < 10000; i++)
    {
      void *handle = dlopen ("libcuda.so.1", RTLD_NOW);
      if (handle == NULL || dlclose (handle) != 0)
        CHECK (handle != NULL && !"dlclose failed");
    }
  CHECK (count_mappings () <= before + 2);
  CHECK (loaded ("libcuda.so.1") == NULL);
  test_done ("10,000 times dlopen and dlclose leave nothing behind");
}

static int
run_path_body (void)
{
  void *caller = dlopen (in_build ("test/shim/caller/libcaller.so"), RTLD_NOW);
  void *(*caller_opens) (const char *) = (void *(*) (const char *)) dlsym (caller, "caller_opens");
  if (caller_opens == NULL)
    return 1;
  if (dlopen ("libprivate.so", RTLD_NOW) != NULL)
    return 2; /* found without the caller's RUNPATH: then this shows nothing */
  if (caller_opens ("libprivate.so") == NULL)
    return 3;
  if (dlopen ("libcuda.so.77", RTLD_NOW) != NULL)
    return 4;
  void *driver = caller_opens ("libcuda.so.77");
  return driver != NULL && is_ours (dlsym (driver, "cuMemAlloc_v2")) ? 0 : 5;
}

static int
nested_body (void)
{
  void *driver = dlopen ("libcuda.so.1", RTLD_NOW);
  void *(*open_nvml) (void) = (void *(*) (void)) dlsym (driver, "fake_cuda_open_nvml");
  void *nvml = open_nvml ();
  return nvml != NULL && !is_ours (dlsym (nvml, "nvmlDeviceGetMemoryInfo")) ? 0 : 1;
}

static void
test_callers (void)
{
  if (getenv ("SPARK_TEST_SANITIZED") != NULL)
    {
      test_skip ("callers' identity", "AddressSanitizer's own dlopen stands between and hides every caller");
      return;
    }
  CHECK (child_agrees (run_path_body));
  test_done ("what a caller's RUNPATH leads to is found, the driver too");
  CHECK (child_agrees (nested_body));
  test_done ("the driver itself opens its libraries undisturbed");
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, 4 * GIB);
  test_references ();
  test_names ();
  test_errors ();
  test_callers ();
  return check_done ();
}

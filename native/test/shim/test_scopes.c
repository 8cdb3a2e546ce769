/* Who finds the driver another way than by the plain dlopen: libraries that look through their own dependencies first, handles of the C
   library, other link scopes, other stand-ins for dlopen. */
#include "harness.h"

typedef void *(*opener) (const char *name);

/* A library loaded so; its function that opens. */
static opener
caller_loaded (int mode)
{
  void *library = dlopen (in_build ("test/shim/caller/libcaller.so"), mode);
  return library == NULL ? NULL : (opener) dlsym (library, "caller_opens");
}

static int
is_hooked (void *driver)
{
  return driver != NULL && is_ours (dlsym (driver, "cuMemAlloc_v2")) && !is_ours (dlsym (driver, "cuInit"));
}

static int
deep (int binding)
{
  opener opens = caller_loaded (binding | RTLD_DEEPBIND);
  if (opens == NULL)
    return 1;
  void *driver = opens ("libcuda.so.1"), *again = opens ("libcuda.so.1");
  if (!is_hooked (driver) || driver != again || dlclose (again) != 0 || dlclose (driver) != 0)
    return 2;
  if (dlopen ("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD) != NULL)
    return 3;
  /* Its RUNPATH still counts, and what is not there is still missed in the loader's words. */
  if (opens ("libprivate.so") == NULL || !is_hooked (opens ("libcuda.so.77")) || opens ("libcuda.so.404") != NULL)
    return 4;
  const char *said = dlerror ();
  return said != NULL && strstr (said, "libcuda.so.404: cannot open shared object file") != NULL ? 0 : 5;
}

static int deep_now (void) { return deep (RTLD_NOW); }
static int deep_lazy (void) { return deep (RTLD_LAZY); }

static int
constructor_body (void)
{
  setenv ("SPARK_TEST_OPEN_EARLY", "libcuda.so.1", 1);
  void *library = dlopen (in_build ("test/shim/caller/libcaller.so"), RTLD_NOW | RTLD_DEEPBIND);
  void **early = library == NULL ? NULL : (void **) dlsym (library, "caller_opened_early");
  return early != NULL && is_hooked (*early) ? 0 : 1;
}

/* As ctypes.CDLL ("libc.so.6").dlopen does, and P/Invoke with libdl. */
static int
handle_body (void)
{
  static const char *const names[] = { "libc.so.6", "libdl.so.2" };
  int found = 0;
  for (size_t i = 0; i < 2; i++)
    {
      void *libc = dlopen (names[i], RTLD_NOW);
      void *(*opens) (const char *, int) = libc == NULL ? NULL : (__typeof__ (opens)) dlsym (libc, "dlopen");
      if (opens == NULL)
        continue; /* the one that does not have it on this glibc */
      found++;
      if (!is_hooked (opens ("libcuda.so.1", RTLD_NOW)) || opens ("libm.so.6", RTLD_NOW) == NULL)
        return 1;
    }
  return found > 0 ? 0 : 2;
}

static int
base_body (void)
{
  void *driver = dlmopen (LM_ID_BASE, "libcuda.so.1", RTLD_NOW);
  return is_hooked (driver) && driver == dlopen ("libcuda.so.1", RTLD_NOW) && dlmopen (LM_ID_BASE, "libm.so.6", RTLD_NOW) != NULL
             && dlmopen (LM_ID_BASE, "libcuda.so.404", RTLD_NOW) == NULL && strstr (dlerror (), "libcuda.so.404: cannot") != NULL
           ? 0
           : 1;
}

static void
test_closed (void)
{
  CHECK (child_agrees (deep_now) && child_agrees (deep_lazy));
  test_done ("a library loaded with RTLD_DEEPBIND opens the driver and gets ours; its RUNPATH and its errors stay");
  CHECK (child_agrees (constructor_body));
  test_done ("likewise while it is being loaded");
  CHECK (child_agrees (handle_body));
  test_done ("dlopen taken from a handle of the C library gives ours");
  CHECK (child_agrees (base_body));
  test_done ("dlmopen into the program's own scope is dlopen");
}

/* ---- what is not covered: these tests say so, and fail once it is ---- */

static int
scope_body (void)
{
  void *driver = dlmopen (LM_ID_NEWLM, "libcuda.so.1", RTLD_NOW);
  return driver != NULL && !is_ours (dlsym (driver, "cuMemAlloc_v2")) ? 0 : 1;
}

static int
linked_body (void)
{
  /* The same library, its references bound to ours, and bound past us. */
  void *plain = dlopen (in_build ("test/shim/caller/liblinked.so"), RTLD_NOW);
  void *(*allocator) (void) = plain == NULL ? NULL : (__typeof__ (allocator)) dlsym (plain, "linked_allocator");
  if (allocator == NULL || !is_ours (allocator ()) || dlclose (plain) != 0)
    return 1;
  void *deeply = dlopen (in_build ("test/shim/caller/liblinked.so"), RTLD_NOW | RTLD_DEEPBIND);
  allocator = deeply == NULL ? NULL : (__typeof__ (allocator)) dlsym (deeply, "linked_allocator");
  return allocator != NULL && !is_ours (allocator ()) ? 0 : 2;
}

static void
test_gaps (void)
{
  CHECK (child_agrees (scope_body));
  test_done ("not covered: the driver in a link scope of its own (dlmopen with LM_ID_NEWLM) is the driver's own");
  CHECK (child_agrees (linked_body));
  test_done ("not covered: a library linked against the driver and loaded with RTLD_DEEPBIND calls the driver's own");
}

/* ---- others who stand in for dlopen ---- */

static int
interposer_body (void)
{
  int (*calls) (void) = (int (*) (void)) dlsym (RTLD_DEFAULT, "interposer_calls");
  if (calls == NULL)
    return 1;
  opener opens = caller_loaded (RTLD_NOW | RTLD_DEEPBIND);
  int before = calls ();
  if (before == 0 || opens == NULL || !is_hooked (opens ("libcuda.so.1")))
    return 2;
  return is_hooked (dlopen ("libcuda.so.1", RTLD_NOW)) && calls () > before ? 0 : 3;
}

static void
test_interposers (void)
{
  static const char *const orders[] = { "%1$s %2$s", "%2$s %1$s" };
  char preload[2 * PATH_MAX + 256], path[PATH_MAX + 64], named[PATH_MAX + 64], libraries[PATH_MAX + 64];
  snprintf (named, sizeof named, "SPARK_RUN_LEDGER=%s", ledger_path);
  snprintf (libraries, sizeof libraries, "LD_LIBRARY_PATH=%s", in_build ("test/shim/fake"));
  snprintf (path, sizeof path, "%s", in_build ("test/shim/caller/libinterposer.so"));
  for (size_t i = 0; i < 2; i++)
    {
      memcpy (preload, "LD_PRELOAD=", 12);
      snprintf (preload + 11, sizeof preload - 11, orders[i], in_build ("libspark-shim.so"), path);
      char *const again[] = { (char *) in_build ("test/shim/test_scopes"), (char *) "interposed", NULL };
      char *const envp[] = { preload, libraries, named, NULL };
      CHECK (run_program (again, envp, NULL) == 0);
    }
  test_done ("another library that stands in for dlopen, before or after ours, has its turn, and nobody goes in circles");
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "interposed") == 0)
    {
      ssize_t length = readlink ("/proc/self/exe", build_directory, sizeof build_directory - 1);
      build_directory[length > 0 ? length : 0] = '\0';
      for (int up = 0; up < 3; up++)
        *strrchr (build_directory, '/') = '\0';
      return interposer_body ();
    }
  begin_under_shim (argv, 4 * GIB);
  test_closed ();
  test_gaps ();
  if (getenv ("SPARK_TEST_EMULATED") != NULL)
    test_skip ("another stand-in for dlopen", "a program cannot be started again under the emulator");
  else
    test_interposers ();
  return check_done ();
}

/* A library with a RUNPATH of its own: what it opens by name must be found there, with the shim as without. */
#include <dlfcn.h>
#include <stdlib.h>

void *caller_opens (const char *name);

__attribute__ ((visibility ("default"))) void *
caller_opens (const char *name)
{
  /* Not the last thing done, or the compiler would jump and take this library out of the chain of callers. */
  void *volatile handle = dlopen (name, RTLD_NOW);
  return handle;
}

/* What it opened while it was being loaded, where it was told to. */
__attribute__ ((visibility ("default"))) void *caller_opened_early;

__attribute__ ((constructor)) static void
open_early (void)
{
  const char *name = getenv ("SPARK_TEST_OPEN_EARLY");
  if (name != NULL)
    caller_opened_early = caller_opens (name);
}

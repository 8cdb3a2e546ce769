/* A library with a RUNPATH of its own: what it opens by name must be found there, with the shim as without. */
#include <dlfcn.h>

void *caller_opens (const char *name);

__attribute__ ((visibility ("default"))) void *
caller_opens (const char *name)
{
  /* Not the last thing done, or the compiler would jump and take this library out of the chain of callers. */
  void *volatile handle = dlopen (name, RTLD_NOW);
  return handle;
}

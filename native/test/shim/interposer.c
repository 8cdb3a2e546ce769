/* A library that stands in for dlopen, as tracers do: it looks the next one up anew for each call. */
#include <dlfcn.h>

static int calls;

__attribute__ ((visibility ("default"))) int interposer_calls (void);
int interposer_calls (void) { return calls; }

__attribute__ ((visibility ("default"))) void *
dlopen (const char *name, int mode)
{
  void *(*next) (const char *, int) = (void *(*) (const char *, int)) dlsym (RTLD_NEXT, "dlopen");
  calls++;
  void *volatile handle = next (name, mode);
  return handle;
}

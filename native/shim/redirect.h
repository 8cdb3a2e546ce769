/* dlopen of a driver library gives the handle of a library that holds our hooks before the driver. docs/design.md section 6.1. */
#ifndef SPARK_SHIM_REDIRECT_H
#define SPARK_SHIM_REDIRECT_H

/* Called by our dlopen (dlopen.S) with its arguments and the address it will return to. The handle to return, or NULL: then the call
   goes on to the C library as if we were not there, and the answer and any error text are its own. */
void *spark_dlopen_redirect (const char *file, int mode, const void *caller);

#endif

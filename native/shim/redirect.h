/* dlopen of a driver library gives the handle of a library that holds our hooks before the driver. docs/design.md section 6.1. */
#ifndef SPARK_SHIM_REDIRECT_H
#define SPARK_SHIM_REDIRECT_H

/* Called by our dlopen and dlmopen (dlopen.S) with their arguments and the address they will return to. The handle to return, or NULL:
   then the call goes on to the C library as if we were not there, and the answer and any error text are its own. */
void *spark_dlopen_redirect (const char *file, int mode, const void *caller);
void *spark_dlmopen_redirect (long scope, const char *file, int mode, const void *caller);

/* The same for callers that came past us to the C library's own names (inner.h). */
void *spark_inner_dlopen_redirect (const char *file, int mode, const void *caller);
void *spark_inner_dlmopen_redirect (long scope, const char *file, int mode, const void *caller);

#endif

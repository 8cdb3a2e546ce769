/* Callers that find dlopen in the C library and not ours: a library that was loaded with RTLD_DEEPBIND looks through its own dependencies
   first, and dlsym on a handle of the C library, as ctypes and P/Invoke do it, looks nowhere else. For them the C library's symbol
   table itself names us: the loader takes the address from there, and copies nothing of it beforehand. */
#ifndef SPARK_SHIM_INNER_H
#define SPARK_SHIM_INNER_H

#include <stdbool.h>

/* Makes dlopen and dlmopen of the C library lead to us, for symbols bound from now on. Called when something is about to be opened that
   needs it, so that other programs keep all of their C library's pages. Where the kernel does not let the page be written, nothing changes. */
void spark_inner_cover (void);

/* Does the object that holds `caller` stand in for dlopen itself? It calls on for somebody else. */
bool spark_inner_is_interposer (const void *caller);

#endif

/* Finding functions without naming a symbol version. glibc 2.34 moved dlopen and dlsym from libdl into libc under a new version, so
   a shim linked against either would not load on the other. This walks the loaded objects instead and reads their symbol tables. */
#ifndef SPARK_SHIM_RESOLVE_H
#define SPARK_SHIM_RESOLVE_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The next definition of `name` after our own library in load order, as RTLD_NEXT would find it, so that others who interpose
   the same function still get their turn; failing that, the first before it. NULL if no loaded object has one. */
void *spark_next_symbol (const char *name);

/* The C library's own definition of `name` (libc.so.6 or libdl.so.2). */
void *spark_libc_symbol (const char *name);

/* What the C library's symbol table said before inner.c wrote there; NULL where it did not. The lookups above still find it. */
extern __attribute__ ((visibility ("hidden"))) _Atomic (void *) spark_libc_dlopen, spark_libc_dlmopen;

/* What holds an address: the path as the loader knows it (empty for the program itself) and its dynamic section. */
struct spark_object {
  const char *path;
  uintptr_t base;
  const void *dynamic;
};
bool spark_object_of (const void *address, struct spark_object *object);
const ElfW (Dyn) *spark_dynamic_of (const struct dl_phdr_info *info);

/* Is this a path of the C library: libc.so.6, or libdl.so.2, which held dlopen before glibc 2.34? */
bool spark_is_libc (const char *path);

enum spark_driver { SPARK_DRIVER_CUDA, SPARK_DRIVER_NVML, SPARK_DRIVERS };

/* The driver library's own function. The first success keeps that library loaded for good: we cache its addresses. */
void *spark_driver_symbol (enum spark_driver driver, const char *name);

/* The C library's functions behind our dlopen, NULL where there is none. */
typedef void *(*spark_dlopen_function) (const char *file, int mode);
typedef void *(*spark_dlmopen_function) (long scope, const char *file, int mode);
typedef int (*spark_dlclose_function) (void *handle);
spark_dlopen_function spark_find_dlopen (void);
spark_dlmopen_function spark_find_dlmopen (void);
spark_dlclose_function spark_find_dlclose (void);

#endif

#include "resolve.h"

#include "elf_symbols.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

/* ---- the loaded objects ---- */

const ElfW (Dyn) *
spark_dynamic_of (const struct dl_phdr_info *info)
{
  for (int i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
      return (const ElfW (Dyn) *) (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
  return NULL;
}

static bool
holds (const struct dl_phdr_info *info, const void *address)
{
  for (int i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_LOAD
        && (uintptr_t) address - (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr) < info->dlpi_phdr[i].p_memsz)
      return true;
  return false;
}

struct object_search {
  const void *address;
  struct spark_object *object;
};

static int
match_object (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct object_search *search = data;
  if (!holds (info, search->address))
    return 0;
  *search->object = (struct spark_object){
    .path = info->dlpi_name != NULL ? info->dlpi_name : "", .base = info->dlpi_addr, .dynamic = spark_dynamic_of (info)
  };
  return 1;
}

bool
spark_object_of (const void *address, struct spark_object *object)
{
  struct object_search search = { .address = address, .object = object };
  return dl_iterate_phdr (match_object, &search) == 1;
}

struct symbol_search {
  const char *name;
  bool libc_only;
  bool seen_us;
  void *before_us;
  void *after_us;
};

bool
spark_is_libc (const char *path)
{
  const char *slash = strrchr (path, '/'), *name = slash != NULL ? slash + 1 : path;
  return strcmp (name, "libc.so.6") == 0 || strcmp (name, "libdl.so.2") == 0;
}

_Atomic (void *) spark_libc_dlopen, spark_libc_dlmopen;

static void *
definition_in (const struct dl_phdr_info *info, const ElfW (Dyn) *dynamic, const char *name)
{
  void *before = NULL;
  if (spark_is_libc (info->dlpi_name))
    before = strcmp (name, "dlopen") == 0 ? spark_libc_dlopen : strcmp (name, "dlmopen") == 0 ? spark_libc_dlmopen : NULL;
  return before != NULL ? before : spark_elf_symbol (info->dlpi_addr, dynamic, name);
}

static int
match_symbol (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct symbol_search *search = data;
  const ElfW (Dyn) *dynamic = spark_dynamic_of (info);
  if (holds (info, (const void *) match_symbol))
    {
      search->seen_us = true;
      return 0;
    }
  if (dynamic == NULL || (search->libc_only && !spark_is_libc (info->dlpi_name)))
    return 0;
  void *found = definition_in (info, dynamic, search->name);
  if (found == NULL)
    return 0;
  if (search->seen_us)
    {
      search->after_us = found;
      return 1;
    }
  if (search->before_us == NULL)
    search->before_us = found;
  return 0;
}

static void *
search_symbol (const char *name, bool libc_only)
{
  struct symbol_search search = { .name = name, .libc_only = libc_only };
  dl_iterate_phdr (match_symbol, &search);
  return search.after_us != NULL ? search.after_us : search.before_us;
}

void *
spark_next_symbol (const char *name)
{
  return search_symbol (name, false);
}

void *
spark_libc_symbol (const char *name)
{
  return search_symbol (name, true);
}

/* ---- what we need of the C library ---- */

/* Before glibc 2.34 a program may have come without libdl (its driver library linked, not opened); libc's internal opener, there
   for name service modules, can still fetch it. */
static void
fetch_libdl (void)
{
  enum { INTERNAL_DLOPEN_MODE = (int) 0x80000000u }; /* __RTLD_DLOPEN in glibc's include/dlfcn.h */
  void *(*open_inside) (const char *, int) = (void *(*) (const char *, int)) spark_libc_symbol ("__libc_dlopen_mode");
  if (open_inside != NULL)
    open_inside ("libdl.so.2", RTLD_NOW | INTERNAL_DLOPEN_MODE);
}

spark_dlopen_function
spark_find_dlopen (void)
{
  return (spark_dlopen_function) spark_next_symbol ("dlopen");
}

spark_dlmopen_function
spark_find_dlmopen (void)
{
  return (spark_dlmopen_function) spark_next_symbol ("dlmopen");
}

spark_dlclose_function
spark_find_dlclose (void)
{
  return (spark_dlclose_function) spark_next_symbol ("dlclose");
}

/* ---- the driver's libraries ---- */

static const char *const driver_names[SPARK_DRIVERS] = {
  [SPARK_DRIVER_CUDA] = "libcuda.so.1",
  [SPARK_DRIVER_NVML] = "libnvidia-ml.so.1",
};

static void *
driver_handle (enum spark_driver driver)
{
  static _Atomic (void *) handles[SPARK_DRIVERS];
  void *handle = handles[driver];
  if (handle != NULL)
    return handle;
  spark_dlopen_function open_library = (spark_dlopen_function) spark_libc_symbol ("dlopen");
  if (open_library == NULL)
    {
      fetch_libdl ();
      open_library = (spark_dlopen_function) spark_libc_symbol ("dlopen");
    }
  if (open_library == NULL)
    return NULL;
  /* Somebody loaded it already, or nobody could have called us; the extra reference is the one that keeps it. Where two threads
     race here it is taken twice, which does no harm. */
  handle = open_library (driver_names[driver], RTLD_LAZY | RTLD_NOLOAD);
  handles[driver] = handle;
  return handle;
}

void *
spark_driver_symbol (enum spark_driver driver, const char *name)
{
  void *handle = driver_handle (driver);
  void *(*look_up) (void *, const char *) = (void *(*) (void *, const char *)) spark_libc_symbol ("dlsym");
  return handle == NULL || look_up == NULL ? NULL : look_up (handle, name);
}

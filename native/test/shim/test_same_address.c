/* Calls that are not hooked cost nothing because they are the driver's own: the same address whichever way it is asked for. */
#include "harness.h"
#include <link.h>

static const char *const not_hooked[] = { "cuInit", "cuCtxGetCurrent", "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxGetState" };

/* Where the driver's library itself has a symbol, by its own symbol table: dlopen and dlsym are what is tested here. */
static void *
in_driver (const char *name, void *somewhere_in_it)
{
  Dl_info info;
  struct link_map *map = NULL;
  if (dladdr1 (somewhere_in_it, &info, (void **) &map, RTLD_DL_LINKMAP) == 0 || map == NULL)
    return NULL;
  const ElfW (Sym) *symbols = NULL;
  const char *names = NULL;
  for (const ElfW (Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == DT_SYMTAB)
      symbols = (const ElfW (Sym) *) entry->d_un.d_ptr;
    else if (entry->d_tag == DT_STRTAB)
      names = (const char *) entry->d_un.d_ptr;
  /* The table of names lies behind the symbols. */
  for (const ElfW (Sym) *symbol = symbols; symbol != NULL && (const char *) symbol < names; symbol++)
    if (symbol->st_shndx != SHN_UNDEF && strcmp (names + symbol->st_name, name) == 0)
      return (void *) (map->l_addr + symbol->st_value);
  return NULL;
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, GIB);
  void *cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  if (cuda == NULL)
    return 1;
  __typeof__ (&cuGetProcAddress_v2) get = (__typeof__ (get)) dlsym (cuda, "cuGetProcAddress_v2");
  void *here = dlsym (cuda, "fake_cuda_calls"), *function = NULL;
  CHECK (is_ours ((void *) get));
  for (size_t i = 0; i < sizeof not_hooked / sizeof not_hooked[0]; i++)
    {
      void *own = in_driver (not_hooked[i], here);
      CHECK (own != NULL && dlsym (cuda, not_hooked[i]) == own && !is_ours (own));
    }
  CHECK (in_driver ("cuMemAlloc_v2", here) != NULL && in_driver ("cuMemAlloc_v2", here) != dlsym (cuda, "cuMemAlloc_v2"));
  test_done ("by dlsym a call that is not hooked is the driver's own function");
  CHECK (get ("cuInit", &function, 12000, 0, NULL) == 0 && function == in_driver ("cuInit", here));
  CHECK (get ("cuMemAlloc", &function, 12000, 0, NULL) == 0 && is_ours (function));
  test_done ("by cuGetProcAddress too");
  return check_done ();
}

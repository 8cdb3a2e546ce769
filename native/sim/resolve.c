/* The one table of what this driver exports, and how a caller finds a function in it. */
#include "driver.h"

#include <string.h>

static CUresult
lacks (void)
{
  return CUDA_ERROR_NOT_SUPPORTED;
}

/* Names under which the table refers to the functions, so that it need not know their parameters. */
#define HAS(symbol, since) extern void table_##symbol (void) __asm__ (#symbol);
#define LACKS(symbol, since) CUresult symbol (void) __attribute__ ((alias ("lacks"), visibility ("default")));
#include "exports.def"
#undef HAS
#undef LACKS

#define HAS(symbol, since) { #symbol, since, table_##symbol },
#define LACKS(symbol, since) { #symbol, since, (void (*) (void)) symbol },
static const struct entry {
  const char *symbol;
  int since; /* the CUDA version whose cuda.h first gave the plain name this form */
  void (*function) (void);
} table[] = {
#include "exports.def"
};
#undef HAS
#undef LACKS

/* Length of `symbol` without _ptsz or _ptds, and without _v2, _v3 … before it. */
static size_t
base_length (const char *symbol, bool *per_thread)
{
  size_t length = strlen (symbol);
  *per_thread = length > 5 && (strcmp (symbol + length - 5, "_ptsz") == 0 || strcmp (symbol + length - 5, "_ptds") == 0);
  if (*per_thread)
    length -= 5;
  if (length > 3 && symbol[length - 3] == '_' && symbol[length - 2] == 'v' && symbol[length - 1] >= '0'
      && symbol[length - 1] <= '9')
    length -= 3;
  return length;
}

/* The newest form of `name` not newer than `version`; a per-thread form wins where it is wanted, and never else.
   An exact symbol name finds itself. */
static const struct entry *
find (const char *name, int version, bool want_per_thread, bool *too_new)
{
  const struct entry *best = NULL;
  bool best_per_thread = false;
  *too_new = false;
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    {
      const struct entry *entry = &table[i];
      bool per_thread;
      size_t length = base_length (entry->symbol, &per_thread);
      if (strlen (name) != length || strncmp (entry->symbol, name, length) != 0 || (per_thread && !want_per_thread))
        continue;
      if (entry->since > version)
        *too_new = true;
      else if (best == NULL || per_thread > best_per_thread
               || (per_thread == best_per_thread && entry->since > best->since))
        {
          best = entry;
          best_per_thread = per_thread;
        }
    }
  for (size_t i = 0; best == NULL && !*too_new && i < sizeof table / sizeof table[0]; i++)
    if (strcmp (table[i].symbol, name) == 0)
      best = &table[i];
  return best;
}

CUresult
cuGetProcAddress_v2 (const char *name, void **function, int version, unsigned long long flags, int *status)
{
  if (name == NULL || function == NULL || version > SIM_CUDA_VERSION || flags > 2)
    return CUDA_ERROR_INVALID_VALUE;
  bool too_new;
  const struct entry *entry
      = find (name, version, flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, &too_new);
  *function = NULL;
  if (entry != NULL)
    memcpy (function, &entry->function, sizeof *function); /* ISO C has no cast from a function to an object pointer */
  if (status != NULL)
    *status = entry != NULL ? CU_GET_PROC_ADDRESS_SUCCESS
              : too_new     ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                            : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  return CUDA_SUCCESS;
}

/* The form of CUDA 11.3: without a status, so a missing function is an error. */
CUresult
cuGetProcAddress (const char *name, void **function, int version, unsigned long long flags)
{
  CUresult result = cuGetProcAddress_v2 (name, function, version, flags, NULL);
  return result == CUDA_SUCCESS && *function == NULL ? CUDA_ERROR_NOT_FOUND : result;
}

/* NVIDIA's private tables: there are none. */
CUresult
cuGetExportTable (const void **table_out, const CUuuid *id)
{
  if (table_out == NULL || id == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  *table_out = NULL;
  return CUDA_ERROR_NOT_FOUND;
}

/* Modules and libraries: their images are not looked into and no code runs, but each takes memory, SPARK_SIM_MODULE, from the
   machine until it is unloaded or its context ends. A library needs no context; its memory is taken once, at its load. */
#include "context.h"
#include "driver.h"
#include "machine.h"
#include "memory.h"
#include "pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct function {
  struct function *next;
  char *name;
};

struct module {
  struct module *next;
  CUcontext context; /* NULL: a library that was loaded without one */
  bool is_library;   /* outlives its context, without its memory */
  struct sim_pages pages;
  struct function *functions;
};

static struct module *modules; /* under sim_lock */

static CUresult
load (void **handle, enum sim_kind kind, CUcontext context, const void *image)
{
  const uint64_t bytes = sim_machine ()->module_bytes;
  if (handle == NULL || image == NULL)
    return CUDA_ERROR_INVALID_VALUE;
  struct module *module = sim_handle_new (kind, sizeof *module);
  if (module == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  if (bytes > 0 && sim_pages_take (bytes, &module->pages) != 0)
    {
      int status = errno;
      sim_handle_free (module);
      return sim_memory_error (status);
    }
  module->context = context;
  module->is_library = kind == SIM_LIBRARY;
  sim_lock ();
  module->next = modules;
  modules = module;
  sim_unlock ();
  *handle = module;
  return CUDA_SUCCESS;
}

static void
give_pages (struct module *module)
{
  if (module->pages.bytes > 0)
    sim_pages_give (&module->pages);
  module->pages.bytes = 0;
}

/* Takes `*at` out of the list and ends it. Under sim_lock. */
static void
end (struct module **at)
{
  struct module *module = *at;
  *at = module->next;
  for (struct function *function = module->functions, *next; function != NULL; function = next)
    {
      next = function->next;
      free (function->name);
      sim_handle_free (function);
    }
  give_pages (module);
  sim_handle_free (module);
}

static bool
unload (enum sim_kind kind, const void *handle)
{
  sim_lock ();
  struct module **at = &modules;
  while (*at != NULL && *at != handle)
    at = &(*at)->next;
  bool found = *at != NULL && sim_handle_is (kind, handle);
  if (found)
    end (at);
  sim_unlock ();
  return found;
}

void
sim_modules_end_context (CUcontext context)
{
  sim_lock ();
  for (struct module **at = &modules; *at != NULL;)
    {
      bool of_context = (*at)->context == context;
      if (of_context && !(*at)->is_library)
        {
          end (at);
          continue;
        }
      if (of_context)
        {
          give_pages (*at);
          (*at)->context = NULL;
        }
      at = &(*at)->next;
    }
  sim_unlock ();
}

CUresult
cuModuleLoadData (CUmodule *module, const void *image)
{
  CUcontext context;
  SIM_ENTER_CONTEXT (&context);
  context = sim_context_of_memory (context);
  return context != NULL ? load (module, SIM_MODULE, context, image) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult
cuModuleLoadDataEx (CUmodule *module, const void *image, unsigned int count, int *options, void **values)
{
  (void) count, (void) options, (void) values;
  return cuModuleLoadData (module, image);
}

CUresult
cuModuleLoadFatBinary (CUmodule *module, const void *image)
{
  return cuModuleLoadData (module, image);
}

CUresult
cuModuleLoad (CUmodule *module, const char *path)
{
  SIM_ENTER_CONTEXT (NULL);
  if (path != NULL && access (path, R_OK) != 0)
    return CUDA_ERROR_FILE_NOT_FOUND;
  return cuModuleLoadData (module, path);
}

CUresult
cuModuleUnload (CUmodule module)
{
  SIM_ENTER_CONTEXT (NULL);
  return unload (SIM_MODULE, module) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static struct function *
function_of (struct module *module, const char *name)
{
  struct function *function = module->functions;
  while (function != NULL && strcmp (function->name, name) != 0)
    function = function->next;
  if (function != NULL)
    return function;
  char *copy = strdup (name);
  function = copy != NULL ? sim_handle_new (SIM_FUNCTION, sizeof *function) : NULL;
  if (function == NULL)
    {
      free (copy);
      return NULL;
    }
  *function = (struct function){ .next = module->functions, .name = copy };
  module->functions = function;
  return function;
}

/* Whatever the name, as the image is not looked into. What would run it is not simulated. */
CUresult
cuModuleGetFunction (CUfunction *function, CUmodule module, const char *name)
{
  SIM_ENTER_CONTEXT (NULL);
  if (function == NULL || name == NULL || name[0] == '\0')
    return CUDA_ERROR_INVALID_VALUE;
  sim_lock ();
  bool loaded = sim_handle_is (SIM_MODULE, module);
  struct function *found = loaded ? function_of (module, name) : NULL;
  sim_unlock ();
  if (!loaded)
    return CUDA_ERROR_INVALID_HANDLE;
  if (found == NULL)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *function = found;
  return CUDA_SUCCESS;
}

CUresult
cuLibraryLoadData (CUlibrary *library, const void *image, int *jit_options, void **jit_values, unsigned int jit_count, int *options,
                   void **values, unsigned int count)
{
  (void) jit_options, (void) jit_values, (void) jit_count, (void) options, (void) values, (void) count;
  CUcontext context = NULL;
  SIM_ENTER ();
  cuCtxGetCurrent (&context);
  if (context != NULL)
    context = sim_context_of_memory (context);
  return load (library, SIM_LIBRARY, context, image);
}

CUresult
cuLibraryLoadFromFile (CUlibrary *library, const char *path, int *jit_options, void **jit_values, unsigned int jit_count,
                       int *options, void **values, unsigned int count)
{
  SIM_ENTER ();
  if (path != NULL && access (path, R_OK) != 0)
    return CUDA_ERROR_FILE_NOT_FOUND;
  return cuLibraryLoadData (library, path, jit_options, jit_values, jit_count, options, values, count);
}

CUresult
cuLibraryUnload (CUlibrary library)
{
  SIM_ENTER ();
  return unload (SIM_LIBRARY, library) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

#include "run_path.h"

#include "raw.h"
#include <link.h>
#include <string.h>

static const char *
run_path_of (const struct spark_object *object)
{
  const char *strings = NULL;
  uint64_t run_path = 0, old_path = 0;
  if (object->dynamic == NULL)
    return NULL;
  for (const ElfW (Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == DT_STRTAB)
      strings = (const char *) (entry->d_un.d_ptr < object->base ? entry->d_un.d_ptr + object->base : entry->d_un.d_ptr);
    else if (entry->d_tag == DT_RUNPATH)
      run_path = entry->d_un.d_val;
    else if (entry->d_tag == DT_RPATH)
      old_path = entry->d_un.d_val;
  uint64_t offset = run_path != 0 ? run_path : old_path;
  return strings == NULL || offset == 0 ? NULL : strings + offset;
}

/* The directory of the object; the program itself has no name in the loader's list, the kernel knows it. */
static size_t
origin_of (const struct spark_object *object, char *origin, size_t size)
{
  if (object->path[0] != '\0')
    {
      size_t length = strlen (object->path);
      if (length >= size)
        return 0;
      memcpy (origin, object->path, length + 1);
    }
  else
    {
      long length = raw_syscall (SYS_readlinkat, AT_FDCWD, "/proc/self/exe", origin, size - 1);
      if (length <= 0)
        return 0;
      origin[length] = '\0';
    }
  char *slash = strrchr (origin, '/');
  if (slash == NULL)
    return 0;
  *slash = '\0';
  return (size_t) (slash - origin);
}

struct builder {
  char *text;
  size_t used, size;
};

static bool
append (struct builder *builder, const char *text, size_t length)
{
  if (builder->used + length >= builder->size)
    return false;
  memcpy (builder->text + builder->used, text, length);
  builder->used += length;
  builder->text[builder->used] = '\0';
  return true;
}

/* One entry of the list, its $ORIGIN put in. */
static bool
expand (struct builder *builder, const char *entry, size_t length, const struct spark_object *object)
{
  static const char *const words[] = { "${ORIGIN}", "$ORIGIN" };
  for (size_t at = 0; at < length;)
    {
      if (entry[at] != '$')
        {
          if (!append (builder, entry + at++, 1))
            return false;
          continue;
        }
      size_t word = 0, word_length = 0;
      for (; word < 2; word++)
        {
          word_length = strlen (words[word]);
          if (length - at >= word_length && memcmp (entry + at, words[word], word_length) == 0)
            break;
        }
      char origin[1024];
      size_t origin_length = word < 2 ? origin_of (object, origin, sizeof origin) : 0;
      if (origin_length == 0 || !append (builder, origin, origin_length))
        return false;
      at += word_length;
    }
  return true;
}

bool
spark_find_in_run_path (const struct spark_object *caller, const char *file, char *path, size_t path_size)
{
  const char *entry = run_path_of (caller);
  while (entry != NULL && *entry != '\0')
    {
      const char *end = strchr (entry, ':');
      size_t length = end != NULL ? (size_t) (end - entry) : strlen (entry);
      struct builder builder = { .text = path, .size = path_size };
      if (length > 0 && expand (&builder, entry, length, caller) && append (&builder, "/", 1)
          && append (&builder, file, strlen (file)) && raw_syscall (SYS_faccessat, AT_FDCWD, path, 0, 0) == 0)
        return true;
      entry = end != NULL ? end + 1 : NULL;
    }
  return false;
}

#include "tell.h"

#include "common/size.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool as_json;

void
tell_as_json (void)
{
  as_json = true;
}

static const char *
size_text (uint64_t bytes)
{
  static char texts[4][24];
  static unsigned next;
  char *text = texts[next++ % 4];
  return spark_size_format (bytes, text, sizeof texts[0]);
}

void
give_up (int status, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  fputs ("greedy: ", stderr);
  vfprintf (stderr, format, arguments);
  fputs (".\n", stderr);
  va_end (arguments);
  exit (status);
}

void
tell_saw (const char *who, uint64_t total_bytes, uint64_t free_bytes, bool has_nvml, uint64_t nvml_total_bytes,
          uint64_t nvml_free_bytes)
{
  if (!as_json)
    {
      if (has_nvml)
        printf ("greedy: NVML says %s free of %s.\n", size_text (nvml_free_bytes), size_text (nvml_total_bytes));
      printf ("greedy: %s says %s free of %s.\n", who, size_text (free_bytes), size_text (total_bytes));
      return;
    }
  printf ("{\"event\":\"saw\",\"totalBytes\":%llu,\"freeBytes\":%llu", (unsigned long long) total_bytes,
          (unsigned long long) free_bytes);
  if (has_nvml)
    printf (",\"nvmlTotalBytes\":%llu,\"nvmlFreeBytes\":%llu", (unsigned long long) nvml_total_bytes,
            (unsigned long long) nvml_free_bytes);
  puts ("}");
}

void
tell_got (uint64_t bytes, uint64_t held_bytes)
{
  if (as_json)
    printf ("{\"event\":\"got\",\"bytes\":%llu,\"heldBytes\":%llu}\n", (unsigned long long) bytes,
            (unsigned long long) held_bytes);
  else
    printf ("greedy: got %s, holding %s.\n", size_text (bytes), size_text (held_bytes));
}

void
tell_refused (uint64_t bytes, uint64_t held_bytes, int error, const char *name)
{
  if (as_json)
    printf ("{\"event\":\"refused\",\"bytes\":%llu,\"error\":%d,\"name\":\"%s\"}\n", (unsigned long long) bytes, error,
            name);
  else
    printf ("greedy: refused %s with %s (%d), holding %s.\n", size_text (bytes), name, error, size_text (held_bytes));
}

void
tell_done (uint64_t held_bytes)
{
  if (as_json)
    printf ("{\"event\":\"done\",\"bytes\":%llu}\n", (unsigned long long) held_bytes);
  else
    printf ("greedy: done, held %s.\n", size_text (held_bytes));
}

#include "trace.h"

#include "lock.h"
#include "process.h"
#include "raw.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PATH_BYTES = 1024, LINE_BYTES = 2048 };

_Atomic uint32_t spark_trace_state;
static struct spark_lock deciding;
static char path[PATH_BYTES];

bool
spark_trace_decide (void)
{
  if (spark_trace_state == SPARK_TRACE_UNKNOWN)
    {
      spark_lock_take (&deciding);
      if (spark_trace_state == SPARK_TRACE_UNKNOWN)
        {
          const char *named = getenv ("SPARK_RUN_TRACE");
          size_t length = named != NULL ? strlen (named) : 0;
          bool usable = length > 0 && named[0] == '/' && length < sizeof path && spark_environment_is_trusted ();
          if (usable)
            memcpy (path, named, length + 1);
          spark_trace_state = usable ? SPARK_TRACE_ON : SPARK_TRACE_OFF;
        }
      spark_lock_give (&deciding);
    }
  return spark_trace_state == SPARK_TRACE_ON;
}

struct text {
  char bytes[LINE_BYTES];
  size_t used;
};

static void
put (struct text *text, const char *piece)
{
  size_t length = strlen (piece), room = sizeof text->bytes - text->used;
  if (length > room)
    length = room;
  memcpy (text->bytes + text->used, piece, length);
  text->used += length;
}

static void
put_number (struct text *text, const char *key, uint64_t value, bool negative)
{
  char digits[24], *at = digits + sizeof digits;
  *--at = '\0';
  do
    *--at = (char) ('0' + value % 10);
  while ((value /= 10) != 0);
  if (negative)
    *--at = '-';
  put (text, ",\"");
  put (text, key);
  put (text, "\":");
  put (text, at);
}

/* Names of functions and files: what JSON would have to escape becomes '?', and a long one is cut. */
static void
put_string (struct text *text, const char *key, const char *value)
{
  char clean[512];
  size_t length = 0;
  for (; value[length] != '\0' && length < sizeof clean - 1; length++)
    {
      unsigned char byte = (unsigned char) value[length];
      clean[length] = byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\' ? '?' : (char) byte;
    }
  clean[length] = '\0';
  put (text, ",\"");
  put (text, key);
  put (text, "\":\"");
  put (text, clean);
  put (text, "\"");
}

void
spark_trace_write (const struct spark_trace_line *line)
{
  struct timespec now = { 0 };
  raw_syscall (SYS_clock_gettime, CLOCK_MONOTONIC, &now, 0, 0);
  struct text text = { .used = 0 };
  put (&text, "{\"v\":1");
  put_number (&text, "ns", (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec, false);
  put_number (&text, "pid", (uint64_t) raw_getpid (), false);
  put_number (&text, "tid", (uint64_t) raw_syscall (SYS_gettid, 0, 0, 0, 0), false);
  put_string (&text, "layer", line->layer);
  put_string (&text, "call", line->call);
  if (line->detail != NULL)
    put_string (&text, "detail", line->detail);
  if (line->bytes != 0)
    put_number (&text, "bytes", line->bytes, false);
  if (line->has_room)
    put_number (&text, "freeBytes", line->free_bytes, false);
  if (line->total_bytes != 0)
    put_number (&text, "totalBytes", line->total_bytes, false);
  if (line->budget_bytes != 0)
    {
      put_number (&text, "budgetBytes", line->budget_bytes, false);
      put_number (&text, "leftBytes", line->left_bytes, false);
    }
  if (line->has_result)
    put_number (&text, "result", line->result < 0 ? 0 - (uint64_t) line->result : (uint64_t) line->result, line->result < 0);
  put_string (&text, "by", line->by == SPARK_BY_SHIM ? "shim" : "driver");
  put (&text, "}\n");
  int fd = raw_open (path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    return;
  struct stat status = { 0 };
  if (raw_syscall (SYS_fstat, fd, &status, 0, 0) == 0 && raw_file_may_have ((uint64_t) status.st_size + text.used))
    raw_syscall (SYS_write, fd, text.bytes, text.used, 0);
  raw_close (fd);
}

#include "guard/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
put (struct json *j, const char *bytes, size_t length)
{
  if (j->truncated || j->length + length + 1 > j->size)
    {
      j->truncated = true;
      return;
    }
  memcpy (j->text + j->length, bytes, length);
  j->length += length;
  j->text[j->length] = '\0';
}

static void
put_escaped (struct json *j, const char *value)
{
  put (j, "\"", 1);
  for (const unsigned char *at = (const unsigned char *) value; *at != '\0'; at++)
    {
      char escape[8];
      if (*at == '"' || *at == '\\')
        put (j, escape, (size_t) snprintf (escape, sizeof escape, "\\%c", *at));
      else if (*at < 0x20)
        put (j, escape, (size_t) snprintf (escape, sizeof escape, "\\u%04x", *at));
      else if (*at < 0x80)
        put (j, (const char *) at, 1);
      else
        put (j, "?", 1); /* names and ids are ASCII; anything else came from a broken file */
    }
  put (j, "\"", 1);
}

static void
put_key (struct json *j, const char *key)
{
  if (j->comma)
    put (j, ",", 1);
  j->comma = true;
  if (key != NULL)
    {
      put_escaped (j, key);
      put (j, ":", 1);
    }
}

void
json_begin (struct json *j, char *buffer, size_t size)
{
  *j = (struct json){ .text = buffer, .size = size };
  buffer[0] = '\0';
}

void
json_open (struct json *j, const char *key, char bracket)
{
  put_key (j, key);
  put (j, &bracket, 1);
  j->comma = false;
}

void
json_close (struct json *j, char bracket)
{
  put (j, &bracket, 1);
  j->comma = true;
}

void
json_text (struct json *j, const char *key, const char *value)
{
  put_key (j, key);
  put_escaped (j, value);
}

void
json_text_or_null (struct json *j, const char *key, const char *value)
{
  if (value[0] == '\0')
    json_null (j, key);
  else
    json_text (j, key, value);
}

void
json_number (struct json *j, const char *key, int64_t value)
{
  char digits[24];
  put_key (j, key);
  put (j, digits, (size_t) snprintf (digits, sizeof digits, "%" PRId64, value));
}

void
json_size (struct json *j, const char *key, uint64_t bytes)
{
  const uint64_t most = (UINT64_C (1) << 53) - 1;
  json_number (j, key, (int64_t) (bytes < most ? bytes : most));
}

void
json_null (struct json *j, const char *key)
{
  put_key (j, key);
  put (j, "null", 4);
}

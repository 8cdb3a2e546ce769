/* One JSON object written into a fixed buffer. Too much is cut at the end and remembered, never allocated. */
#ifndef SPARK_GUARD_JSON_H
#define SPARK_GUARD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
  char *text; /* NUL-terminated */
  size_t size, length;
  bool truncated;
  bool comma; /* something stands before the next member */
};

void json_begin (struct json *json, char *buffer, size_t size);
void json_open (struct json *json, const char *key, char bracket); /* '{' or '['; key NULL inside an array */
void json_close (struct json *json, char bracket);                 /* '}' or ']' */
void json_text (struct json *json, const char *key, const char *value); /* any bytes: escaped, bad UTF-8 becomes '?' */
void json_text_or_null (struct json *json, const char *key, const char *value); /* "" becomes null */
void json_number (struct json *json, const char *key, int64_t value);
void json_size (struct json *json, const char *key, uint64_t bytes); /* at most 2^53 - 1, which all JSON readers keep exactly */
void json_null (struct json *json, const char *key);

#endif

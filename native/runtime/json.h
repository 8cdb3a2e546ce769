/* JSON files and the few questions we ask of them. What json-c parses and prints again keeps unknown keys, their order,
   64-bit integers and the spelling of every other number. */
#ifndef SPARK_RUNTIME_JSON_H
#define SPARK_RUNTIME_JSON_H

#include "common/error.h"
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

enum { SPARK_JSON_FILE_MAX = 16 * 1024 * 1024 };

/* Reads everything from `fd`, at most `max` bytes, into a new NUL-terminated buffer (free it). Returns NULL with a sentence
   that begins with `what`. */
char *spark_read_all (int fd, size_t max, const char *what, size_t *length, struct spark_error *error);

/* Parses one JSON object. `what` names the text in the sentence. */
json_object *spark_json_parse (const char *text, size_t length, const char *what, struct spark_error *error);

/* The text of `object`, owned by it: one line, slashes unescaped. */
const char *spark_json_text (json_object *object, size_t *length);

/* The member at a path of keys that ends with NULL, or NULL where a step is missing or no object. */
json_object *spark_json_at (json_object *object, ...) __attribute__ ((sentinel));

/* The member as an object (or array): made where it is missing or null; NULL where it is something else. */
json_object *spark_json_object_member (json_object *object, const char *key);
json_object *spark_json_array_member (json_object *object, const char *key);

/* A string member's text, or NULL. */
const char *spark_json_string (json_object *object, const char *key);

/* A member that is a whole number from 0 to UINT64_MAX; false where it is missing, null or something else. */
bool spark_json_uint64 (json_object *object, const char *key, uint64_t *value);

static inline void
spark_cleanup_json (json_object **object)
{
  json_object_put (*object);
}
#define cleanup_json __attribute__ ((cleanup (spark_cleanup_json)))

#endif

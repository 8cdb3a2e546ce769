#include "json.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* Deeper than any OCI configuration, shallow enough for the stack. */
static const int json_depth_max = 128;

char *
spark_read_all (int fd, size_t max, const char *what, size_t *length, struct spark_error *error)
{
  size_t used = 0, size = 64 * 1024;
  char *buffer = malloc (size);
  while (buffer != NULL)
    {
      ssize_t got = read (fd, buffer + used, size - used - 1);
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        {
          spark_fail (error, errno, "%s cannot be read", what);
          break;
        }
      if (got == 0)
        {
          buffer[used] = '\0';
          *length = used;
          return buffer;
        }
      used += (size_t) got;
      if (used > max)
        {
          spark_fail (error, 0, "%s is larger than %zu MiB, the most that is read", what, max >> 20);
          break;
        }
      if (size - used < 2)
        {
          size *= 2;
          char *larger = realloc (buffer, size);
          if (larger == NULL)
            {
              spark_fail (error, ENOMEM, "%s cannot be read", what);
              break;
            }
          buffer = larger;
        }
    }
  free (buffer);
  return NULL;
}

json_object *
spark_json_parse (const char *text, size_t length, const char *what, struct spark_error *error)
{
  struct json_tokener *tokener = json_tokener_new_ex (json_depth_max);
  if (tokener == NULL)
    {
      spark_fail (error, ENOMEM, "%s cannot be read", what);
      return NULL;
    }
  json_tokener_set_flags (tokener, JSON_TOKENER_STRICT);
  /* One byte more than the text, its NUL: tells the tokener that nothing follows. */
  json_object *object = json_tokener_parse_ex (tokener, text, (int) length + 1);
  enum json_tokener_error problem = json_tokener_get_error (tokener);
  size_t at = json_tokener_get_parse_end (tokener);
  json_tokener_free (tokener);
  if (problem != json_tokener_success || strlen (text) != length)
    {
      json_object_put (object);
      spark_fail (error, 0, "%s is not JSON: %s at byte %zu", what,
                  problem == json_tokener_continue || problem == json_tokener_success ? "it ends too early"
                                                                                      : json_tokener_error_desc (problem),
                  at);
      return NULL;
    }
  if (!json_object_is_type (object, json_type_object))
    {
      json_object_put (object);
      spark_fail (error, 0, "%s is not a JSON object", what);
      return NULL;
    }
  return object;
}

const char *
spark_json_text (json_object *object, size_t *length)
{
  return json_object_to_json_string_length (object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, length);
}

json_object *
spark_json_at (json_object *object, ...)
{
  va_list keys;
  va_start (keys, object);
  for (const char *key; object != NULL && (key = va_arg (keys, const char *)) != NULL;)
    {
      json_object *member = NULL;
      if (json_object_is_type (object, json_type_object))
        json_object_object_get_ex (object, key, &member);
      object = member;
    }
  va_end (keys);
  return object;
}

static json_object *
member_of_type (json_object *object, const char *key, enum json_type type)
{
  json_object *member = spark_json_at (object, key, NULL);
  if (member == NULL)
    {
      member = type == json_type_array ? json_object_new_array () : json_object_new_object ();
      json_object_object_add (object, key, member);
    }
  return json_object_is_type (member, type) ? member : NULL;
}

json_object *
spark_json_object_member (json_object *object, const char *key)
{
  return member_of_type (object, key, json_type_object);
}

json_object *
spark_json_array_member (json_object *object, const char *key)
{
  return member_of_type (object, key, json_type_array);
}

const char *
spark_json_string (json_object *object, const char *key)
{
  json_object *member = spark_json_at (object, key, NULL);
  return json_object_is_type (member, json_type_string) ? json_object_get_string (member) : NULL;
}

bool
spark_json_uint64 (json_object *object, const char *key, uint64_t *value)
{
  json_object *member = spark_json_at (object, key, NULL);
  if (!json_object_is_type (member, json_type_int)
      || (json_object_get_int64 (member) < 0 && json_object_get_uint64 (member) == 0))
    return false;
  *value = json_object_get_uint64 (member);
  return true;
}

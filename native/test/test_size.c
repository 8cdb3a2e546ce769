/* The shared corpus of sizes (test/golden/cases/), which the TypeScript parser passes too. */
#include "common/size.h"

#include "check.h"

#include <json-c/json.h>
#include <limits.h>
#include <unistd.h>

static json_object *
corpus (const char *name)
{
  char path[PATH_MAX * 2];
  snprintf (path, sizeof path, "../test/golden/cases/%s", name);
  return json_object_from_file (path);
}

static uint64_t
number (json_object *object, const char *key, uint64_t fallback)
{
  json_object *value;
  return json_object_object_get_ex (object, key, &value) ? json_object_get_uint64 (value) : fallback;
}

int
main (void)
{
  json_object *cases = corpus ("sizes.json");
  CHECK (cases != NULL && json_object_array_length (cases) > 50);
  for (size_t i = 0; cases != NULL && i < json_object_array_length (cases); i++)
    {
      json_object *one = json_object_array_get_idx (cases, i);
      const char *text = json_object_get_string (json_object_object_get (one, "text"));
      struct spark_error error = { 0 };
      uint64_t bytes = 0;
      int result = spark_size_parse (text, number (one, "unitBytes", 1), number (one, "ofBytes", 0), &bytes, &error);
      int wrong = json_object_object_get (one, "error") != NULL ? result == 0
                                                                : result != 0 || bytes != number (one, "bytes", 0);
      if (wrong)
        printf ("# \"%s\" gave %d, %llu (%s)\n", text, result, (unsigned long long) bytes, error.text);
      CHECK (!wrong);
      if (result != 0)
        CHECK (error.text[0] != '\0' && strchr (error.text, '\n') == NULL);
    }
  test_done ("every size of the shared corpus is read as in TypeScript");
  json_object_put (cases);

  cases = corpus ("sizes-printed.json");
  CHECK (cases != NULL && json_object_array_length (cases) > 10);
  for (size_t i = 0; cases != NULL && i < json_object_array_length (cases); i++)
    {
      json_object *one = json_object_array_get_idx (cases, i);
      char buffer[16];
      CHECK_TEXT (spark_size_format (number (one, "bytes", 0), buffer, sizeof buffer),
                  json_object_get_string (json_object_object_get (one, "text")));
    }
  test_done ("every size of the shared corpus is printed as in TypeScript");
  json_object_put (cases);

  char buffer[16];
  CHECK_TEXT (spark_size_format (UINT64_MAX, buffer, sizeof buffer), "16384.0 PiB");
  struct spark_error error;
  uint64_t bytes;
  CHECK (spark_size_parse ("9999999999999999.999999999", UINT64_MAX, 0, &bytes, &error) != 0);
  CHECK (spark_size_parse ("100%", 1, UINT64_MAX, &bytes, &error) != 0);
  test_done ("the largest numbers overflow nothing");
  CHECK (spark_size_parse ("40x", 1, 0, &bytes, &error) != 0);
  CHECK_TEXT (error.text, "\"40x\" is not a size: write 40g, 512m or plain bytes");
  test_done ("an error says what was given and what is allowed");
  return check_done ();
}

/* What a configuration must survive: parsed and printed again, nothing in it may change. */
#include "runtime/json.h"

#include "check.h"

#include <sys/mman.h>
#include <unistd.h>

static void
survives (const char *text)
{
  struct spark_error error = { 0 };
  cleanup_json json_object *object = spark_json_parse (text, strlen (text), "text", &error);
  CHECK (object != NULL);
  if (object != NULL)
    CHECK_TEXT (spark_json_text (object, NULL), text);
  else
    printf ("# %s\n", error.text);
}

static void
refused (const char *text, size_t length)
{
  struct spark_error error = { 0 };
  cleanup_json json_object *object = spark_json_parse (text, length, "text", &error);
  CHECK (object == NULL);
  CHECK (strncmp (error.text, "text is not ", 12) == 0);
}

int
main (void)
{
  survives ("{\"a\":18446744073709551615,\"b\":-1,\"c\":9223372036854775808,\"d\":-9223372036854775808,\"e\":0}");
  test_done ("64-bit integers, signed and unsigned");
  survives ("{\"a\":1e3,\"b\":1E3,\"c\":1.50,\"d\":0.1,\"e\":-0.0,\"f\":1e-7,\"g\":1.0}");
  test_done ("the spelling of every other number");
  survives ("{\"z\":1,\"a\":{\"y\":[],\"b\":{}},\"m\":null,\"t\":true,\"f\":false,\"\":0}");
  test_done ("unknown keys, their order, empty things and null");
  survives ("{\"a\":\"/usr/bin\",\"b\":\"x\\u0000y\",\"c\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"d\":\"\\n\\t\\\"\\\\\\u001f\"}");
  test_done ("slashes, zero characters, other alphabets and control characters in strings");

  static const char *const broken[] = { "", "{", "{\"a\":1", "{\"a\":1,}", "[]", "1", "null",
                                        "{} {}", "{}x", "{/* */}", "{\"a\":01}" };
  for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
    refused (broken[i], strlen (broken[i]));
  refused ("{}\0{}", 5);
  char deep[4096];
  memset (deep, '[', sizeof deep);
  memcpy (deep, "{\"a\":", 5);
  refused (deep, sizeof deep - 1);
  test_done ("what is not one JSON object is refused with a sentence");

  struct spark_error error;
  size_t length;
  int fd = memfd_create ("large", 0);
  CHECK (ftruncate (fd, 3 << 20) == 0);
  char *text = spark_read_all (fd, 1 << 20, "large", &length, &error);
  CHECK (text == NULL && strstr (error.text, "larger than 1 MiB") != NULL);
  lseek (fd, 0, SEEK_SET);
  text = spark_read_all (fd, 4 << 20, "large", &length, &error);
  CHECK (text != NULL && length == 3 << 20);
  free (text);
  close (fd);
  test_done ("files are read up to the limit and no further");

  cleanup_json json_object *object = json_tokener_parse ("{\"n\":-1,\"u\":18446744073709551615,\"s\":\"1\",\"o\":{\"k\":\"v\"}}");
  uint64_t number = 5;
  CHECK (!spark_json_uint64 (object, "n", &number) && !spark_json_uint64 (object, "s", &number)
         && !spark_json_uint64 (object, "x", &number) && number == 5);
  CHECK (spark_json_uint64 (object, "u", &number) && number == UINT64_MAX);
  CHECK (spark_json_at (object, "o", "k", "deeper", NULL) == NULL && spark_json_at (object, "s", "k", NULL) == NULL);
  CHECK (spark_json_array_member (object, "o") == NULL && spark_json_object_member (object, "new") != NULL);
  test_done ("questions about members answer for missing and mistyped ones");
  return check_done ();
}

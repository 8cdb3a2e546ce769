#include "size.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Largest integer that JavaScript, too, holds exactly (Number.MAX_SAFE_INTEGER). */
static const uint64_t size_max_bytes = (UINT64_C (1) << 53) - 1;

/* docs/formats.md section 1: bounds that keep every sum below exact in 128 bits. */
enum { WHOLE_DIGITS_MAX = 16, FRACTION_DIGITS_MAX = 9 };

/* whole + fraction / scale */
struct decimal {
  uint64_t whole;
  uint64_t fraction;
  uint64_t scale;
};

/* Reads the number at the start of `text`; returns what follows it, or NULL. */
static const char *
decimal_parse (const char *text, struct decimal *number)
{
  *number = (struct decimal){ .scale = 1 };
  const char *at = text;
  for (; *at >= '0' && *at <= '9'; at++)
    {
      if (at - text == WHOLE_DIGITS_MAX)
        return NULL;
      number->whole = number->whole * 10 + (uint64_t) (*at - '0');
    }
  if (at == text || *at != '.')
    return at == text ? NULL : at;
  const char *fraction = ++at;
  for (; *at >= '0' && *at <= '9'; at++)
    {
      if (at - fraction == FRACTION_DIGITS_MAX)
        return NULL;
      number->fraction = number->fraction * 10 + (uint64_t) (*at - '0');
      number->scale *= 10;
    }
  return at == fraction ? NULL : at;
}

static bool
unit_parse (const char *name, uint64_t *unit_bytes)
{
  static const char letters[] = "kmgt";
  if (strcasecmp (name, "b") == 0)
    {
      *unit_bytes = 1;
      return true;
    }
  if (name[0] == '\0')
    return false;
  const char *letter = strchr (letters, tolower ((unsigned char) name[0]));
  if (letter == NULL)
    return false;
  *unit_bytes = UINT64_C (1) << (10 * (letter - letters + 1));
  return name[1] == '\0' || strcasecmp (name + 1, "b") == 0 || strcasecmp (name + 1, "i") == 0
         || strcasecmp (name + 1, "ib") == 0;
}

int
spark_size_parse (const char *text, uint64_t unit_bytes, uint64_t percent_of_bytes, uint64_t *bytes,
                  struct spark_error *error)
{
  const char *examples = percent_of_bytes > 0 ? "40g, 512m, plain bytes or 30%" : "40g, 512m or plain bytes";
  struct decimal number;
  uint64_t unit = unit_bytes;
  unsigned divisor = 1;
  const char *end = decimal_parse (text, &number);
  const char *name = end != NULL && *end == ' ' ? end + 1 : end;
  if (end != NULL && strcmp (name, "%") == 0)
    {
      if (percent_of_bytes == 0)
        return spark_fail (error, 0, "\"%.64s\" is a percentage, which is not allowed here: write %s", text, examples);
      if ((number.whole == 0 && number.fraction == 0) || number.whole > 100
          || (number.whole == 100 && number.fraction > 0))
        return spark_fail (error, 0, "\"%.64s\" is not a share: a percentage is above 0 and at most 100", text);
      unit = percent_of_bytes;
      divisor = 100;
    }
  else if (end == NULL || (*end != '\0' && !unit_parse (name, &unit)))
    return spark_fail (error, 0, "\"%.64s\" is not a size: write %s", text, examples);
  if (unit != 0 && number.whole > size_max_bytes * (unsigned __int128) divisor / unit)
    return spark_fail (error, 0, "\"%.64s\" is too large: the most is 8191t", text);
  unsigned __int128 scaled
    = (unsigned __int128) number.whole * unit * number.scale + (unsigned __int128) number.fraction * unit;
  unsigned __int128 result = scaled / number.scale / divisor;
  if (result > size_max_bytes)
    return spark_fail (error, 0, "\"%.64s\" is too large: the most is 8191t", text);
  if (result < 1)
    return spark_fail (error, 0, "\"%.64s\" is too small: a size is at least 1 byte", text);
  *bytes = (uint64_t) result;
  return 0;
}

char *
spark_size_format (uint64_t bytes, char *buffer, size_t buffer_size)
{
  static const char *const names[] = { "KiB", "MiB", "GiB", "TiB", "PiB" };
  enum { LAST = sizeof names / sizeof names[0] - 1 };
  if (bytes < 1024)
    {
      snprintf (buffer, buffer_size, "%u B", (unsigned) bytes);
      return buffer;
    }
  unsigned unit = 0;
  uint64_t tenths;
  do
    {
      unsigned shift = 10 * (unit + 1);
      /* Tenths, rounded to nearest in integers: the same digits on every machine. */
      tenths = (uint64_t) (((unsigned __int128) bytes * 10 + (UINT64_C (1) << (shift - 1))) >> shift);
    }
  /* Compared after rounding: one byte less than 1 GiB is 1.0 GiB, not 1024.0 MiB. */
  while (tenths >= 10240 && unit++ < LAST);
  if (unit > LAST)
    unit = LAST;
  snprintf (buffer, buffer_size, "%llu.%llu %s", (unsigned long long) (tenths / 10), (unsigned long long) (tenths % 10),
            names[unit]);
  return buffer;
}

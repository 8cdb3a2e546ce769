#include "size.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Largest integer that JavaScript, too, holds exactly (Number.MAX_SAFE_INTEGER). */
static const uint64_t size_max_bytes = (UINT64_C (1) << 53) - 1;

static const struct {
  char letter;
  uint64_t bytes;
} size_units[] = {
  { 'k', UINT64_C (1) << 10 },
  { 'm', UINT64_C (1) << 20 },
  { 'g', UINT64_C (1) << 30 },
  { 't', UINT64_C (1) << 40 },
};

/* `suffix` is everything after the number and the optional space. */
static bool
unit_parse (const char *suffix, uint64_t *unit_bytes)
{
  if (strcasecmp (suffix, "b") == 0)
    {
      *unit_bytes = 1;
      return true;
    }
  for (size_t i = 0; i < sizeof size_units / sizeof size_units[0]; i++)
    if (suffix[0] != '\0' && tolower ((unsigned char) suffix[0]) == size_units[i].letter)
      {
        *unit_bytes = size_units[i].bytes;
        const char *rest = suffix + 1;
        return *rest == '\0' || strcasecmp (rest, "b") == 0 || strcasecmp (rest, "i") == 0
               || strcasecmp (rest, "ib") == 0;
      }
  return false;
}

static int
size_fail (struct spark_error *error, const char *text, uint64_t percent_of_bytes, const char *why)
{
  return spark_fail (error, 0, "\"%.64s\" is not a size%s: write a number with b, k, m, g or t, such as 40g or 512m%s", text,
                     why, percent_of_bytes > 0 ? ", or a share such as 30%" : "");
}

/* Multiplies the decimal number in [digits, end) by `unit` and rounds down, exactly, however many digits it has:
   floor ((d + x) / 10) = floor ((d + floor (x)) / 10), so the fraction can be folded from its last digit. */
static bool
multiply_decimal (const char *digits, const char *end, uint64_t unit, unsigned __int128 *product)
{
  const char *point = memchr (digits, '.', (size_t) (end - digits));
  const unsigned __int128 limit = (unsigned __int128) 1 << 100;
  unsigned __int128 whole = 0, fraction = 0;
  for (const char *p = digits; p < (point != NULL ? point : end); p++)
    {
      whole = whole * 10 + (unsigned) (*p - '0');
      if (whole > (unsigned __int128) size_max_bytes * 100)
        return false;
    }
  if (point != NULL)
    for (const char *p = end - 1; p > point; p--)
      fraction = ((unsigned) (*p - '0') * (unsigned __int128) unit + fraction) / 10;
  if (unit != 0 && whole > limit / unit)
    return false;
  *product = whole * unit + fraction;
  return true;
}

/* True for more than 0 and at most 100, judged on the digits: rounding must not hide that 100.0001 is too much. */
static bool
share_in_range (const char *digits, const char *end)
{
  unsigned whole = 0;
  bool fraction = false;
  const char *p = digits;
  for (; p < end && *p != '.'; p++)
    {
      whole = whole * 10 + (unsigned) (*p - '0');
      if (whole > 100)
        return false;
    }
  for (; p < end; p++)
    fraction = fraction || (*p != '.' && *p != '0');
  return whole == 100 ? !fraction : whole > 0 || fraction;
}

int
spark_size_parse (const char *text, uint64_t unit_bytes, uint64_t percent_of_bytes, uint64_t *bytes,
                  struct spark_error *error)
{
  const char *end = text;
  while (*end >= '0' && *end <= '9')
    end++;
  if (end == text)
    return size_fail (error, text, percent_of_bytes, "");
  if (*end == '.')
    {
      const char *fraction = ++end;
      while (*end >= '0' && *end <= '9')
        end++;
      if (end == fraction)
        return size_fail (error, text, percent_of_bytes, "");
    }
  const char *suffix = *end == ' ' ? end + 1 : end;
  unsigned __int128 product;
  if (strcmp (suffix, "%") == 0)
    {
      if (percent_of_bytes == 0)
        return size_fail (error, text, 0, " (a share cannot be used here)");
      if (!share_in_range (text, end) || !multiply_decimal (text, end, percent_of_bytes, &product))
        return size_fail (error, text, percent_of_bytes, " (a share is more than 0% and at most 100%)");
      product /= 100;
    }
  else
    {
      uint64_t unit = unit_bytes;
      if (*end != '\0' && !unit_parse (suffix, &unit))
        return size_fail (error, text, percent_of_bytes, "");
      if (!multiply_decimal (text, end, unit, &product) || product > size_max_bytes)
        return size_fail (error, text, percent_of_bytes, " (too large: 8191t is the most)");
    }
  if (product == 0)
    return size_fail (error, text, percent_of_bytes, " (it comes to less than one byte)");
  *bytes = (uint64_t) product;
  return 0;
}

char *
spark_size_format (uint64_t bytes, char *buffer, size_t buffer_size)
{
  static const char *const names[] = { "KiB", "MiB", "GiB", "TiB" };
  if (bytes < 1024)
    {
      snprintf (buffer, buffer_size, "%u B", (unsigned) bytes);
      return buffer;
    }
  size_t unit = 0;
  while (unit + 1 < sizeof names / sizeof names[0] && bytes >> (10 * (unit + 2)) != 0)
    unit++;
  unsigned shift = 10 * ((unsigned) unit + 1);
  /* Tenths, rounded to nearest in integers: the same digits on every machine. */
  uint64_t tenths = (uint64_t) (((unsigned __int128) bytes * 10 + (UINT64_C (1) << (shift - 1))) >> shift);
  if (tenths >= 10240 && unit + 1 < sizeof names / sizeof names[0])
    {
      unit++;
      tenths = 10;
    }
  snprintf (buffer, buffer_size, "%llu.%llu %s", (unsigned long long) (tenths / 10), (unsigned long long) (tenths % 10),
            names[unit]);
  return buffer;
}

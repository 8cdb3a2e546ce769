#include "common/meminfo.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* /proc/meminfo is about 1.5 KiB; more than this is not a meminfo. */
enum { MEMINFO_MAX = 8192 };

enum field { TOTAL = 1 << 0, FREE = 1 << 1, AVAILABLE = 1 << 2, HUGE_TOTAL = 1 << 3, HUGE_FREE = 1 << 4, HUGE_SIZE = 1 << 5, HUGETLB = 1 << 6 };

static const struct {
  const char *name;
  enum field field;
  bool in_kib;
} names[] = {
  { "MemTotal", TOTAL, true },           { "MemFree", FREE, true },
  { "MemAvailable", AVAILABLE, true },   { "HugePages_Total", HUGE_TOTAL, false },
  { "HugePages_Free", HUGE_FREE, false }, { "Hugepagesize", HUGE_SIZE, true },
  { "Hugetlb", HUGETLB, true },
};

/* Reads `<blanks>digits[ kB]<blanks>` up to `end`, which must be the line's newline: a number that was cut off would be
   smaller than the truth. */
static int
parse_value (const char *at, const char *end, bool in_kib, uint64_t *value)
{
  uint64_t n = 0;
  int digits = 0;

  while (at < end && (*at == ' ' || *at == '\t'))
    at++;
  for (; at < end && *at >= '0' && *at <= '9'; at++, digits++)
    if (__builtin_mul_overflow (n, (uint64_t) 10, &n) || __builtin_add_overflow (n, (uint64_t) (*at - '0'), &n))
      return -1;
  if (digits == 0)
    return -1;
  if (in_kib)
    {
      if (end - at < 3 || memcmp (at, " kB", 3) != 0 || __builtin_mul_overflow (n, (uint64_t) 1024, &n))
        return -1;
      at += 3;
    }
  while (at < end && (*at == ' ' || *at == '\r'))
    at++;
  if (at != end)
    return -1;
  *value = n;
  return 0;
}

static uint64_t *
field_of (struct spark_meminfo *meminfo, enum field field)
{
  switch (field)
    {
    case TOTAL:
      return &meminfo->total_bytes;
    case FREE:
      return &meminfo->free_bytes;
    case AVAILABLE:
      return &meminfo->available_bytes;
    case HUGE_TOTAL:
      return &meminfo->huge_total;
    case HUGE_FREE:
      return &meminfo->huge_free;
    case HUGETLB:
      return &meminfo->hugetlb_bytes;
    case HUGE_SIZE:
      break;
    }
  return &meminfo->huge_page_bytes;
}

/* Returns the field the line set, 0 if it is none of ours or is malformed. */
static unsigned
parse_line (const char *line, const char *end, struct spark_meminfo *meminfo)
{
  const char *colon = memchr (line, ':', (size_t) (end - line));

  if (colon == NULL)
    return 0;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    {
      size_t length = strlen (names[i].name);
      if ((size_t) (colon - line) == length && memcmp (line, names[i].name, length) == 0)
        return parse_value (colon + 1, end, names[i].in_kib, field_of (meminfo, names[i].field)) == 0 ? names[i].field
                                                                                                       : 0;
    }
  return 0;
}

static uint64_t
less (uint64_t bytes, uint64_t withhold_bytes)
{
  return bytes > withhold_bytes ? bytes - withhold_bytes : 0;
}

int
spark_meminfo_parse (const char *text, size_t length, uint64_t withhold_bytes, struct spark_meminfo *meminfo)
{
  struct spark_meminfo read_now = { 0 };
  unsigned seen = 0;

  if (length == 0)
    {
      errno = EIO;
      return -1;
    }
  for (const char *line = text, *stop = text + length; line < stop;)
    {
      const char *end = memchr (line, '\n', (size_t) (stop - line));
      if (end == NULL)
        break;
      seen |= parse_line (line, end, &read_now);
      line = end + 1;
    }
  if ((seen & (TOTAL | AVAILABLE)) != (TOTAL | AVAILABLE))
    {
      /* Without a last newline the kernel's text was cut: an input error, not another kernel's format. */
      errno = text[length - 1] == '\n' ? EPROTO : EIO;
      return -1;
    }

  read_now.total_bytes = less (read_now.total_bytes, withhold_bytes);
  read_now.free_bytes = less (read_now.free_bytes, withhold_bytes);
  read_now.available_bytes = less (read_now.available_bytes, withhold_bytes);
  *meminfo = read_now;
  return 0;
}

int
spark_meminfo_read (int fd, uint64_t withhold_bytes, struct spark_meminfo *meminfo)
{
  char text[MEMINFO_MAX];
  ssize_t length;

  do
    length = pread (fd, text, sizeof text, 0);
  while (length < 0 && errno == EINTR);
  return length < 0 ? -1 : spark_meminfo_parse (text, (size_t) length, withhold_bytes, meminfo);
}

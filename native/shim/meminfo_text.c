#include "meminfo_text.h"

#include <stdbool.h>
#include <string.h>

/* fs/proc/meminfo.c pads every key to 16 characters and its number to 8: numbers end in this column unless they are longer. */
enum { KEY_COLUMNS = 16, NUMBER_END = 24 };

/* One line "Key:   number[ kB]". */
struct line {
  const char *start, *end; /* `end` is behind the newline, or where the text ends */
  size_t key_length;       /* without the colon */
  size_t number_start, number_end; /* columns */
  uint64_t number;
};

static struct line
next_line (const char *at, const char *stop)
{
  const char *newline = memchr (at, '\n', (size_t) (stop - at));
  struct line line = { .start = at, .end = newline != NULL ? newline + 1 : stop };
  const char *colon = memchr (at, ':', (size_t) (line.end - at));
  if (colon == NULL)
    return line;
  const char *digit = colon + 1;
  while (digit < line.end && *digit == ' ')
    digit++;
  line.number_start = line.number_end = (size_t) (digit - at);
  for (; digit < line.end && *digit >= '0' && *digit <= '9'; digit++, line.number_end++)
    if (__builtin_mul_overflow (line.number, (uint64_t) 10, &line.number)
        || __builtin_add_overflow (line.number, (uint64_t) (*digit - '0'), &line.number))
      return line; /* no key: nobody's line */
  if (line.number_end > line.number_start)
    line.key_length = (size_t) (colon - at);
  return line;
}

static bool
has_key (const struct line *line, const char *key)
{
  return strlen (key) == line->key_length && memcmp (line->start, key, line->key_length) == 0;
}

/* ---- what each line says ---- */

struct figures {
  uint64_t total, free;           /* told, KiB */
  uint64_t used, real_used;       /* MemTotal - MemAvailable, told and real, KiB */
  uint64_t real_total;            /* KiB */
  uint64_t huge_page;             /* KiB; 0 = not known */
  uint64_t active_anon, inactive_anon, slab_kept; /* real, KiB: what is left of the sums that they are in */
};

static uint64_t
least (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* value * part / whole, never above part. */
static uint64_t
share (uint64_t value, uint64_t part, uint64_t whole)
{
  if (whole == 0 || value >= whole)
    return value == 0 ? 0 : part;
  return (uint64_t) ((unsigned __int128) value * part / whole);
}

enum rule {
  KEEP,       /* a constant of the machine, or a key that is not known */
  TOTAL,
  FREE,
  NOTHING,    /* swap, and what can be dropped: free_bytes has it already */
  OF_USED,    /* a part of what is used */
  OF_TOTAL,   /* a part of the machine */
  ACTIVE,     /* sums whose droppable part is gone */
  INACTIVE,
  SLAB,
  HUGE_PAGES, /* pages, at most what the machine could hold */
  HUGE_PAGES_FREE,
  HUGE_PAGES_KIB,
};

static const struct {
  const char *key;
  enum rule rule;
} rules[] = {
  { "MemTotal", TOTAL },
  { "MemFree", FREE },
  { "MemAvailable", FREE },
  { "Buffers", NOTHING },
  { "Cached", NOTHING },
  { "SwapCached", NOTHING },
  { "Active", ACTIVE },
  { "Inactive", INACTIVE },
  { "Active(anon)", OF_USED },
  { "Inactive(anon)", OF_USED },
  { "Active(file)", NOTHING },
  { "Inactive(file)", NOTHING },
  { "Unevictable", OF_USED },
  { "Mlocked", OF_USED },
  { "SwapTotal", NOTHING },
  { "SwapFree", NOTHING },
  { "Zswap", NOTHING },
  { "Zswapped", NOTHING },
  { "Dirty", NOTHING },
  { "Writeback", NOTHING },
  { "AnonPages", OF_USED },
  { "Mapped", NOTHING },
  /* The kernel counts shared memory in Cached too: some subtract it from there (htop), some add Cached to free (old scripts). */
  { "Shmem", NOTHING },
  { "KReclaimable", NOTHING },
  { "Slab", SLAB },
  { "SReclaimable", NOTHING },
  { "SUnreclaim", OF_USED },
  { "KernelStack", OF_USED },
  { "ShadowCallStack", OF_USED },
  { "PageTables", OF_USED },
  { "SecPageTables", OF_USED },
  { "NFS_Unstable", NOTHING },
  { "Bounce", NOTHING },
  { "WritebackTmp", NOTHING },
  { "CommitLimit", OF_TOTAL },
  { "Committed_AS", OF_TOTAL },
  { "Percpu", OF_USED },
  { "AnonHugePages", OF_USED },
  { "ShmemHugePages", NOTHING },
  { "ShmemPmdMapped", NOTHING },
  { "FileHugePages", NOTHING },
  { "FilePmdMapped", NOTHING },
  { "Balloon", OF_USED },
  { "CmaTotal", OF_TOTAL },
  { "CmaFree", OF_TOTAL },
  { "HugePages_Total", HUGE_PAGES },
  { "HugePages_Free", HUGE_PAGES_FREE },
  { "HugePages_Rsvd", HUGE_PAGES_FREE },
  { "HugePages_Surp", HUGE_PAGES },
  { "Hugetlb", HUGE_PAGES_KIB },
  { "DirectMap4k", OF_TOTAL },
  { "DirectMap64k", OF_TOTAL },
  { "DirectMap2M", OF_TOTAL },
  { "DirectMap4M", OF_TOTAL },
  { "DirectMap1G", OF_TOTAL },
};

static uint64_t
huge_pages (uint64_t pages, uint64_t kib, uint64_t huge_page)
{
  return huge_page == 0 ? pages : least (pages, kib / huge_page);
}

static uint64_t
figure_of (const struct line *line, const struct figures *f)
{
  enum rule rule = KEEP;
  for (size_t i = 0; i < sizeof rules / sizeof rules[0] && rule == KEEP; i++)
    if (has_key (line, rules[i].key))
      rule = rules[i].rule;
  switch (rule)
    {
    case TOTAL:
      return f->total;
    case FREE:
      return f->free;
    case NOTHING:
      return 0;
    case OF_USED:
      return share (line->number, f->used, f->real_used);
    case OF_TOTAL:
      return share (line->number, f->total, f->real_total);
    case ACTIVE:
      return share (f->active_anon, f->used, f->real_used);
    case INACTIVE:
      return share (f->inactive_anon, f->used, f->real_used);
    case SLAB:
      return share (f->slab_kept, f->used, f->real_used);
    case HUGE_PAGES:
      return huge_pages (line->number, f->total, f->huge_page);
    case HUGE_PAGES_FREE:
      return huge_pages (line->number, f->free, f->huge_page);
    case HUGE_PAGES_KIB:
      return f->huge_page == 0 ? line->number : least (line->number, f->total / f->huge_page * f->huge_page);
    case KEEP:
      break;
    }
  return line->number;
}

/* ---- the text ---- */

struct out {
  char *at, *stop;
};

static bool
put (struct out *out, const char *bytes, size_t length)
{
  if ((size_t) (out->stop - out->at) < length)
    return false;
  memcpy (out->at, bytes, length);
  out->at += length;
  return true;
}

/* The line with another number: it ends where the kernel would have ended it. */
static bool
put_line (struct out *out, const struct line *line, uint64_t number)
{
  if (line->key_length == 0 || number == line->number)
    return put (out, line->start, (size_t) (line->end - line->start));
  static const char blanks[NUMBER_END + 1] = "                        ";
  char digits[24], *first = digits + sizeof digits;
  do
    *--first = (char) ('0' + number % 10);
  while ((number /= 10) != 0);
  size_t count = (size_t) (digits + sizeof digits - first), after_colon = line->key_length + 1;
  /* A number too long for its column pushed its own end to the right; the blanks before it are those of the key. */
  size_t end = line->number_end > NUMBER_END ? NUMBER_END : line->number_end;
  size_t earliest = line->number_end > NUMBER_END ? line->number_start
                    : after_colon < KEY_COLUMNS   ? KEY_COLUMNS
                                                  : after_colon + 1;
  size_t start = end > count && end - count > earliest ? end - count : earliest;
  return put (out, line->start, after_colon) && start - after_colon < sizeof blanks && put (out, blanks, start - after_colon)
         && put (out, first, count)
         && put (out, line->start + line->number_end, (size_t) (line->end - line->start) - line->number_end);
}

static uint64_t
number_for (const char *text, size_t length, const char *key)
{
  for (const char *at = text; at < text + length;)
    {
      struct line line = next_line (at, text + length);
      if (has_key (&line, key))
        return line.number;
      at = line.end;
    }
  return 0;
}

uint64_t
spark_meminfo_text_total (const char *text, size_t length)
{
  return number_for (text, length, "MemTotal") * 1024;
}

size_t
spark_meminfo_text_rewrite (const char *from, size_t length, uint64_t total_bytes, uint64_t free_bytes, char *to, size_t size)
{
  struct figures f = { .total = total_bytes / 1024, .free = least (free_bytes, total_bytes) / 1024 };
  f.real_total = number_for (from, length, "MemTotal");
  if (f.real_total == 0)
    return 0;
  f.used = f.total - f.free;
  f.real_used = f.real_total - least (f.real_total, number_for (from, length, "MemAvailable"));
  f.huge_page = number_for (from, length, "Hugepagesize");
  f.active_anon = number_for (from, length, "Active(anon)");
  f.inactive_anon = number_for (from, length, "Inactive(anon)");
  f.slab_kept = number_for (from, length, "SUnreclaim");
  struct out out = { .at = to, .stop = to + size };
  for (const char *at = from; at < from + length;)
    {
      struct line line = next_line (at, from + length);
      if (!put_line (&out, &line, figure_of (&line, &f)))
        return 0;
      at = line.end;
    }
  return (size_t) (out.at - to);
}

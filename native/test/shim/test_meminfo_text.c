/* The text of /proc/meminfo with other figures in it. */
#include "shim/meminfo_text.h"
#include "test/check.h"

/* A machine of 120 GiB, so that MemTotal has nine digits and stands a column further right. */
static const char real[] = "MemTotal:       125829120 kB\n"
                           "MemFree:        20000000 kB\n"
                           "MemAvailable:   85829120 kB\n"
                           "Buffers:          500000 kB\n"
                           "Cached:         70000000 kB\n"
                           "SwapCached:         1234 kB\n"
                           "Active:         30000000 kB\n"
                           "Inactive:       50000000 kB\n"
                           "Active(anon):   10000000 kB\n"
                           "Inactive(anon):  2000000 kB\n"
                           "Active(file):   20000000 kB\n"
                           "Inactive(file): 48000000 kB\n"
                           "SwapTotal:       8388604 kB\n"
                           "SwapFree:        8388604 kB\n"
                           "AnonPages:      12000000 kB\n"
                           "Shmem:            300000 kB\n"
                           "Slab:            5000000 kB\n"
                           "SReclaimable:    3000000 kB\n"
                           "SUnreclaim:      2000000 kB\n"
                           "CommitLimit:    62914560 kB\n"
                           "VmallocTotal:   34359738367 kB\n"
                           "HardwareCorrupted:     0 kB\n"
                           "NewerThanUs:         777 kB\n"
                           "HugePages_Total:   40000\n"
                           "HugePages_Free:    30000\n"
                           "HugePages_Rsvd:        0\n"
                           "Hugepagesize:       2048 kB\n"
                           "Hugetlb:        81920000 kB\n"
                           "DirectMap1G:    125829120 kB\n";

/* 40 GiB, 10 GiB free: 30 GiB of 40,000,000 KiB used stand against 31,457,280. */
static const char wanted[] = "MemTotal:       41943040 kB\n"
                             "MemFree:        10485760 kB\n"
                             "MemAvailable:   10485760 kB\n"
                             "Buffers:               0 kB\n"
                             "Cached:                0 kB\n"
                             "SwapCached:            0 kB\n"
                             "Active:          7864320 kB\n"
                             "Inactive:        1572864 kB\n"
                             "Active(anon):    7864320 kB\n"
                             "Inactive(anon):  1572864 kB\n"
                             "Active(file):          0 kB\n"
                             "Inactive(file):        0 kB\n"
                             "SwapTotal:             0 kB\n"
                             "SwapFree:              0 kB\n"
                             "AnonPages:       9437184 kB\n"
                             "Shmem:                 0 kB\n"
                             "Slab:            1572864 kB\n"
                             "SReclaimable:          0 kB\n"
                             "SUnreclaim:      1572864 kB\n"
                             "CommitLimit:    20971520 kB\n"
                             "VmallocTotal:   34359738367 kB\n"
                             "HardwareCorrupted:     0 kB\n"
                             "NewerThanUs:         777 kB\n"
                             "HugePages_Total:   20480\n"
                             "HugePages_Free:     5120\n"
                             "HugePages_Rsvd:        0\n"
                             "Hugepagesize:       2048 kB\n"
                             "Hugetlb:        41943040 kB\n"
                             "DirectMap1G:    41943040 kB\n";

#define GIB ((uint64_t) 1 << 30)

static const char *
told (const char *from, uint64_t total_bytes, uint64_t free_bytes)
{
  static char text[8192];
  size_t length = spark_meminfo_text_rewrite (from, strlen (from), total_bytes, free_bytes, text, sizeof text - 1);
  text[length] = '\0';
  return text;
}

/* The number of a key in KiB, UINT64_MAX if there is none. */
static uint64_t
kib_of (const char *text, const char *key)
{
  size_t length = strlen (key);
  for (const char *line = text; line != NULL; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (strncmp (line, key, length) == 0 && line[length] == ':')
        return strtoull (line + length + 1, NULL, 10);
    }
  return UINT64_MAX;
}

static void
test_figures (void)
{
  CHECK_TEXT (told (real, 40 * GIB, 10 * GIB), wanted);
  test_done ("a machine of 120 GiB told as one of 40 GiB: same keys and columns, other figures");
  CHECK_TEXT (told (wanted, 40 * GIB, 10 * GIB), wanted);
  test_done ("telling it again changes nothing");
}

/* procps' and psutil's formulas, the old ones too. */
static void
test_formulas (void)
{
  for (uint64_t free_bytes = 0; free_bytes <= 40 * GIB; free_bytes += 5 * GIB)
    {
      const char *text = told (real, 40 * GIB, free_bytes);
      uint64_t total = kib_of (text, "MemTotal"), free_kib = kib_of (text, "MemFree");
      uint64_t cache = kib_of (text, "Buffers") + kib_of (text, "Cached") + kib_of (text, "SReclaimable");
      CHECK (free_kib == free_bytes / 1024 && kib_of (text, "MemAvailable") == free_kib);
      CHECK (total - free_kib - cache == total - kib_of (text, "MemAvailable"));
      CHECK (kib_of (text, "Cached") >= kib_of (text, "Shmem"));
      CHECK (kib_of (text, "AnonPages") + kib_of (text, "Slab") <= total - free_kib);
      CHECK (kib_of (text, "Active") >= kib_of (text, "Active(anon)") + kib_of (text, "Active(file)"));
      CHECK (kib_of (text, "Slab") == kib_of (text, "SReclaimable") + kib_of (text, "SUnreclaim"));
    }
  test_done ("used is total - free by every formula, and its parts never exceed it");
  CHECK (kib_of (told (real, 40 * GIB, 50 * GIB), "MemFree") == 40 * GIB / 1024);
  CHECK (kib_of (told (real, 1023, 1023), "MemTotal") == 0);
  test_done ("free never above total, and no figure for less than a KiB");
}

/* The kernel's format: %-16s%8lu. */
static void
test_columns (void)
{
  char from[256], want[256];
  snprintf (from, sizeof from, "%-16s%8lu kB\n%-16s%8lu kB\n", "MemTotal:", 900000000ul, "MemFree:", 5ul);
  snprintf (want, sizeof want, "%-16s%8lu kB\n%-16s%8lu kB\n", "MemTotal:", 800000000ul, "MemFree:", 700000000ul);
  CHECK_TEXT (told (from, 800000000ull * 1024, 700000000ull * 1024), want);
  snprintf (want, sizeof want, "%-16s%8lu kB\n%-16s%8lu kB\n", "MemTotal:", 7ul, "MemFree:", 0ul);
  CHECK_TEXT (told (from, 7 * 1024, 0), want);
  test_done ("numbers longer and shorter than they were stand where the kernel puts them");
}

static void
test_other_texts (void)
{
  CHECK_TEXT (told ("", GIB, GIB), "");
  CHECK_TEXT (told ("not a meminfo\n", GIB, GIB), "");
  CHECK_TEXT (told ("Node 0 MemTotal:  5 kB\n", GIB, GIB), "");
  CHECK_TEXT (told ("MemTotal: 99999999999999999999999999 kB\n", GIB, GIB), "");
  test_done ("what is no meminfo is not told at all");
  CHECK_TEXT (told ("MemTotal:       4194304 kB\nstrange line\n:\n:5\nMemFree:\nKey: x\nMemFree:  12", GIB, GIB / 2),
              "MemTotal:       1048576 kB\nstrange line\n:\n:5\nMemFree:\nKey: x\nMemFree:        524288");
  test_done ("lines of another form stay, a last one without newline too");
  char small[64];
  for (size_t size = 0; size < sizeof small; size++)
    CHECK (spark_meminfo_text_rewrite (real, strlen (real), GIB, GIB, small, size) == 0);
  CHECK (spark_meminfo_text_total (real, strlen (real)) == 120 * GIB && spark_meminfo_text_total ("x", 1) == 0);
  test_done ("a text that does not fit is none");
  for (size_t length = 0; length <= strlen (real); length++)
    {
      char *cut = malloc (length + 1), out[8192]; /* on the heap: a read behind its end is seen */
      memcpy (cut, real, length);
      spark_meminfo_text_rewrite (cut, length, GIB, GIB, out, sizeof out);
      free (cut);
    }
  test_done ("a text cut anywhere is read to its end and no further");
}

int
main (void)
{
  test_figures ();
  test_formulas ();
  test_columns ();
  test_other_texts ();
  return check_done ();
}

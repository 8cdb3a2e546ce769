/* What is read from a meminfo, good and bad. */
#include "common/meminfo.h"
#include "test/check.h"
#include "test/memory_file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
  const char *what, *text;
  int status; /* errno, 0 = fine */
  uint64_t total_bytes, available_bytes;
} cases[] = {
  { "ordinary", "MemTotal:       1000 kB\nMemFree: 10 kB\nMemAvailable:    500 kB\n", 0, 1024000, 512000 },
  { "order does not matter", "MemAvailable: 500 kB\nMemTotal: 1000 kB\n", 0, 1024000, 512000 },
  { "foreign lines, blank lines, lines without a colon", "\nnonsense\nMemTotal: 1 kB\nMemTotalX: 9 kB\nMemAvailable: 0 kB\n", 0, 1024, 0 },
  { "a kernel without MemAvailable (before 3.14)", "MemTotal: 1000 kB\nMemFree: 10 kB\n", EPROTO, 0, 0 },
  { "no MemTotal", "MemAvailable: 1000 kB\n", EPROTO, 0, 0 },
  { "cut off inside MemAvailable's number", "MemTotal: 1000 kB\nMemAvailable: 50", EIO, 0, 0 },
  { "cut off before the newline", "MemTotal: 1000 kB\nMemAvailable: 500 kB", EIO, 0, 0 },
  { "empty", "", EIO, 0, 0 },
  { "no unit", "MemTotal: 1000\nMemAvailable: 500\n", EPROTO, 0, 0 },
  { "another unit", "MemTotal: 1000 MB\nMemAvailable: 500 MB\n", EPROTO, 0, 0 },
  { "negative", "MemTotal: 1000 kB\nMemAvailable: -5 kB\n", EPROTO, 0, 0 },
  { "no digits", "MemTotal: 1000 kB\nMemAvailable:  kB\n", EPROTO, 0, 0 },
  { "more than 64 bits", "MemTotal: 1000 kB\nMemAvailable: 99999999999999999999 kB\n", EPROTO, 0, 0 },
  { "more than 64 bits only in bytes", "MemTotal: 1000 kB\nMemAvailable: 18446744073709551615 kB\n", EPROTO, 0, 0 },
  { "the largest that fits", "MemTotal: 18014398509481983 kB\nMemAvailable: 1 kB\n", 0, 18446744073709550592u, 1024 },
};

int
main (void)
{
  struct spark_meminfo m;

  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    {
      int fd = memory_file (cases[i].text, strlen (cases[i].text));
      memset (&m, 0x55, sizeof m);
      errno = 0;
      int result = spark_meminfo_read (fd, 0, &m);
      CHECK ((result == 0) == (cases[i].status == 0));
      if (cases[i].status != 0)
        {
          CHECK (errno == cases[i].status);
          CHECK (m.total_bytes == UINT64_C (0x5555555555555555)); /* untouched */
        }
      else
        CHECK (m.total_bytes == cases[i].total_bytes && m.available_bytes == cases[i].available_bytes);
      close (fd);
      test_done (cases[i].what);
    }

  const char text[] = "MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 500 kB\nHugePages_Total: 7\nHugePages_Free: 3\nHugepagesize: 2048 kB\n";
  int fd = memory_file (text, sizeof text - 1);
  CHECK (spark_meminfo_read (fd, 400 * 1024, &m) == 0);
  CHECK (m.total_bytes == 600 * 1024 && m.available_bytes == 100 * 1024 && m.free_bytes == 0);
  CHECK (m.huge_total == 7 && m.huge_free == 3 && m.huge_page_bytes == 2048 * 1024);
  CHECK (spark_meminfo_read (fd, UINT64_MAX, &m) == 0 && m.available_bytes == 0);
  close (fd);
  test_done ("withheld memory is taken off, never below zero");

  CHECK (spark_meminfo_read (-1, 0, &m) == -1 && errno == EBADF);
  fd = open (".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK (spark_meminfo_read (fd, 0, &m) == -1 && errno == EISDIR);
  close (fd);
  test_done ("a read that fails leaves its errno");

  char long_text[32768];
  memset (long_text, 'x', sizeof long_text);
  fd = memory_file (long_text, sizeof long_text);
  CHECK (spark_meminfo_read (fd, 0, &m) == -1);
  close (fd);
  test_done ("a long foreign file is refused");

  fd = open ("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  CHECK (spark_meminfo_read (fd, 0, &m) == 0 && m.total_bytes > 0 && m.available_bytes > 0);
  close (fd);
  test_done ("this machine's own");
  return check_done ();
}

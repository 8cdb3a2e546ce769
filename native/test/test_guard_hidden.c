/* Which memory no book of the kernel shows. */
#include "common/cleanup.h"
#include "guard/clock.h"
#include "guard/page_lists.h"
#include "guard/usage.h"
#include "test/check.h"
#include "test/memory_file.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* An open file with this text, -1 for none. */
static int
book (const char *text)
{
  return text != NULL ? memory_file (text, strlen (text)) : -1;
}

static uint64_t
hidden_with_lists_mib (const char *meminfo, const char *vmstat, const char *zoneinfo)
{
  cleanup_close int fd = book (meminfo), vmstat_fd = book (vmstat), zoneinfo_fd = book (zoneinfo);

  return usage_hidden_bytes (&(struct usage_books){ fd, vmstat_fd, zoneinfo_fd }) >> 20;
}

static uint64_t
hidden_mib (const char *meminfo, const char *vmstat)
{
  return hidden_with_lists_mib (meminfo, vmstat, NULL);
}

static void
test_hidden (void)
{
  char vmstat[64];

  CHECK (hidden_mib ("MemTotal: 1024000 kB\nMemFree: 204800 kB\nAnonPages: 512000 kB\n", NULL) == 300);
  CHECK (hidden_mib ("MemTotal: 1024000 kB\nMemFree: 204800 kB\nZswap: 102400 kB\nZswapped: 409600 kB\nAnonPages: 512000 kB\n", NULL) == 200);
  snprintf (vmstat, sizeof vmstat, "nr_mlock 7\nnr_zspages %ld\n", (200L << 20) / sysconf (_SC_PAGESIZE));
  CHECK (hidden_mib ("MemTotal: 1024000 kB\nMemFree: 204800 kB\nAnonPages: 512000 kB\n", vmstat) == 100);
  CHECK (hidden_mib ("MemTotal: 1024000 kB\nMemFree: 204800 kB\nZswap: 102400 kB\nAnonPages: 512000 kB\n", vmstat) == 100);
  test_done ("what zswap and zram keep in memory is not hidden, and counts once");
  CHECK (hidden_mib ("MemTotal: 1024000 kB\nKernelStack: 10240 kB\nVmallocUsed: 102400 kB\nVmallocChunk: 102400 kB\n", NULL) == 900);
  CHECK (hidden_mib ("MemTotal: 1024000 kB\nKernelStack: 10240 kB\nVmallocUsed: 0 kB\n", NULL) == 990);
  test_done ("nor is vmalloc, the stacks in it counted once");
  CHECK (hidden_mib ("MemTotal: 1024000 kB\nMemFree: 512000 kB\nBounce: 1024 kB\nWritebackTmp: 1024 kB\nHardwareCorrupted: 1024 kB\nCmaFree: 102400 kB\n"
                     "Unaccepted: 102400 kB\nBalloon: 102400 kB\n", NULL) == 497);
  test_done ("nor what meminfo names elsewhere; what is in its other lines already does not count again");
}

/* As the kernel prints it: `nodes` with one zone each, of which each of `cpus` processors holds a MiB on its list. */
static const char *
zoneinfo_of (unsigned nodes, unsigned cpus)
{
  static char text[256 << 10];
  size_t length = 0;

  for (unsigned node = 0; node < nodes; node++)
    {
      length += (size_t) snprintf (text + length, sizeof text - length,
                                   "Node %u, zone   Normal\n  per-node stats\n      nr_inactive_anon 297295\n  pages free     3340486\n"
                                   "        managed  5394266\n      nr_free_pages 3340486\n  pagesets\n", node);
      for (unsigned cpu = 0; cpu < cpus; cpu++)
        length += (size_t) snprintf (text + length, sizeof text - length,
                                     "    cpu: %u\n              count:    %ld\n              high:     297467\n"
                                     "              batch:    63\n              high_min: 1444\n  vm stats threshold: 30\n",
                                     cpu, (1L << 20) / sysconf (_SC_PAGESIZE));
    }
  return text;
}

static void
test_page_lists (void)
{
  static const char *const meminfo = "MemTotal: 1024000 kB\nMemFree: 204800 kB\nAnonPages: 512000 kB\n";

  CHECK (hidden_with_lists_mib (meminfo, NULL, zoneinfo_of (1, 20)) == 280);
  CHECK (hidden_with_lists_mib (meminfo, NULL, zoneinfo_of (2, 144)) == 12);
  CHECK (hidden_with_lists_mib (meminfo, NULL, "Node 0, zone      DMA\n") == 300);
  CHECK (hidden_with_lists_mib (meminfo, NULL, "              count:    99999999999999999999\n              count:    7\n") == 0);
  test_done ("nor are free pages that the kernel keeps on processors' lists, however many processors");
}

/* What these processes held is on a processor's lists once they are dead; how much of it depends on the kernel (6.7 and later keep up to
   an eighth of the machine there). */
static void
test_freed (void)
{
  enum { CHILDREN = 8, EACH = 64 << 20 };
  cleanup_close int fd = open ("/proc/meminfo", O_RDONLY | O_CLOEXEC), vmstat_fd = open ("/proc/vmstat", O_RDONLY | O_CLOEXEC);
  cleanup_close int zoneinfo_fd = open ("/proc/zoneinfo", O_RDONLY | O_CLOEXEC);
  const struct usage_books books = { fd, vmstat_fd, zoneinfo_fd }, no_lists = { fd, vmstat_fd, -1 };

  if (fd < 0 || zoneinfo_fd < 0)
    {
      test_skip ("memory of the dead is not hidden", "/proc/zoneinfo cannot be read here");
      return;
    }
  uint64_t before = usage_hidden_bytes (&books);
  for (int i = 0; i < CHILDREN; i++)
    if (fork () == 0)
      {
        char *memory = mmap (NULL, EACH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise (memory, EACH, MADV_NOHUGEPAGE);
        for (size_t at = 0; memory != MAP_FAILED && at < EACH; at += 4096)
          ((volatile char *) memory)[at] = 1;
        _exit (0);
      }
  while (wait (NULL) > 0)
    ;
  uint64_t after = usage_hidden_bytes (&books), unlisted = usage_hidden_bytes (&no_lists);
  uint64_t began_ns = clock_boot_ns (), lists = page_lists_bytes (zoneinfo_fd);
  printf ("# on the lists: %llu MiB, read in %.3f ms; hidden before %llu, after %llu, without the lists %llu MiB\n", (unsigned long long) (lists >> 20),
          (double) (clock_boot_ns () - began_ns) / 1e6, (unsigned long long) (before >> 20), (unsigned long long) (after >> 20),
          (unsigned long long) (unlisted >> 20));
  CHECK (after <= unlisted);
  CHECK (after < before + CHILDREN * (uint64_t) EACH / 4);
  test_done ("memory of the dead is not hidden");
}

int
main (void)
{
  test_hidden ();
  test_page_lists ();
  test_freed ();
  return check_done ();
}

#include "machine.h"

#include "common/cleanup.h"
#include "common/meminfo.h"
#include "common/size.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* What CUDA calls the allocation granularity on every GPU so far. */
enum { SMALLEST_PIECE = 2 << 20 };

static struct sim_machine machine;
static pthread_once_t machine_once = PTHREAD_ONCE_INIT;

/* The driver asks the kernel, not libc: in a container under spark-run libc's open answers with the budget. */
static int
open_for_reading (const char *path)
{
  return (int) syscall (SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

static int
read_meminfo (struct spark_meminfo *meminfo)
{
  cleanup_close int fd = open_for_reading ("/proc/meminfo");
  return fd < 0 ? -1 : spark_meminfo_read (fd, 0, meminfo);
}

static bool
kernel_gives_huge_pages (const struct spark_meminfo *meminfo)
{
  if (meminfo->huge_total > 0)
    return true;
  cleanup_close int fd = open_for_reading ("/proc/sys/vm/nr_overcommit_hugepages");
  char text[32] = "";
  return fd >= 0 && read (fd, text, sizeof text - 1) > 0 && strtoull (text, NULL, 10) > 0;
}

void
sim_say (const char *format, ...)
{
  const char *verbose = getenv ("SPARK_SIM_VERBOSE");
  if (verbose == NULL || strcmp (verbose, "1") != 0)
    return;
  va_list arguments;
  va_start (arguments, format);
  fputs ("spark-sim: ", stderr);
  vfprintf (stderr, format, arguments);
  fputc ('\n', stderr);
  va_end (arguments);
}

/* Reads one size from the environment; an unset or empty variable leaves `*bytes` as it is. "0" is a size here. */
static bool
size_from_environment (const char *name, uint64_t *bytes)
{
  const char *text = getenv (name);
  struct spark_error error = { 0 };
  if (text == NULL || text[0] == '\0')
    return true;
  if (strcmp (text, "0") == 0)
    {
      *bytes = 0;
      return true;
    }
  if (spark_size_parse (text, 1, 0, bytes, &error) == 0)
    return true;
  fprintf (stderr, "spark-sim: %s: %s.\n", name, error.text);
  return false;
}

static bool
choose_pages (const struct spark_meminfo *meminfo)
{
  const char *text = getenv ("SPARK_SIM_PAGES");
  if (text == NULL || text[0] == '\0')
    {
      machine.hugetlb = kernel_gives_huge_pages (meminfo);
      if (!machine.hugetlb)
        sim_say ("this kernel gives no huge pages (vm.nr_overcommit_hugepages is 0); using anonymous pages, "
                 "each process counts only itself");
      return true;
    }
  if (strcmp (text, "hugetlb") != 0 && strcmp (text, "anonymous") != 0)
    {
      fprintf (stderr, "spark-sim: SPARK_SIM_PAGES is \"%.64s\"; it must be hugetlb or anonymous.\n", text);
      return false;
    }
  machine.hugetlb = strcmp (text, "hugetlb") == 0;
  return true;
}

static bool
choose_requests (void)
{
  const char *text = getenv ("SPARK_SIM_RM");
  machine.makes_requests = text != NULL && strcmp (text, "1") == 0;
  if (text == NULL || text[0] == '\0' || strcmp (text, "0") == 0 || machine.makes_requests)
    return true;
  fprintf (stderr, "spark-sim: SPARK_SIM_RM is \"%.64s\"; it must be 1 (requests to a kernel module are made) or 0.\n", text);
  return false;
}

static void
machine_start (void)
{
  struct spark_meminfo meminfo;
  if (read_meminfo (&meminfo) != 0)
    {
      fputs ("spark-sim: /proc/meminfo cannot be read, so there is no machine to simulate; mount /proc.\n", stderr);
      return;
    }
  machine.total_bytes = meminfo.total_bytes;
  if (!size_from_environment ("SPARK_SIM_TOTAL", &machine.total_bytes)
      || !size_from_environment ("SPARK_SIM_BASELINE", &machine.baseline_bytes)
      || !size_from_environment ("SPARK_SIM_CONTEXT", &machine.context_bytes)
      || !size_from_environment ("SPARK_SIM_MODULE", &machine.module_bytes) || !choose_pages (&meminfo)
      || !choose_requests ())
    return;
  machine.page_bytes = SMALLEST_PIECE;
  if (machine.hugetlb && meminfo.huge_page_bytes > SMALLEST_PIECE)
    machine.page_bytes = meminfo.huge_page_bytes;
  machine.ready = true;
}

const struct sim_machine *
sim_machine (void)
{
  pthread_once (&machine_once, machine_start);
  return &machine;
}

uint64_t
sim_machine_used (uint64_t own_bytes)
{
  struct spark_meminfo meminfo;
  if (!sim_machine ()->hugetlb || read_meminfo (&meminfo) != 0)
    return own_bytes;
  uint64_t used = (meminfo.huge_total - meminfo.huge_free) * meminfo.huge_page_bytes;
  return used > machine.baseline_bytes ? used - machine.baseline_bytes : 0;
}

uint64_t
sim_machine_free (uint64_t own_bytes)
{
  uint64_t used = sim_machine_used (own_bytes);
  return used < machine.total_bytes ? machine.total_bytes - used : 0;
}

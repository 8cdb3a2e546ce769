/* How much memory the machine has, by function: sysinfo, sysconf and the two that sysconf calls. */
#include "host_hooks.h"
#include "report.h"
#include "trace.h"

#include <errno.h>
#include <sys/sysinfo.h>
#include <unistd.h>

typedef int (*sysinfo_function) (struct sysinfo *);
typedef long (*sysconf_function) (int);
typedef long (*pages_function) (void);

/* Total and free of a machine that has `real_total` bytes; false where no budget is kept. Traces either. */
static bool
room_for (uint64_t real_total_bytes, const char *call, struct spark_room *room)
{
  int saved_errno = errno;
  struct spark_process *process = spark_process_quietly ();
  if (process != NULL)
    {
      *room = spark_report_room (process, real_total_bytes);
      SPARK_TRACE (.layer = "host", .call = call, .has_room = true, .free_bytes = room->free_bytes,
                   .total_bytes = room->total_bytes, .by = SPARK_BY_SHIM);
    }
  else
    SPARK_TRACE (.layer = "host", .call = call, .by = SPARK_BY_DRIVER);
  errno = saved_errno;
  return process != NULL;
}

SPARK_HOST_EXPORT int
sysinfo (struct sysinfo *info)
{
  sysinfo_function real = SPARK_HOST_REAL (sysinfo_function, sysinfo);
  if (real == NULL)
    {
      errno = ENOSYS;
      return -1;
    }
  int result = real (info);
  struct spark_room room;
  uint64_t unit = result == 0 && info->mem_unit != 0 ? info->mem_unit : 1;
  if (result != 0 || !room_for (info->totalram * unit, "sysinfo", &room))
    return result;
  /* As in meminfo: what can be dropped is free already, and a container has no swap. */
  info->totalram = room.total_bytes / unit;
  info->freeram = room.free_bytes / unit;
  info->sharedram = info->bufferram = 0;
  info->totalswap = info->freeswap = 0;
  info->totalhigh = info->freehigh = 0;
  return result;
}

/* `real_total_pages` is the machine's; <= 0 is a failure. */
static long
pages_told (long result, long real_total_pages, bool wants_free, const char *call)
{
  struct spark_room room;
  uint64_t page_bytes = (uint64_t) getpagesize ();
  if (result < 0 || real_total_pages <= 0 || !room_for ((uint64_t) real_total_pages * page_bytes, call, &room))
    return result;
  return (long) ((wants_free ? room.free_bytes : room.total_bytes) / page_bytes);
}

SPARK_HOST_EXPORT long
sysconf (int name)
{
  sysconf_function real = SPARK_HOST_REAL (sysconf_function, sysconf);
  if (real == NULL)
    {
      errno = ENOSYS;
      return -1;
    }
  if (name != _SC_PHYS_PAGES && name != _SC_AVPHYS_PAGES)
    return real (name);
  return pages_told (real (name), real (_SC_PHYS_PAGES), name == _SC_AVPHYS_PAGES, "sysconf");
}

SPARK_HOST_EXPORT long
get_phys_pages (void)
{
  pages_function real = SPARK_HOST_REAL (pages_function, get_phys_pages);
  long pages = real != NULL ? real () : -1;
  return pages_told (pages, pages, false, "get_phys_pages");
}

SPARK_HOST_EXPORT long
get_avphys_pages (void)
{
  pages_function real = SPARK_HOST_REAL (pages_function, get_avphys_pages);
  pages_function total = SPARK_HOST_REAL (pages_function, get_phys_pages);
  return pages_told (real != NULL ? real () : -1, total != NULL ? total () : -1, true, "get_avphys_pages");
}

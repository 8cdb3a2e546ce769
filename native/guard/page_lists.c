#include "guard/page_lists.h"

#include "common/sum.h"
#include "guard/proc_file.h"
#include <unistd.h>

/* One line "              count:    297295" for each processor in each zone; no other line has that word first. */
static int
add_count (const char *line, void *data)
{
  uint64_t *pages = data;

  while (*line == ' ')
    line++;
  *pages = spark_sum (*pages, proc_file_number (line, "count:"));
  return 0;
}

uint64_t
page_lists_bytes (int zoneinfo_fd)
{
  uint64_t pages = 0, page_bytes = (uint64_t) sysconf (_SC_PAGESIZE);

  if (zoneinfo_fd < 0 || proc_file_each_line (zoneinfo_fd, add_count, &pages) != 0)
    return 0;
  return pages <= UINT64_MAX / page_bytes ? pages * page_bytes : UINT64_MAX;
}

#include "process.h"

#include "cleanup.h"
#include "clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int
spark_process_start (const char *proc_path, pid_t pid, uint64_t *pid_start)
{
  char path[256], stat[1024];
  if (pid <= 0)
    return -1;
  snprintf (path, sizeof path, "%s/%d/stat", proc_path, (int) pid);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read (fd, stat, sizeof stat - 1);
  if (length <= 0)
    return -1;
  stat[length] = '\0';
  /* The name in field 2 may hold anything, ")" and spaces too: count from its last ")". */
  const char *at = strrchr (stat, ')');
  if (at == NULL || at[1] != ' ')
    return -1;
  at += 2;
  if (*at == 'Z' || *at == 'X')
    return -1;
  for (int field = 3; field < 22; field++)
    {
      at = strchr (at, ' ');
      if (at == NULL)
        return -1;
      at++;
    }
  *pid_start = strtoull (at, NULL, 10);
  return 0;
}

uint64_t
spark_boottime_ns (void)
{
  return spark_clock_ns (CLOCK_BOOTTIME);
}

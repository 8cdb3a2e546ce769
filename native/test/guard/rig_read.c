/* What the rig reads: events, books of leaks. */
#include "test/guard/rig.h"

#include "common/cleanup.h"
#include "guard/proc_file.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *
rig_events (void)
{
  static char *text;
  char path[128];
  struct stat status;

  snprintf (path, sizeof path, "%s/log/events.jsonl", rig_base ());
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
  free (text);
  text = NULL;
  if (fd < 0 || fstat (fd, &status) != 0 || (text = malloc ((size_t) status.st_size + 1)) == NULL)
    abort ();
  ssize_t length = read (fd, text, (size_t) status.st_size);
  text[length > 0 ? length : 0] = '\0';
  return text;
}

unsigned
rig_kill_events (const char *name)
{
  char wanted[96];
  unsigned count = 0;

  snprintf (wanted, sizeof wanted, "\"name\":\"%s\",", name != NULL ? name : "");
  for (char *line = strtok (rig_events (), "\n"); line != NULL; line = strtok (NULL, "\n"))
    count += strstr (line, "\"type\":\"kill\"") != NULL && (name == NULL || strstr (line, wanted) != NULL);
  return count;
}

static unsigned
entries (const char *path, bool numbers)
{
  unsigned count = 0;
  cleanup_dir DIR *dir = opendir (path);

  for (struct dirent *entry; dir != NULL && (entry = readdir (dir)) != NULL;)
    count += numbers ? entry->d_name[0] >= '0' && entry->d_name[0] <= '9' : entry->d_name[0] != '.';
  return count;
}

unsigned
rig_descriptors (pid_t pid)
{
  char path[64];

  snprintf (path, sizeof path, "/proc/%d/fd", (int) pid);
  return entries (path, true);
}

unsigned
rig_rss_kib (pid_t pid)
{
  char status[4096];

  proc_file_of_pid ("/proc", pid, "status", status, sizeof status);
  return (unsigned) proc_file_number (status, "VmRSS:");
}

unsigned
rig_registered (void)
{
  char path[128];

  snprintf (path, sizeof path, "%s/run/containers", rig_base ());
  return entries (path, false);
}

unsigned
rig_processes (void)
{
  return entries ("/proc", true);
}

#include "guard/proc_file.h"

#include "common/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ssize_t
proc_file_read (int fd, char *buffer, size_t size, off_t offset)
{
  ssize_t length;

  do
    length = pread (fd, buffer, size - 1, offset);
  while (length < 0 && errno == EINTR);
  buffer[length > 0 ? length : 0] = '\0';
  return length;
}

static int
open_of_pid (const char *proc_dir, pid_t pid, const char *name)
{
  char path[320];

  if (snprintf (path, sizeof path, "%s/%d/%s", proc_dir, (int) pid, name) < (int) sizeof path)
    return open (path, O_RDONLY | O_CLOEXEC);
  errno = ENAMETOOLONG;
  return -1;
}

ssize_t
proc_file_of_pid (const char *proc_dir, pid_t pid, const char *name, char *buffer, size_t size)
{
  cleanup_close int fd = open_of_pid (proc_dir, pid, name);

  buffer[0] = '\0';
  return fd < 0 ? -1 : proc_file_read (fd, buffer, size, 0);
}

int
proc_file_each_line (int fd, int (*each) (const char *line, void *data), void *data)
{
  enum { LINE_SIZE = 1024 };
  char text[4096], line[LINE_SIZE];
  size_t used = 0;
  off_t offset = 0;
  ssize_t length;

  for (; (length = proc_file_read (fd, text, sizeof text, offset)) > 0; offset += length)
    for (const char *at = text, *end = text + length; at < end;)
      {
        const char *newline = memchr (at, '\n', (size_t) (end - at)), *stop = newline != NULL ? newline : end;
        size_t more = (size_t) (stop - at), room = LINE_SIZE - 1 - used;
        memcpy (line + used, at, more < room ? more : room);
        used += more < room ? more : room;
        at = stop + 1;
        if (newline == NULL)
          break;
        line[used] = '\0';
        used = 0;
        if (each (line, data) != 0)
          return 0;
      }
  return length < 0 ? -1 : 0;
}

int
proc_file_each_line_of_pid (const char *proc_dir, pid_t pid, const char *name, int (*each) (const char *line, void *data), void *data)
{
  cleanup_close int fd = open_of_pid (proc_dir, pid, name);

  return fd < 0 ? -1 : proc_file_each_line (fd, each, data);
}

uint64_t
proc_stat_field (const char *stat, unsigned number)
{
  /* Field 2 is the program's name and may hold anything, blanks and parentheses too: count from its last parenthesis. */
  const char *at = strrchr (stat, ')');

  if (at == NULL || at[1] != ' ')
    return 0;
  at += 2;
  for (unsigned field = 3; field < number; field++)
    {
      at = strchr (at, ' ');
      if (at == NULL)
        return 0;
      at++;
    }
  return strtoull (at, NULL, 10);
}

uint64_t
proc_file_number (const char *text, const char *key)
{
  size_t length = strlen (key);

  for (const char *line = text; line != NULL; line = strchr (line, '\n'))
    {
      if (*line == '\n')
        line++;
      if (strncmp (line, key, length) == 0)
        return strtoull (line + length, NULL, 10);
    }
  return 0;
}

int
proc_file_each_pid (int cgroup_dir_fd, int (*each) (pid_t pid, void *data), void *data)
{
  char text[4096];
  off_t offset = 0;
  int count = 0;
  cleanup_close int procs_fd = openat (cgroup_dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  if (procs_fd < 0)
    return -1;
  for (;;)
    {
      ssize_t length = proc_file_read (procs_fd, text, sizeof text, offset);
      if (length < 0)
        return -1;
      char *last = strrchr (text, '\n');
      if (length == 0 || last == NULL)
        return count;
      *last = '\0'; /* a number that the buffer's end cuts is read again with the next piece */
      offset += last + 1 - text;
      for (char *at = text; at != NULL && *at != '\0';)
        {
          char *next = strchr (at, '\n');
          long pid = strtol (at, NULL, 10);
          count++;
          /* One too large for a pid would become another process's. */
          if (pid > 0 && pid <= INT_MAX && each ((pid_t) pid, data) != 0)
            return count;
          at = next != NULL ? next + 1 : NULL;
        }
    }
}

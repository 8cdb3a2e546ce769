#include "guard/huge_pages.h"

#include "common/cleanup.h"
#include "guard/proc_file.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

static bool
ends_with (const char *text, const char *end)
{
  size_t length = strlen (text), end_length = strlen (end);

  return length >= end_length && strcmp (text + length - end_length, end) == 0;
}

/* hugetlb.2MB.current (v2), hugetlb.2MB.usage_in_bytes (v1); what is only reserved is no memory yet. */
static bool
is_book (const char *name)
{
  return strncmp (name, "hugetlb.", 8) == 0 && strstr (name, ".rsvd.") == NULL
         && (ends_with (name, ".current") || ends_with (name, ".usage_in_bytes"));
}

unsigned
huge_pages_open (int cgroup_dir_fd, int fds[HUGE_SIZES])
{
  _Alignas (struct dirent64) char entries[4096];
  cleanup_close int fd = openat (cgroup_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  unsigned count = 0;
  ssize_t length;

  while (fd >= 0 && (length = getdents64 (fd, entries, sizeof entries)) > 0)
    for (ssize_t at = 0; at < length;)
      {
        const struct dirent64 *entry = (const struct dirent64 *) (entries + at);
        at += entry->d_reclen;
        if (count == HUGE_SIZES || !is_book (entry->d_name))
          continue;
        fds[count] = openat (cgroup_dir_fd, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fds[count] >= 0)
          count++;
      }
  return count;
}

uint64_t
huge_pages_read (const int fds[HUGE_SIZES], unsigned count)
{
  uint64_t bytes = 0;
  char text[64];

  for (unsigned i = 0; i < count; i++)
    {
      if (proc_file_read (fds[i], text, sizeof text, 0) <= 0)
        return UINT64_MAX;
      bytes += proc_file_number (text, "");
    }
  return bytes;
}

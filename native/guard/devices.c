#include "guard/devices.h"

#include "common/cleanup.h"
#include "guard/clock.h"
#include "guard/processes.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct search {
  struct entry *entry;
  const char *proc_dir;
  uint64_t deadline_ns;
  unsigned index; /* of the process in the container's list */
  bool cut;
};

bool
devices_is_gpu (const char *path)
{
  /* nvhost and nvmap are what Tegra's driver has in place of nvidia. */
  static const char *const devices[] = { "/dev/nvidia", "/dev/dri/", "/dev/nvhost", "/dev/nvmap" };

  for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
    if (strncmp (path, devices[i], strlen (devices[i])) == 0)
      return true;
  return false;
}

static bool
is_late (const struct search *search)
{
  return search->deadline_ns != 0 && clock_boot_ns () > search->deadline_ns;
}

static int
look_at_process (pid_t pid, void *data)
{
  struct search *search = data;
  struct entry *e = search->entry;
  _Alignas (struct dirent64) char entries[2048];
  char path[320], target[64];
  ssize_t length;

  if (search->index++ < e->device_search.processes)
    return 0;
  snprintf (path, sizeof path, "%s/%d/fd", search->proc_dir, (int) pid);
  cleanup_close int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0 && e->device_search.offset != 0)
    lseek (fd, e->device_search.offset, SEEK_SET);
  while (fd >= 0 && (length = getdents64 (fd, entries, sizeof entries)) > 0)
    {
      for (ssize_t at = 0; at < length;)
        {
          const struct dirent64 *file = (const struct dirent64 *) (entries + at);
          at += file->d_reclen;
          e->device_search.offset = file->d_off;
          ssize_t size = readlinkat (fd, file->d_name, target, sizeof target - 1);
          if (size <= 0)
            continue;
          target[size] = '\0';
          if (devices_is_gpu (target))
            return e->uses_gpu = true;
        }
      if (is_late (search))
        return search->cut = true;
    }
  e->device_search.offset = 0;
  e->device_search.processes++;
  return search->cut = is_late (search);
}

void
devices_find (struct entry *entries, unsigned count, unsigned *turn, const char *proc_dir, uint64_t deadline_ns)
{
  unsigned first = count > 0 ? *turn % count : 0;

  for (unsigned step = 0; step < count; step++)
    {
      unsigned i = (first + step) % count;
      struct search search = { .entry = &entries[i], .proc_dir = proc_dir, .deadline_ns = deadline_ns };
      if (!entries[i].used || entries[i].uses_gpu)
        continue;
      processes_each (&entries[i], proc_dir, look_at_process, &search);
      *turn = i + 1;
      if (search.cut)
        return;
      memset (&entries[i].device_search, 0, sizeof entries[i].device_search);
      if (is_late (&search))
        return;
    }
}

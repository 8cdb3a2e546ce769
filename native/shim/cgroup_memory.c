#include "cgroup_memory.h"

#include "raw.h"
#include <errno.h>
#include <string.h>

enum { PATH_BYTES = SPARK_SCRATCH_PATH_BYTES, TEXT_BYTES = SPARK_SCRATCH_TEXT_BYTES };

/* Joins texts up to NULL; an overlong result becomes "", which no file has for a name. */
static void
join (char *path, const char *const *parts)
{
  size_t used = 0;
  for (; *parts != NULL; parts++)
    {
      size_t length = strlen (*parts);
      if (used + length >= PATH_BYTES)
        {
          path[0] = '\0';
          return;
        }
      memcpy (path + used, *parts, length);
      used += length;
    }
  path[used] = '\0';
}

#define JOIN(path, ...) join ((path), (const char *const[]){ __VA_ARGS__, NULL })

static bool
exists (const char *path)
{
  return raw_syscall (SYS_faccessat, AT_FDCWD, path, 0, 0) == 0;
}

static long
read_text (const char *path, char *text)
{
  int fd = raw_open (path, O_RDONLY);
  if (fd < 0)
    return fd;
  size_t used = 0;
  long got = 1;
  while (used < TEXT_BYTES - 1 && (got = raw_read (fd, text + used, TEXT_BYTES - 1 - used)) > 0)
    used += (size_t) got;
  raw_close (fd);
  text[used] = '\0';
  return got < 0 ? got : (long) used;
}

/* The number after "\n<key> "; the first line counts as after a newline. */
static bool
field (const char *text, const char *key, uint64_t *value)
{
  size_t length = strlen (key);
  for (const char *line = text; line != NULL && *line != '\0'; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (strncmp (line, key, length) != 0 || line[length] != ' ')
        continue;
      uint64_t number = 0;
      for (const char *at = line + length + 1; *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t) (*at - '0');
      *value = number;
      return true;
    }
  return false;
}

/* anon + shmem + unevictable would count locked pages twice; the lists that pages wait on for reclaim hold each page once, and
   everything on these three is anonymous, shared or locked. What the kernel holds for the cgroup is on none; v2 alone tells it. v1 tells
   of the cgroup alone and, as total_, of those below it too. */
uint64_t
spark_cgroup_parse_stat (const char *text)
{
  static const char *const keys[][2] = { { "total_inactive_anon", "inactive_anon" },
                                         { "total_active_anon", "active_anon" },
                                         { "total_unevictable", "unevictable" } };
  static const char *const of_kernel[]
    = { "slab_unreclaimable", "sock", "kernel_stack", "pagetables", "sec_pagetables", "percpu", "vmalloc" };
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof of_kernel / sizeof of_kernel[0]; i++)
    {
      uint64_t value = 0;
      field (text, of_kernel[i], &value);
      sum += value;
    }
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    {
      uint64_t value = 0;
      if (!field (text, keys[i][0], &value))
        field (text, keys[i][1], &value);
      sum += value;
    }
  return sum;
}

/* Where does the line of this process in /proc/self/cgroup lead? `controller` "" is v2's. False for the root. */
static bool
own_path (const char *proc_cgroup, const char *controller, char *text, char *path)
{
  if (read_text (proc_cgroup, text) < 0)
    return false;
  for (char *line = text; line != NULL && *line != '\0';)
    {
      char *end = strchr (line, '\n');
      if (end != NULL)
        *end = '\0';
      char *names = strchr (line, ':'), *where = names != NULL ? strchr (names + 1, ':') : NULL;
      if (where != NULL)
        {
          *where++ = '\0';
          if (strcmp (names + 1, controller) == 0 && where[0] == '/' && where[1] != '\0' && strstr (where, "..") == NULL)
            {
              JOIN (path, where);
              return path[0] != '\0';
            }
        }
      line = end != NULL ? end + 1 : NULL;
    }
  return false;
}

/* The directory that stands for this container in the hierarchy mounted at `mount`, into `scratch`. Usually the mount shows the
   container's cgroup as its top. Where it shows the machine's true root (which alone has, or alone lacks, the file `mark`),
   /proc/self/cgroup leads on. */
static bool
find_directory (const char *mount, const char *mark, bool root_has_mark, const char *controller, const char *proc_cgroup,
                bool in_container, struct spark_scratch *scratch)
{
  JOIN (scratch->path, mount, mark);
  if (exists (scratch->path) != root_has_mark)
    {
      JOIN (scratch->directory, mount);
      return true;
    }
  if (!in_container || !own_path (proc_cgroup, controller, scratch->text, scratch->path))
    return false;
  JOIN (scratch->directory, mount, scratch->path);
  return true;
}

bool
spark_cgroup_unreclaimable_bytes (const char *cgroup_root, const char *proc_cgroup, bool in_container, struct spark_scratch *scratch,
                                  uint64_t *bytes)
{
  JOIN (scratch->mount, cgroup_root, "/memory");
  JOIN (scratch->path, scratch->mount, "/memory.stat");
  bool v1 = exists (scratch->path);
  /* In v1 only the root has release_agent; in v2 only the root has no cgroup.events. */
  bool known = v1 ? find_directory (scratch->mount, "/release_agent", true, "memory", proc_cgroup, in_container, scratch)
                  : find_directory (cgroup_root, "/cgroup.events", false, "", proc_cgroup, in_container, scratch);
  *bytes = 0;
  if (!known)
    return true;
  JOIN (scratch->path, scratch->directory, "/memory.stat");
  long got = read_text (scratch->path, scratch->text);
  if (got >= 0)
    *bytes = spark_cgroup_parse_stat (scratch->text);
  return got >= 0 || (got != -EMFILE && got != -ENFILE && got != -ENOMEM);
}

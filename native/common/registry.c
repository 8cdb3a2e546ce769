#include "registry.h"

#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

bool
spark_id_valid (const char *id)
{
  size_t length = strspn (id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
  return length >= 1 && length <= SPARK_ID_MAX && id[length] == '\0' && id[0] != '.';
}

/* --- parsing ------------------------------------------------------------------------------------------------------- */

static bool
digits_parse (const char *text, uint64_t *value)
{
  uint64_t number = 0;
  if (*text == '\0')
    return false;
  for (; *text != '\0'; text++)
    {
      if (*text < '0' || *text > '9' || number > (UINT64_MAX - (uint64_t) (*text - '0')) / 10)
        return false;
      number = number * 10 + (uint64_t) (*text - '0');
    }
  *value = number;
  return true;
}

static bool
pid_parse (const char *text, pid_t *pid)
{
  uint64_t number;
  if (!digits_parse (text, &number) || number > INT_MAX)
    return false;
  *pid = (pid_t) number;
  return true;
}

bool
spark_priority_parse (const char *text, int *priority)
{
  bool negative = text[0] == '-';
  uint64_t number;
  if (!digits_parse (text + negative, &number) || number > 1000)
    return false;
  *priority = negative ? -(int) number : (int) number;
  return true;
}

static bool
text_copy (const char *text, char *target, size_t target_size)
{
  if (strlen (text) >= target_size)
    return false;
  strcpy (target, text);
  return true;
}

/* Empty, or absolute and without a ".." step: what is named here may be killed. */
static bool
path_copy (const char *path, char *target, size_t target_size)
{
  if (path[0] != '\0')
    {
      if (path[0] != '/' || path[1] == '\0')
        return false;
      for (const char *step = path; step != NULL; step = strchr (step + 1, '/'))
        if (strncmp (step, "/..", 3) == 0 && (step[3] == '/' || step[3] == '\0'))
          return false;
    }
  return text_copy (path, target, target_size);
}

static bool
kills_parse (const char *text, unsigned *kills)
{
  uint64_t number;
  if (!digits_parse (text, &number) || number > UINT32_MAX)
    return false;
  *kills = (unsigned) number;
  return true;
}

static bool
field_parse (const char *key, const char *value, struct spark_container *c)
{
#define FIELD(name) (strcmp (key, name) == 0)
  if (FIELD ("id"))
    return spark_id_valid (value) && text_copy (value, c->id, sizeof c->id);
  if (FIELD ("name"))
    return text_copy (value, c->name, sizeof c->name);
  if (FIELD ("request"))
    return text_copy (value, c->request, sizeof c->request);
  if (FIELD ("engine"))
    return text_copy (value, c->engine, sizeof c->engine);
  if (FIELD ("pid"))
    return pid_parse (value, &c->pid);
  if (FIELD ("pid_start"))
    return digits_parse (value, &c->pid_start);
  if (FIELD ("pgid"))
    return pid_parse (value, &c->pgid);
  if (FIELD ("cgroup_v2"))
    return path_copy (value, c->cgroup_v2, sizeof c->cgroup_v2);
  if (FIELD ("cgroup_memory"))
    return path_copy (value, c->cgroup_memory, sizeof c->cgroup_memory);
  if (FIELD ("cgroup_freezer"))
    return path_copy (value, c->cgroup_freezer, sizeof c->cgroup_freezer);
  if (FIELD ("cgroup_v2_id"))
    return digits_parse (value, &c->cgroup_v2_id);
  if (FIELD ("cgroup_memory_id"))
    return digits_parse (value, &c->cgroup_memory_id);
  if (FIELD ("cgroup_freezer_id"))
    return digits_parse (value, &c->cgroup_freezer_id);
  if (FIELD ("budget_bytes"))
    return digits_parse (value, &c->budget_bytes);
  if (FIELD ("reserve_bytes"))
    return digits_parse (value, &c->reserve_bytes);
  if (FIELD ("priority"))
    return spark_priority_parse (value, &c->priority);
  if (FIELD ("ledger"))
    return path_copy (value, c->ledger, sizeof c->ledger);
  if (FIELD ("created_ns"))
    return digits_parse (value, &c->created_ns);
  if (FIELD ("kills"))
    return kills_parse (value, &c->kills);
#undef FIELD
  return true; /* a key of a later version */
}

int
spark_registry_parse (const char *text, size_t length, struct spark_container *container, struct spark_error *error)
{
  memset (container, 0, sizeof *container);
  bool version_seen = false, budget_seen = false, end_seen = false;
  char line[1024];
  for (size_t start = 0; start < length && !end_seen;)
    {
      const char *newline = memchr (text + start, '\n', length - start);
      if (newline == NULL)
        break; /* a line that was cut off says nothing, not even end=1 */
      size_t line_length = (size_t) (newline - (text + start));
      if (line_length >= sizeof line)
        return spark_fail (error, 0, "a line of the entry is longer than %zu bytes", sizeof line - 1);
      memcpy (line, text + start, line_length);
      line[line_length] = '\0';
      start += line_length + 1;
      if (strlen (line) != line_length)
        return spark_fail (error, 0, "the entry holds a zero byte");
      if (line_length == 0)
        continue;
      char *value = strchr (line, '=');
      if (value == NULL)
        return spark_fail (error, 0, "the line \"%.40s\" of the entry is not key=value", line);
      *value++ = '\0';
      if (strcmp (line, "version") == 0)
        {
          if (strcmp (value, "1") != 0)
            return spark_fail (error, 0, "the entry has version %.20s, this program understands version 1", value);
          version_seen = true;
        }
      else if (strcmp (line, "end") == 0)
        end_seen = strcmp (value, "1") == 0;
      else if (!field_parse (line, value, container))
        return spark_fail (error, 0, "the entry has %.40s=%.100s, which cannot be read", line, value);
      else if (strcmp (line, "budget_bytes") == 0)
        budget_seen = true;
    }
  if (!end_seen)
    return spark_fail (error, 0, "the entry is incomplete: it has no line end=1");
  if (!version_seen)
    return spark_fail (error, 0, "the entry has no line version=1");
  if (container->id[0] == '\0')
    return spark_fail (error, 0, "the entry has no id");
  /* Without one its container would be over its budget whatever it holds. */
  if (!budget_seen)
    return spark_fail (error, 0, "the entry has no line budget_bytes");
  return 0;
}

/* --- files --------------------------------------------------------------------------------------------------------- */

static const char *
line_breaking_field (const struct spark_container *c)
{
  const struct {
    const char *key, *value;
  } texts[] = { { "name", c->name },           { "request", c->request },
                { "engine", c->engine },       { "cgroup_v2", c->cgroup_v2 },
                { "cgroup_memory", c->cgroup_memory }, { "cgroup_freezer", c->cgroup_freezer },
                { "ledger", c->ledger } };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
    if (strchr (texts[i].value, '\n') != NULL)
      return texts[i].key;
  return NULL;
}

/* "key=number\n", or nothing for 0. */
static char *
line_unless_zero (const char *key, uint64_t number, char text[48])
{
  text[0] = '\0';
  if (number != 0)
    snprintf (text, 48, "%s=%" PRIu64 "\n", key, number);
  return text;
}

int
spark_registry_write (int registry_fd, const struct spark_container *c, struct spark_error *error)
{
  if (!spark_id_valid (c->id))
    return spark_fail (error, 0,
                       "\"%.150s\" is not a container id: use 1 to %d of A-Z a-z 0-9 _ . - and do not begin with a dot",
                       c->id, SPARK_ID_MAX);
  const char *broken = line_breaking_field (c);
  if (broken != NULL)
    return spark_fail (error, 0, "the %s of container %s holds a line break, which a registry entry cannot hold", broken,
                       c->id);
  char pgid[48], ids[3][48];
  char text[SPARK_REGISTRY_FILE_MAX];
  int length = snprintf (text, sizeof text,
                         "version=1\nid=%s\nname=%s\nrequest=%s\nengine=%s\npid=%d\npid_start=%" PRIu64 "\n%s"
                         "cgroup_v2=%s\ncgroup_memory=%s\ncgroup_freezer=%s\n%s%s%sbudget_bytes=%" PRIu64
                         "\nreserve_bytes=%" PRIu64 "\npriority=%d\nledger=%s\ncreated_ns=%" PRIu64 "\nkills=%u\nend=1\n",
                         c->id, c->name, c->request, c->engine, (int) c->pid, c->pid_start,
                         line_unless_zero ("pgid", (uint64_t) c->pgid, pgid), c->cgroup_v2, c->cgroup_memory, c->cgroup_freezer,
                         line_unless_zero ("cgroup_v2_id", c->cgroup_v2_id, ids[0]),
                         line_unless_zero ("cgroup_memory_id", c->cgroup_memory_id, ids[1]),
                         line_unless_zero ("cgroup_freezer_id", c->cgroup_freezer_id, ids[2]), c->budget_bytes, c->reserve_bytes, c->priority, c->ledger,
                         c->created_ns, c->kills);
  if (length < 0 || (size_t) length >= sizeof text)
    return spark_fail (error, 0, "the registry entry of %s would be longer than %d bytes", c->id, SPARK_REGISTRY_FILE_MAX);

  struct spark_container back;
  struct spark_error problem;
  if (spark_registry_parse (text, (size_t) length, &back, &problem) != 0)
    return spark_fail (error, 0, "the registry entry of %s would not be readable: %s", c->id, problem.text);

  char temporary[SPARK_ID_MAX + 8];
  snprintf (temporary, sizeof temporary, ".%s.tmp", c->id);
  unlinkat (registry_fd, temporary, 0); /* left by a writer that died */
  cleanup_close int fd = openat (registry_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return spark_fail (error, errno, "cannot write the registry entry of %s", c->id);
  ssize_t written = write (fd, text, (size_t) length);
  if (written >= 0 && written != length)
    errno = ENOSPC; /* a short write sets none */
  if (written != length || fchmod (fd, 0644) != 0
      || renameat (registry_fd, temporary, registry_fd, c->id) != 0)
    {
      int status = errno;
      unlinkat (registry_fd, temporary, 0);
      return spark_fail (error, status, "cannot write the registry entry of %s", c->id);
    }
  return 0;
}

/* Up to `size` bytes of a regular file; -1 with errno. O_NONBLOCK so that a fifo in its place cannot hold us. */
static ssize_t
file_read (int directory_fd, const char *name, int flags, char *buffer, size_t size)
{
  cleanup_close int fd = openat (directory_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
  struct stat status;
  if (fd < 0 || fstat (fd, &status) != 0)
    return -1;
  if (!S_ISREG (status.st_mode))
    {
      errno = EINVAL;
      return -1;
    }
  size_t used = 0;
  while (used < size)
    {
      ssize_t got = read (fd, buffer + used, size - used);
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return -1;
      if (got == 0)
        break;
      used += (size_t) got;
    }
  return (ssize_t) used;
}

int
spark_registry_read (int registry_fd, const char *id, struct spark_container *container, struct spark_error *error)
{
  if (!spark_id_valid (id))
    return spark_fail (error, EINVAL, "\"%.150s\" is not a container id", id);
  char text[SPARK_REGISTRY_FILE_MAX + 1];
  ssize_t length = file_read (registry_fd, id, O_NOFOLLOW, text, sizeof text);
  if (length < 0)
    return spark_fail (error, errno, "cannot read the registry entry of %s", id);
  if (length > SPARK_REGISTRY_FILE_MAX)
    return spark_fail (error, EFBIG, "the registry entry of %s is longer than %d bytes", id, SPARK_REGISTRY_FILE_MAX);
  if (spark_registry_parse (text, (size_t) length, container, error) != 0)
    return -1;
  if (strcmp (container->id, id) != 0)
    return spark_fail (error, 0, "the registry file %s holds the entry of another container, %s", id, container->id);
  return 0;
}

int
spark_registry_remove (int registry_fd, const char *id, struct spark_error *error)
{
  if (!spark_id_valid (id))
    return spark_fail (error, EINVAL, "\"%.150s\" is not a container id", id);
  if (unlinkat (registry_fd, id, 0) != 0 && errno != ENOENT)
    return spark_fail (error, errno, "cannot remove the registry entry of %s", id);
  return 0;
}

int
spark_registry_each (int registry_fd, int (*each) (const struct spark_container *container, void *data), void *data)
{
  /* An open file description of our own, so that the caller's offset stays and two readers never meet; getdents64
     in place of readdir because the guard must not allocate. */
  cleanup_close int fd = openat (registry_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  _Alignas (struct dirent64) char entries[4096];
  ssize_t length;
  while ((length = getdents64 (fd, entries, sizeof entries)) > 0)
    for (ssize_t at = 0; at < length;)
      {
        const struct dirent64 *entry = (const struct dirent64 *) (entries + at);
        at += entry->d_reclen;
        struct spark_container container;
        if (!spark_id_valid (entry->d_name) || spark_registry_read (registry_fd, entry->d_name, &container, NULL) != 0)
          continue;
        int result = each (&container, data);
        if (result != 0)
          return result;
      }
  return 0;
}

#include "guard/intent.h"

#include "guard/proc_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "SPRKKILL";
static char boot_id[sizeof ((struct intent *) 0)->boot_id];

static void
read_boot_id (const char *proc_dir)
{
  char path[320], text[64];
  int fd;

  snprintf (path, sizeof path, "%s/sys/kernel/random/boot_id", proc_dir);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if (proc_file_read (fd, text, sizeof text, 0) > 0)
    snprintf (boot_id, sizeof boot_id, "%.36s", text);
  close (fd);
}

/* Strings that end, whatever the file held. */
static bool
is_ours (struct intent *i, ssize_t length)
{
  struct kill_record *r = &i->record;

  if (length != (ssize_t) sizeof *i || memcmp (i->magic, magic, sizeof magic) != 0 || i->size != sizeof *i || i->state > INTENT_OVER)
    return false;
  i->boot_id[sizeof i->boot_id - 1] = i->cgroup[sizeof i->cgroup - 1] = '\0';
  r->id[sizeof r->id - 1] = r->name[sizeof r->name - 1] = r->request[sizeof r->request - 1] = '\0';
  r->engine[sizeof r->engine - 1] = r->killed_at[sizeof r->killed_at - 1] = r->sentence[sizeof r->sentence - 1] = '\0';
  return strcmp (i->boot_id, boot_id) == 0 && spark_id_valid (r->id);
}

int
intent_open (int run_fd, const char *proc_dir, struct intent *found)
{
  int fd = openat (run_fd, INTENT_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

  read_boot_id (proc_dir);
  if (fd < 0 || !is_ours (found, pread (fd, found, sizeof *found, 0)))
    memset (found, 0, sizeof *found);
  if (fd < 0)
    return -1;
  int status = posix_fallocate (fd, 0, INTENT_BYTES);
  if (status != 0)
    {
      close (fd);
      errno = status;
      return -1;
    }
  return fd;
}

void
intent_pin (int fd)
{
  if (fd >= 0)
    mmap (NULL, INTENT_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
}

/* All of them are within one page, and such a write is not cut in two by a signal. Without the file nothing is remembered. */
static void
put (int fd, const void *bytes, size_t length, off_t at)
{
  if (fd >= 0 && pwrite (fd, bytes, length, at) != (ssize_t) length)
    return;
}

/* Both ask the kernel only, no disk. */
static void
note_cgroup (struct intent *i, const struct entry *victim)
{
  char link[48];
  struct stat status;

  if ((victim->kill_by != KILL_BY_CGROUP_KILL && victim->kill_by != KILL_BY_FREEZER) || fstat (victim->procs_dir_fd, &status) != 0)
    return;
  snprintf (link, sizeof link, "/proc/self/fd/%d", victim->procs_dir_fd);
  ssize_t length = readlink (link, i->cgroup, sizeof i->cgroup - 1);
  i->cgroup[length > 0 ? length : 0] = '\0';
  i->cgroup_inode = status.st_ino;
  i->cgroup_is_v2 = victim->kill_by == KILL_BY_CGROUP_KILL;
}

void
intent_decide (int fd, const struct entry *victim, const struct kill_record *record, const struct aftermath *aftermath)
{
  static struct intent i;

  i = (struct intent){ .size = sizeof i, .state = INTENT_DECIDED, .pid = victim->pid, .pid_start = victim->pid_start,
                       .created_ns = victim->created_ns, .record = *record, .aftermath = *aftermath };
  memcpy (i.magic, magic, sizeof magic);
  memcpy (i.boot_id, boot_id, sizeof boot_id);
  note_cgroup (&i, victim);
  put (fd, &i, sizeof i, 0);
}

void
intent_state (int fd, enum intent_state state)
{
  uint32_t value = state;

  put (fd, &value, sizeof value, offsetof (struct intent, state));
}

void
intent_aftermath (int fd, const struct aftermath *aftermath)
{
  put (fd, aftermath, sizeof *aftermath, offsetof (struct intent, aftermath));
}

bool
intent_told (int fd, off_t at, uint64_t killed_ns)
{
  uint64_t told_ns = 0;

  return fd >= 0 && pread (fd, &told_ns, sizeof told_ns, at) == (ssize_t) sizeof told_ns && told_ns == killed_ns;
}

void
intent_tell (int fd, off_t at, uint64_t killed_ns)
{
  put (fd, &killed_ns, sizeof killed_ns, at);
}

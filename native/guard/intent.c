#include "guard/intent.h"

#include "guard/kept_file.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "SPRKKILL";

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
intent_open (int run_fd, struct intent *found)
{
  ssize_t length;
  int fd = kept_file_open (run_fd, INTENT_FILE, INTENT_BYTES, found, sizeof *found, &length);

  if (!is_ours (found, length))
    memset (found, 0, sizeof *found);
  return fd;
}

void
intent_pin (int fd)
{
  if (fd >= 0)
    mmap (NULL, INTENT_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
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
  kept_file_put (fd, &i, sizeof i, 0);
}

void
intent_state (int fd, enum intent_state state)
{
  uint32_t value = state;

  kept_file_put (fd, &value, sizeof value, offsetof (struct intent, state));
}

void
intent_aftermath (int fd, const struct aftermath *aftermath)
{
  kept_file_put (fd, aftermath, sizeof *aftermath, offsetof (struct intent, aftermath));
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
  kept_file_put (fd, &killed_ns, sizeof killed_ns, at);
}

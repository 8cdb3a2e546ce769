#include "guard/kill.h"

#include "common/cleanup.h"
#include "guard/cgroup_pids.h"
#include "guard/proc_file.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Unix98 terminals, what a container's /dev/pts/N is. */
enum { PTY_MAJOR_FIRST = 136, PTY_MAJOR_LAST = 143 };
/* A task that waits uninterruptibly in the kernel cannot be frozen; the others are not kept waiting for it. */
enum { FREEZE_MAX_US = 10000 };

static int
write_word (int fd, const char *word)
{
  ssize_t length = (ssize_t) strlen (word);

  return pwrite (fd, word, (size_t) length, 0) == length ? 0 : -1;
}

static int
kill_pid (pid_t pid, void *data)
{
  (void) data;
  kill (pid, SIGKILL);
  return 0;
}

/* The kernel freezes task by task; those it has not come to yet could still fork. */
static void
wait_frozen (int freezer_fd)
{
  const struct timespec moment = { .tv_nsec = 200000 };
  char state[16];

  for (unsigned waited_us = 0; waited_us < FREEZE_MAX_US; waited_us += 200)
    {
      if (proc_file_read (freezer_fd, state, sizeof state, 0) <= 0 || strncmp (state, "FROZEN", 6) == 0)
        return;
      nanosleep (&moment, NULL);
    }
}

static int
kill_frozen (const struct entry *e)
{
  /* Frozen, none of them can fork between the list and the signal, and no number can be given to another process (those of a task that
     cannot be frozen neither: it waits in the kernel). Thawed at once: only a thawed task can die. */
  int frozen = write_word (e->freezer_fd, "FROZEN");
  wait_frozen (e->freezer_fd);
  int count = cgroup_pids_each (e->procs_dir_fd, kill_pid, NULL);
  int thawed = write_word (e->freezer_fd, "THAWED");
  return count < 0 ? -1 : frozen | thawed;
}

static int
kill_init (const struct entry *e)
{
  return (int) syscall (SYS_pidfd_send_signal, e->pid_fd, SIGKILL, NULL, 0);
}

void
kill_thaw (const struct entry *e)
{
  int status = errno;

  if (e->freezer_fd >= 0)
    write_word (e->freezer_fd, "THAWED");
  errno = status;
}

int
kill_as_planned (const struct entry *e)
{
  int result;

  switch (e->kill_by)
    {
    case KILL_BY_CGROUP_KILL:
      result = write_word (e->kill_fd, "1");
      kill_thaw (e);
      return result;
    case KILL_BY_FREEZER:
      return kill_frozen (e);
    case KILL_BY_PROCESS_GROUP:
      /* While its leader lives the group cannot be another one. */
      if (entry_alive (e) && kill (-e->pgid, SIGKILL) == 0)
        return 0;
      break;
    case KILL_BY_INIT:
      result = kill_init (e);
      kill_thaw (e);
      return result;
    case KILL_BY_NOTHING:
      break;
    }
  errno = ESRCH;
  return -1;
}

int
kill_entry (const struct entry *e)
{
  /* Its init first, by itself: it may have been moved out of the cgroup since, a cgroup that fails us (read-only since, an I/O error)
     does not save the guilty one where its init alone is enough, and no lock of the cgroups is waited for. */
  bool by_group = e->kill_by == KILL_BY_PROCESS_GROUP; /* known by its leader */
  bool init_killed = e->kill_by != KILL_BY_NOTHING && !by_group && kill_init (e) == 0;
  int result = kill_as_planned (e), status = errno;

  if (result != 0 && init_killed && e->first_of_namespace)
    return 0;
  errno = status;
  return result;
}

bool
kill_empty (const struct entry *e)
{
  return !entry_alive (e);
}

/* --- its stderr ---------------------------------------------------------------------------------------------------- */

enum stream { STREAM_NONE, STREAM_PIPE, STREAM_TERMINAL, STREAM_FILE };

/* What a link in /proc/<pid>/fd leads to, by its text alone: reading it asks no file system, and one that does not answer (a
   dead network mount, a FUSE server of the container's own) would hold us up before the kill. A path always begins with '/',
   so that no file can be called like a pipe. */
static enum stream
stream_of_link (const char *path)
{
  char text[512];
  ssize_t length = readlink (path, text, sizeof text - 1);

  if (length <= 0)
    return STREAM_NONE;
  text[length] = '\0';
  if (strncmp (text, "pipe:[", 6) == 0)
    return STREAM_PIPE;
  if (strcmp (text, "/dev/console") == 0) /* a container's is a terminal that was mounted there */
    return STREAM_TERMINAL;
  const char *number = text + strlen ("/dev/pts/");
  if (strncmp (text, "/dev/pts/", strlen ("/dev/pts/")) == 0 && *number != '\0'
      && strspn (number, "0123456789") == strlen (number))
    return STREAM_TERMINAL;
  return text[0] == '/' ? STREAM_FILE : STREAM_NONE;
}

int
kill_hold_stderr (const struct entry *e, const struct entry_place *place, bool regular_files)
{
  char path[320], held_path[320];
  struct stat link;
  struct statx file;

  if (e->pid_fd < 0 || !entry_alive (e))
    return -1;
  snprintf (path, sizeof path, "%s/%d/fd/2", place->proc_dir, (int) e->pid);
  enum stream stream = stream_of_link (path);
  /* The link's own mode tells how the container has it open. What it may only read we do not write into. */
  if (stream == STREAM_NONE || (stream == STREAM_FILE && !regular_files) || lstat (path, &link) != 0
      || (link.st_mode & S_IWUSR) == 0)
    return -1;
  cleanup_close int held = open (path, O_PATH | O_CLOEXEC);
  snprintf (held_path, sizeof held_path, "%s/self/fd/%d", place->proc_dir, held);
  /* The container may have put something else there since; what we hold does not change any more. */
  if (held < 0 || stream_of_link (held_path) != stream)
    return -1;
  /* A terminal's name proves nothing about what is there. Its type is known without asking its file system. */
  if (stream != STREAM_PIPE)
    {
      if (statx (held, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &file) != 0)
        return -1;
      bool pty = S_ISCHR (file.stx_mode) && file.stx_rdev_major >= PTY_MAJOR_FIRST && file.stx_rdev_major <= PTY_MAJOR_LAST;
      if (stream == STREAM_TERMINAL ? !pty : !S_ISREG (file.stx_mode))
        return -1;
    }
  int result = held;
  held = -1;
  return result;
}

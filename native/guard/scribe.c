#include "guard/scribe.h"

#include "common/cleanup.h"
#include "common/registry.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum kind { KIND_EVENT = 'E', KIND_LOG = 'L', KIND_TOMBSTONE = 'T', KIND_REOPEN = 'R' };

/* In one go; each costs a look at all of them, and only a directory from before this rule has more than one too many. */
enum { REMOVALS_MAX = 16 };

/* Both sides' own: the child's is a copy from the fork. */
static char message[SCRIBE_MESSAGE_MAX];

/* --- the child ----------------------------------------------------------------------------------------------------- */

/* Returns false with errno where it could not write all. */
static bool
write_all (int fd, const char *text, size_t length)
{
  while (length > 0)
    {
      ssize_t written = write (fd, text, length);
      if (written < 0 && errno != EINTR)
        return false;
      if (written > 0)
        {
          text += written;
          length -= (size_t) written;
        }
    }
  return true;
}

void
scribe_say (const char *line, size_t length)
{
  struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };

  if (poll (&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0)
    return;
  /* A service manager's log is a socket, which can have too little room; a pipe that has any takes a line whole. */
  if (send (STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ENOTSOCK
      && !write_all (STDERR_FILENO, line, length))
    return;
}

static void
say_trouble (const char *what, const char *consequence)
{
  char line[SPARK_ID_MAX + 256];
  int length = snprintf (line, sizeof line, "spark-guard: cannot write %.*s (%s): %s\n", SPARK_ID_MAX + 16, what, strerrordesc_np (errno),
                         consequence);

  scribe_say (line, (size_t) length);
}

/* systemd.exec(5): the device and inode of the stream that leads to the journal. It takes "<level>" before a line (sd-daemon(3)). */
static bool
stderr_is_journal (void)
{
  const char *stream = getenv ("JOURNAL_STREAM");
  unsigned long long device, inode;
  struct stat status;

  return stream != NULL && sscanf (stream, "%llu:%llu", &device, &inode) == 2 && fstat (STDERR_FILENO, &status) == 0
         && status.st_dev == device && status.st_ino == inode;
}

/* The text is `<level>line`. */
static void
say_log (const char *text, size_t length)
{
  const char *line = memchr (text, '>', length);

  if (line == NULL || stderr_is_journal ())
    scribe_say (text, length);
  else
    scribe_say (line + 1, length - (size_t) (line + 1 - text));
}

static int
open_events (int log_fd)
{
  return openat (log_fd, "events.jsonl", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
}

/* Half a line on a full disk would spoil the next one as well: it is taken back, unless somebody else wrote after it. */
static void
append_event (int fd, const char *line, size_t length)
{
  static bool told;
  struct stat before, after;

  if (fd >= 0 && fstat (fd, &before) == 0 && write_all (fd, line, length))
    {
      told = false;
      return;
    }
  if (!told)
    say_trouble ("events.jsonl", "until it can be written, events are missing there");
  told = true;
  if (fd >= 0 && fstat (fd, &after) == 0 && after.st_size > before.st_size && after.st_size - before.st_size < (off_t) length
      && ftruncate (fd, before.st_size) != 0)
    return;
}

static bool
is_tombstone (const char *name)
{
  const char *dot = strrchr (name, '.');

  return name[0] != '.' && dot != NULL && strcmp (dot, ".json") == 0;
}

/* Removes the oldest tombstone if there are more than `kept`, never `except`. True if there may be another one. */
static bool
remove_oldest (int directory, unsigned kept, const char *except)
{
  char oldest[NAME_MAX + 1] = "";
  struct timespec oldest_time = { 0 };
  struct stat status;
  unsigned count = 0;

  int fd = openat (directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cleanup_dir DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  for (struct dirent *entry; dir != NULL && (entry = readdir (dir)) != NULL;)
    {
      if (!is_tombstone (entry->d_name) || fstatat (directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        continue;
      count++;
      if (strcmp (entry->d_name, except) == 0)
        continue;
      if (oldest[0] == '\0' || status.st_mtim.tv_sec < oldest_time.tv_sec
          || (status.st_mtim.tv_sec == oldest_time.tv_sec && status.st_mtim.tv_nsec < oldest_time.tv_nsec))
        {
          oldest_time = status.st_mtim;
          snprintf (oldest, sizeof oldest, "%s", entry->d_name);
        }
    }
  return count > kept && oldest[0] != '\0' && unlinkat (directory, oldest, 0) == 0;
}

/* A new file, whole or not at all; false with errno. */
static bool
write_file (int directory, const char *name, const char *text, size_t length)
{
  unlinkat (directory, name, 0);
  cleanup_close int fd = openat (directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return false;
  if (write_all (fd, text, length))
    return true;
  int status = errno;
  unlinkat (directory, name, 0);
  errno = status;
  return false;
}

/* The text is `<id>\n<json>`. The directory is opened each time: somebody may have removed and made it anew. */
static void
write_tombstone (int run_fd, char *text, size_t length)
{
  char name[SPARK_ID_MAX + 16], temporary[SPARK_ID_MAX + 16];
  char *json = memchr (text, '\n', length);

  if (json == NULL)
    return;
  *json++ = '\0';
  if (!spark_id_valid (text))
    return;
  snprintf (name, sizeof name, "%.*s.json", SPARK_ID_MAX, text);
  snprintf (temporary, sizeof temporary, ".%.*s.json", SPARK_ID_MAX, text);
  mkdirat (run_fd, "tombstones", 0755);
  cleanup_close int directory = openat (run_fd, "tombstones", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (directory < 0)
    return;
  bool written = write_file (directory, temporary, json, length - (size_t) (json - text));
  /* /run may be full: the last death is of more use than older ones. */
  int status = errno;
  for (int i = 0; i < REMOVALS_MAX && !written && status == ENOSPC && remove_oldest (directory, 0, name); i++)
    written = write_file (directory, temporary, json, length - (size_t) (json - text));
  if (!written)
    {
      errno = status;
      say_trouble (name, "this kill has no tombstone, or an older one");
      return;
    }
  renameat (directory, temporary, directory, name);
  for (int i = 0; i < REMOVALS_MAX && remove_oldest (directory, SCRIBE_TOMBSTONES_KEPT, name); i++)
    continue;
}

static void
work (int socket_fd, const int *fds)
{
  const int run_fd = fds[0], log_fd = fds[1];
  cleanup_close int events_fd = open_events (log_fd);

  for (;;)
    {
      ssize_t length = recv (socket_fd, message, sizeof message - 1, 0);
      if (length < 0 && errno == EINTR)
        continue;
      if (length <= 0)
        return;
      switch (message[0])
        {
        case KIND_EVENT:
          if (events_fd < 0)
            events_fd = open_events (log_fd);
          append_event (events_fd, message + 1, (size_t) length - 1);
          break;
        case KIND_LOG:
          say_log (message + 1, (size_t) length - 1);
          break;
        case KIND_TOMBSTONE:
          write_tombstone (run_fd, message + 1, (size_t) length - 1);
          break;
        case KIND_REOPEN:
          if (events_fd >= 0)
            close (events_fd);
          events_fd = open_events (log_fd);
          break;
        default:
          break;
        }
    }
}

/* --- the guard's side ---------------------------------------------------------------------------------------------- */

static void
send_message (struct scribe *scribe, size_t length)
{
  if (helper_send (&scribe->helper, message, length) != 0)
    scribe->lost++;
}

static void
send_line (struct scribe *scribe, enum kind kind, const char *line)
{
  int length = snprintf (message, sizeof message, "%c%s\n", kind, line);

  if (length < (int) sizeof message)
    send_message (scribe, (size_t) length);
}

void
scribe_event (struct scribe *scribe, const char *json_line)
{
  send_line (scribe, KIND_EVENT, json_line);
}

void
scribe_log (struct scribe *scribe, int level, const char *line)
{
  int length = snprintf (message, sizeof message, "%c<%d>%s\n", KIND_LOG, level, line);

  if (length < (int) sizeof message)
    send_message (scribe, (size_t) length);
}

void
scribe_tombstone (struct scribe *scribe, const char *id, const char *json)
{
  int length = snprintf (message, sizeof message, "%c%s\n%s\n", KIND_TOMBSTONE, id, json);

  if (length < (int) sizeof message)
    send_message (scribe, (size_t) length);
}

void
scribe_reopen (struct scribe *scribe)
{
  message[0] = KIND_REOPEN;
  send_message (scribe, 1);
}

int
scribe_start (struct scribe *scribe, int run_fd, int log_fd, struct spark_error *error)
{
  const int fds[] = { run_fd, log_fd };

  return helper_start (&scribe->helper, "spark-scribe", fds, 2, work, error);
}

#include "guard/scribe.h"

#include "common/cleanup.h"
#include "common/private_file.h"
#include "common/registry.h"
#include "guard/intent.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum kind { KIND_EVENT = 'E', KIND_KILL = 'K', KIND_KILL_AGAIN = 'k', KIND_LOG = 'L', KIND_TOMBSTONE = 'T', KIND_REOPEN = 'R' };

/* In one go; each costs a look at all of them, and only a directory from before this rule has more than one too many. */
enum { REMOVALS_MAX = 16 };

/* A number of a kill in a message: 16 hexadecimal digits. */
enum { NUMBER_LENGTH = 16 };

/* So much of the event log's end is looked through for an event that may be there already. */
enum { TAIL_BYTES = 256 * 1024 };

/* The scribe of a guard before this one gets so long to end; one that is stuck on a dead disk is not waited for. */
enum { BEFORE_MS = 2000 };

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
say_log (const char *text, size_t length, bool to_journal)
{
  const char *line = memchr (text, '>', length);

  if (line == NULL || to_journal)
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
static bool
append_event (int fd, const char *line, size_t length)
{
  static bool told;
  struct stat before, after;

  if (fd >= 0 && fstat (fd, &before) == 0 && write_all (fd, line, length))
    {
      told = false;
      return true;
    }
  if (!told)
    say_trouble ("events.jsonl", "until it can be written, events are missing there");
  told = true;
  if (fd >= 0 && fstat (fd, &after) == 0 && after.st_size > before.st_size && after.st_size - before.st_size < (off_t) length
      && ftruncate (fd, before.st_size) != 0)
    return false;
  return false;
}

/* True if the log's end holds this event, whenever it was told: all of it after its time. */
static bool
is_there (int log_fd, const char *line)
{
  struct stat status;
  cleanup_free char *tail = malloc (TAIL_BYTES); /* not of the guard's locked memory */
  const char *event = strstr (line, "\"type\":");
  cleanup_close int fd = openat (log_fd, "events.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  if (tail == NULL || event == NULL || fd < 0 || fstat (fd, &status) != 0)
    return false;
  off_t from = status.st_size > TAIL_BYTES ? status.st_size - TAIL_BYTES : 0;
  ssize_t length = pread (fd, tail, TAIL_BYTES, from);
  return length > 0 && memmem (tail, (size_t) length, event, strlen (event)) != NULL;
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

/* The number at the beginning of a message; `*text` and `*length` are then what follows it. */
static uint64_t
take_number (char **text, size_t *length)
{
  char digits[NUMBER_LENGTH + 1] = "";

  if (*length < NUMBER_LENGTH)
    return 0;
  memcpy (digits, *text, NUMBER_LENGTH);
  *text += NUMBER_LENGTH;
  *length -= NUMBER_LENGTH;
  return strtoull (digits, NULL, 16);
}

/* The text is `<id>\n<json>`. True if it is written. The directory is opened each time: somebody may have removed and made it anew. */
static bool
write_tombstone (int run_fd, char *text, size_t length)
{
  char name[SPARK_ID_MAX + 16], temporary[SPARK_ID_MAX + 16];
  char *json = memchr (text, '\n', length);

  if (json == NULL)
    return false;
  *json++ = '\0';
  if (!spark_id_valid (text))
    return false;
  snprintf (name, sizeof name, "%.*s.json", SPARK_ID_MAX, text);
  snprintf (temporary, sizeof temporary, ".%.*s.json", SPARK_ID_MAX, text);
  mkdirat (run_fd, "tombstones", 0755);
  cleanup_close int directory = openat (run_fd, "tombstones", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (directory < 0)
    return false;
  bool written = write_file (directory, temporary, json, length - (size_t) (json - text));
  /* /run may be full: the last death is of more use than older ones. */
  int status = errno;
  for (int i = 0; i < REMOVALS_MAX && !written && status == ENOSPC && remove_oldest (directory, 0, name); i++)
    written = write_file (directory, temporary, json, length - (size_t) (json - text));
  if (!written)
    {
      errno = status;
      say_trouble (name, "this kill has no tombstone, or an older one");
      return false;
    }
  bool named = renameat (directory, temporary, directory, name) == 0;
  for (int i = 0; i < REMOVALS_MAX && remove_oldest (directory, SCRIBE_TOMBSTONES_KEPT, name); i++)
    continue;
  return named;
}

/* Two scribes at once would not know what the other has told. */
static int
wait_for_the_one_before (int run_fd)
{
  int fd = spark_private_lock_open (run_fd, "scribe.lock");

  for (int waited_ms = 0; fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) != 0 && waited_ms < BEFORE_MS; waited_ms++)
    poll (NULL, 0, 1);
  return fd;
}

static void
work (int socket_fd, const int *fds)
{
  const int run_fd = fds[0], log_fd = fds[1];
  const bool to_journal = stderr_is_journal ();
  cleanup_close int lock_fd = wait_for_the_one_before (run_fd), events_fd = open_events (log_fd);
  cleanup_close int intent_fd = openat (run_fd, INTENT_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

  for (;;)
    {
      ssize_t length = recv (socket_fd, message, sizeof message - 1, 0);
      if (length < 0 && errno == EINTR)
        continue;
      if (length <= 0)
        return;
      char *text = message + 1;
      size_t text_length = (size_t) length - 1;
      message[length] = '\0';
      switch (message[0])
        {
        case KIND_KILL:
        case KIND_KILL_AGAIN:
        case KIND_EVENT:
          {
            uint64_t killed_ns = message[0] != KIND_EVENT ? take_number (&text, &text_length) : 0;
            if (events_fd < 0)
              events_fd = open_events (log_fd);
            bool written = (message[0] == KIND_KILL_AGAIN && is_there (log_fd, text)) || append_event (events_fd, text, text_length);
            if (killed_ns != 0 && written)
              intent_tell (intent_fd, INTENT_EVENT_AT, killed_ns);
            break;
          }
        case KIND_LOG:
          say_log (text, text_length, to_journal);
          break;
        case KIND_TOMBSTONE:
          {
            uint64_t killed_ns = take_number (&text, &text_length);
            if (write_tombstone (run_fd, text, text_length))
              intent_tell (intent_fd, INTENT_STONE_AT, killed_ns);
            break;
          }
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
scribe_kill (struct scribe *scribe, uint64_t killed_ns, const char *json_line, bool again)
{
  int length = snprintf (message, sizeof message, "%c%016" PRIx64 "%s\n", again ? KIND_KILL_AGAIN : KIND_KILL, killed_ns, json_line);

  if (length < (int) sizeof message)
    send_message (scribe, (size_t) length);
}

void
scribe_log (struct scribe *scribe, int level, const char *line)
{
  int length = snprintf (message, sizeof message, "%c<%d>%s\n", KIND_LOG, level, line);

  if (length < (int) sizeof message)
    send_message (scribe, (size_t) length);
}

void
scribe_tombstone (struct scribe *scribe, uint64_t killed_ns, const char *id, const char *json)
{
  int length = snprintf (message, sizeof message, "%c%016" PRIx64 "%s\n%s\n", KIND_TOMBSTONE, killed_ns, id, json);

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

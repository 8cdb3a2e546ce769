#include "guard/scribe.h"

#include "common/cleanup.h"
#include "common/private_file.h"
#include "common/registry.h"
#include "guard/intent.h"
#include "guard/scribe_child.h"
#include "guard/tombstones.h"
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

enum kind { KIND_EVENT = 'E', KIND_KILL = 'K', KIND_KILL_AGAIN = 'k', KIND_LOG = 'L', KIND_REOPEN = 'R' };

/* So much of the event log's end is looked through for an event that may be there already. */
enum { TAIL_BYTES = 256 * 1024 };

/* Both sides' own: the child's is a copy from the fork. */
static char message[SCRIBE_MESSAGE_MAX];

/* --- the child ----------------------------------------------------------------------------------------------------- */

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
    child_say (text, length);
  else
    child_say (line + 1, length - (size_t) (line + 1 - text));
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

  if (fd >= 0 && fstat (fd, &before) == 0 && child_write_all (fd, line, length))
    {
      told = false;
      return true;
    }
  if (!told)
    child_say_trouble ("events.jsonl", "until it can be written, events are missing there");
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

static void
work (int socket_fd, const int *fds)
{
  const int run_fd = fds[0], log_fd = fds[1];
  const bool to_journal = stderr_is_journal ();
  cleanup_close int lock_fd = child_wait_for_the_one_before (run_fd, "scribe.lock"), events_fd = open_events (log_fd);
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
            uint64_t killed_ns = message[0] != KIND_EVENT ? child_take_number (&text, &text_length) : 0;
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
  int length = snprintf (message, sizeof message, "%016" PRIx64 "%s\n%s\n", killed_ns, id, json);

  if (length < (int) sizeof message && helper_send (&scribe->stones, message, (size_t) length) != 0)
    scribe->lost++;
}

void
scribe_reopen (struct scribe *scribe)
{
  message[0] = KIND_REOPEN;
  send_message (scribe, 1);
}

static int
start_log (struct scribe *scribe, int run_fd, int log_fd, struct spark_error *error)
{
  const int fds[] = { run_fd, log_fd };

  return helper_start (&scribe->helper, "spark-scribe", fds, 2, work, error);
}

int
scribe_start (struct scribe *scribe, int run_fd, int log_fd, struct spark_error *error)
{
  scribe->stones = HELPER_NONE;
  return start_log (scribe, run_fd, log_fd, error) != 0 ? -1 : tombstones_start (&scribe->stones, run_fd, error);
}

bool
scribe_revive (struct scribe *scribe, int run_fd, int log_fd)
{
  struct spark_error unsaid;
  bool log_ended = helper_ended (&scribe->helper), stones_ended = helper_ended (&scribe->stones);

  if (log_ended)
    log_ended = start_log (scribe, run_fd, log_fd, &unsaid) == 0;
  if (stones_ended)
    stones_ended = tombstones_start (&scribe->stones, run_fd, &unsaid) == 0;
  return log_ended || stones_ended;
}

void
scribe_stop (struct scribe *scribe)
{
  helper_stop (&scribe->helper);
  helper_stop (&scribe->stones);
}

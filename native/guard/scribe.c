#include "guard/scribe.h"

#include "common/cleanup.h"
#include "common/write_all.h"
#include "guard/intent.h"
#include "guard/scribe_child.h"
#include "guard/teller.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum kind { KIND_EVENT = 'E', KIND_KILL = 'K', KIND_KILL_AGAIN = 'k', KIND_REOPEN = 'R' };

/* So much of the event log's end is looked through for an event that may be there already. */
enum { TAIL_BYTES = 256 * 1024 };

/* Both sides' own: the child's is a copy from the fork. */
static char message[SCRIBE_MESSAGE_MAX];

/* --- the child ----------------------------------------------------------------------------------------------------- */

/* Without ever waiting for the other end of what is no file; such a thing is told like a full disk. */
static int
open_events (int log_fd)
{
  struct stat status;
  cleanup_close int fd = openat (log_fd, "events.jsonl", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);

  if (fd < 0 || fstat (fd, &status) != 0 || !S_ISREG (status.st_mode))
    return -1;
  int result = fd;
  fd = -1;
  return result;
}

/* Half a line on a full disk would spoil the next one as well: it is taken back, unless somebody else wrote after it. */
static bool
append_event (int fd, const char *line, size_t length)
{
  static bool told;
  struct stat before, after;

  if (fd >= 0 && fstat (fd, &before) == 0 && spark_write_all (fd, line, length))
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
  cleanup_close int fd = openat (log_fd, "events.jsonl", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

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
  cleanup_close int lock_fd = child_wait_for_the_one_before (run_fd, "scribe.lock"), events_fd = open_events (log_fd);
  cleanup_close int intent_fd = openat (run_fd, INTENT_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

  for (size_t length; (length = child_receive (socket_fd, message, sizeof message)) > 0;)
    {
      char *text = message + 1;
      size_t text_length = length - 1;
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
send_to (struct scribe *scribe, const struct helper *helper, int length)
{
  if (length < (int) sizeof message && helper_send (helper, message, (size_t) length) != 0)
    scribe->lost++;
}

void
scribe_event (struct scribe *scribe, const char *json_line)
{
  send_to (scribe, &scribe->helper, snprintf (message, sizeof message, "%c%s\n", KIND_EVENT, json_line));
}

void
scribe_kill (struct scribe *scribe, uint64_t killed_ns, const char *json_line, bool again)
{
  send_to (scribe, &scribe->helper,
           snprintf (message, sizeof message, "%c%016" PRIx64 "%s\n", again ? KIND_KILL_AGAIN : KIND_KILL, killed_ns, json_line));
}

void
scribe_log (struct scribe *scribe, int level, const char *line)
{
  send_to (scribe, &scribe->teller, snprintf (message, sizeof message, "%c<%d>%s\n", TELLER_LOG, level, line));
}

void
scribe_tombstone (struct scribe *scribe, uint64_t killed_ns, const char *id, const char *json)
{
  send_to (scribe, &scribe->teller,
           snprintf (message, sizeof message, "%c%016" PRIx64 "%s\n%s\n", TELLER_TOMBSTONE, killed_ns, id, json));
}

void
scribe_reopen (struct scribe *scribe)
{
  send_to (scribe, &scribe->helper, snprintf (message, sizeof message, "%c", KIND_REOPEN));
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
  scribe->teller = HELPER_NONE;
  return start_log (scribe, run_fd, log_fd, error) != 0 ? -1 : teller_start (&scribe->teller, run_fd, error);
}

bool
scribe_revive (struct scribe *scribe, int run_fd, int log_fd)
{
  struct spark_error unsaid;
  bool log_ended = helper_ended (&scribe->helper), teller_ended = helper_ended (&scribe->teller);

  if (log_ended)
    log_ended = start_log (scribe, run_fd, log_fd, &unsaid) == 0;
  if (teller_ended)
    teller_ended = teller_start (&scribe->teller, run_fd, &unsaid) == 0;
  return log_ended || teller_ended;
}

void
scribe_stop (struct scribe *scribe)
{
  helper_stop (&scribe->helper);
  helper_stop (&scribe->teller);
}

#include "guard/scribe.h"

#include "common/cleanup.h"
#include "common/registry.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum kind { KIND_EVENT = 'E', KIND_LOG = 'L', KIND_TOMBSTONE = 'T', KIND_DROP_CACHES = 'D' };

enum { STOP_MS = 2000 };

/* Both sides' own: the child's is a copy from the fork. */
static char message[SCRIBE_MESSAGE_MAX];

/* --- the child ----------------------------------------------------------------------------------------------------- */

static void
write_all (int fd, const char *text, size_t length)
{
  while (length > 0)
    {
      ssize_t written = write (fd, text, length);
      if (written < 0 && errno != EINTR)
        return;
      if (written > 0)
        {
          text += written;
          length -= (size_t) written;
        }
    }
}

/* The text is `<id>\n<json>`. */
static void
write_tombstone (int directory, char *text, size_t length)
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
  unlinkat (directory, temporary, 0);
  cleanup_close int fd = openat (directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return;
  write_all (fd, json, length - (size_t) (json - text));
  renameat (directory, temporary, directory, name);
}

static void
close_others (const int *keep, size_t count)
{
  /* Above all the guard's lock: while a copy of it is open, the guard would seem to live. */
  for (int fd = 3; fd < 64; fd++)
    {
      bool kept = false;
      for (size_t i = 0; i < count; i++)
        kept |= fd == keep[i];
      if (!kept)
        close (fd);
    }
  syscall (SYS_close_range, 64, ~0U, 0);
}

__attribute__ ((noreturn)) static void
scribe_main (int socket_fd, int events_fd, int tombstones_fd, int drop_caches_fd)
{
  const int keep[] = { socket_fd, events_fd, tombstones_fd, drop_caches_fd };

  close_others (keep, sizeof keep / sizeof keep[0]);
  prctl (PR_SET_NAME, "spark-scribe");
  /* It ends with the guard, by the end of the socket, not by a signal that was meant for both. */
  signal (SIGTERM, SIG_IGN);
  signal (SIGINT, SIG_IGN);
  signal (SIGHUP, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  for (;;)
    {
      ssize_t length = recv (socket_fd, message, sizeof message - 1, 0);
      if (length < 0 && errno == EINTR)
        continue;
      if (length <= 0)
        _exit (0);
      switch (message[0])
        {
        case KIND_EVENT:
          write_all (events_fd, message + 1, (size_t) length - 1);
          break;
        case KIND_LOG:
          write_all (STDERR_FILENO, message + 1, (size_t) length - 1);
          break;
        case KIND_TOMBSTONE:
          write_tombstone (tombstones_fd, message + 1, (size_t) length - 1);
          break;
        case KIND_DROP_CACHES:
          write_all (drop_caches_fd, "2\n", 2);
          break;
        default:
          break;
        }
    }
}

/* --- the guard's side ---------------------------------------------------------------------------------------------- */

static int
send_message (struct scribe *scribe, size_t length)
{
  if (scribe->socket_fd >= 0 && length <= sizeof message
      && send (scribe->socket_fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t) length)
    return 0;
  scribe->lost++;
  return -1;
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
scribe_log (struct scribe *scribe, const char *line)
{
  send_line (scribe, KIND_LOG, line);
}

void
scribe_tombstone (struct scribe *scribe, const char *id, const char *json)
{
  int length = snprintf (message, sizeof message, "%c%s\n%s\n", KIND_TOMBSTONE, id, json);

  if (length < (int) sizeof message)
    send_message (scribe, (size_t) length);
}

int
scribe_drop_caches (struct scribe *scribe)
{
  message[0] = KIND_DROP_CACHES;
  return send_message (scribe, 1);
}

int
scribe_start (struct scribe *scribe, int events_fd, int tombstones_fd, int drop_caches_fd, struct spark_error *error)
{
  int sockets[2], buffer_bytes = 1 << 20;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    return spark_fail (error, errno, "cannot make a socket for the guard's log");
  /* Room for a dozen tombstones while a disk is slow; without the right to exceed the system's limit, what that allows. */
  if (setsockopt (sockets[0], SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof buffer_bytes) != 0)
    setsockopt (sockets[0], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  pid_t pid = fork ();
  if (pid < 0)
    {
      close (sockets[0]);
      close (sockets[1]);
      return spark_fail (error, errno, "cannot start the guard's log process");
    }
  if (pid == 0)
    scribe_main (sockets[1], events_fd, tombstones_fd, drop_caches_fd);
  close (sockets[1]);
  *scribe = (struct scribe){ .socket_fd = sockets[0], .pid = pid };
  return 0;
}

void
scribe_stop (struct scribe *scribe)
{
  if (scribe->socket_fd < 0)
    return;
  shutdown (scribe->socket_fd, SHUT_WR);
  struct pollfd end = { .fd = scribe->socket_fd, .events = POLLIN };
  int ended = poll (&end, 1, STOP_MS); /* the child's end closes when it has written all */
  close (scribe->socket_fd);
  scribe->socket_fd = -1;
  waitpid (scribe->pid, NULL, ended == 1 ? 0 : WNOHANG);
}

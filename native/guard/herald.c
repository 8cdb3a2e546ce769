#include "guard/herald.h"

#include "common/cleanup.h"
#include "guard/realtime.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_NS 2000000

enum { LINE_MAX_BYTES = 1024 };

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE (sizeof (int))];
};

/* The child's copy from the fork. */
static const char *proc_path;

/* --- the child ----------------------------------------------------------------------------------------------------- */

/* A full pipe gets nothing, and nobody is waited for who does not read. */
static bool
say_in (int held_fd, const char *line, size_t length)
{
  char path[320];

  snprintf (path, sizeof path, "%s/self/fd/%d", proc_path, held_fd);
  cleanup_close int fd = open (path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_APPEND | O_CLOEXEC);
  return fd >= 0 && write (fd, line, length) == (ssize_t) length;
}

static void
work (int socket_fd, const int *fds)
{
  char line[LINE_MAX_BYTES];

  (void) fds;
  realtime_be_urgent ();
  for (;;)
    {
      union control control;
      struct iovec part = { line, sizeof line };
      struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
      cleanup_close int held_fd = -1;
      ssize_t length = recvmsg (socket_fd, &message, MSG_CMSG_CLOEXEC);

      if (length < 0 && errno == EINTR)
        continue;
      if (length <= 0)
        return;
      struct cmsghdr *header = CMSG_FIRSTHDR (&message);
      if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy (&held_fd, CMSG_DATA (header), sizeof held_fd);
      char answer = held_fd >= 0 && say_in (held_fd, line, (size_t) length) ? 'y' : 'n';
      if (send (socket_fd, &answer, 1, MSG_NOSIGNAL) != 1)
        return;
    }
}

/* --- the guard's side ---------------------------------------------------------------------------------------------- */

int
herald_start (struct herald *herald, const char *proc_dir, struct spark_error *error)
{
  proc_path = proc_dir;
  herald->unanswered = 0;
  return helper_start (&herald->helper, "spark-herald", NULL, 0, work, error);
}

static bool
take_answer (struct herald *herald, char *answer)
{
  if (recv (herald->helper.socket_fd, answer, 1, MSG_DONTWAIT) != 1)
    return false;
  herald->unanswered--;
  return true;
}

bool
herald_say (struct herald *herald, int held_fd, const char *line, size_t length)
{
  union control control = { 0 };
  struct iovec part = { (void *) (uintptr_t) line, length < LINE_MAX_BYTES ? length : LINE_MAX_BYTES };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);
  const struct timespec patience = { .tv_nsec = PATIENCE_NS };
  struct pollfd answered = { .fd = herald->helper.socket_fd, .events = POLLIN };
  char answer;

  if (herald->helper.socket_fd < 0)
    return false;
  while (herald->unanswered > 0 && take_answer (herald, &answer))
    continue;
  if (herald->unanswered > 0)
    return false;
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (sizeof held_fd);
  memcpy (CMSG_DATA (header), &held_fd, sizeof held_fd);
  if (sendmsg (herald->helper.socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return false;
  herald->unanswered++;
  return ppoll (&answered, 1, &patience, NULL) == 1 && take_answer (herald, &answer) && answer == 'y';
}

bool
herald_ended (struct herald *herald)
{
  return helper_ended (&herald->helper);
}

void
herald_stop (struct herald *herald)
{
  if (herald->helper.socket_fd < 0)
    return;
  close (herald->helper.socket_fd);
  if (herald->unanswered > 0)
    kill (herald->helper.pid, SIGKILL);
  waitpid (herald->helper.pid, NULL, herald->unanswered > 0 ? WNOHANG : 0);
  *herald = HERALD_NONE;
}

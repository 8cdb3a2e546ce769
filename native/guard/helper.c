#include "guard/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOP_MS = 2000, FIRST_FD = STDERR_FILENO + 1 };

/* --- the child ----------------------------------------------------------------------------------------------------- */

/* Moves the descriptors to the lowest numbers and closes all above. Above all the guard's lock: while a copy of it is open,
   the guard would seem to live. */
static void
keep_only (int *fds, int count)
{
  struct rlimit limit;

  /* First out of each other's way. */
  for (int i = 0; i < count; i++)
    if (fds[i] >= 0)
      fds[i] = fcntl (fds[i], F_DUPFD_CLOEXEC, FIRST_FD + count);
  for (int i = 0; i < count; i++)
    if (fds[i] >= 0)
      fds[i] = dup3 (fds[i], FIRST_FD + i, O_CLOEXEC);
    else
      close (FIRST_FD + i);
  if (syscall (SYS_close_range, FIRST_FD + count, ~0U, 0) != 0 && getrlimit (RLIMIT_NOFILE, &limit) == 0)
    for (int fd = FIRST_FD + count; fd < (int) limit.rlim_cur; fd++)
      close (fd);
}

static void
become_ordinary (const char *name)
{
  const struct sched_param none = { 0 };
  const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };

  prctl (PR_SET_NAME, name);
  sched_setscheduler (0, SCHED_OTHER, &none);
  setpriority (PRIO_PROCESS, 0, 0);
  /* It ends with the guard, by the end of the socket, not by a signal that was meant for both. */
  for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
    signal (ignored[i], SIG_IGN);
}

/* --- the guard's side ---------------------------------------------------------------------------------------------- */

int
helper_start (struct helper *helper, const char *name, const int *fds, size_t count,
              void (*work) (int socket_fd, const int *fds), struct spark_error *error)
{
  int sockets[2], kept[1 + HELPER_FDS_MAX], buffer_bytes = 1 << 20;

  *helper = HELPER_NONE;
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    return spark_fail (error, errno, "cannot make a socket for the guard's process %s", name);
  /* Room for a dozen tombstones while a disk is slow; without the right to exceed the system's limit, what that allows. */
  if (setsockopt (sockets[0], SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof buffer_bytes) != 0)
    setsockopt (sockets[0], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
  pid_t pid = fork ();
  if (pid < 0)
    {
      int status = errno;
      close (sockets[0]);
      close (sockets[1]);
      return spark_fail (error, status, "cannot start the guard's process %s", name);
    }
  if (pid == 0)
    {
      kept[0] = sockets[1];
      for (size_t i = 0; i < count; i++)
        kept[1 + i] = fds[i];
      keep_only (kept, 1 + (int) count);
      become_ordinary (name);
      work (kept[0], kept + 1);
      _exit (0);
    }
  close (sockets[1]);
  *helper = (struct helper){ .socket_fd = sockets[0], .pid = pid };
  return 0;
}

int
helper_send (const struct helper *helper, const void *message, size_t length)
{
  return helper->socket_fd >= 0 && send (helper->socket_fd, message, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t) length
             ? 0
             : -1;
}

bool
helper_ended (struct helper *helper)
{
  if (helper->pid > 0 && waitpid (helper->pid, NULL, WNOHANG) == 0)
    return false;
  if (helper->socket_fd >= 0)
    close (helper->socket_fd);
  *helper = HELPER_NONE;
  return true;
}

void
helper_stop (struct helper *helper)
{
  if (helper->socket_fd < 0)
    return;
  shutdown (helper->socket_fd, SHUT_WR);
  struct pollfd end = { .fd = helper->socket_fd, .events = POLLIN };
  int ended = poll (&end, 1, STOP_MS); /* the child's end closes when it has done all */
  close (helper->socket_fd);
  waitpid (helper->pid, NULL, ended == 1 ? 0 : WNOHANG);
  *helper = HELPER_NONE;
}

#include "guard/scribe_child.h"

#include "common/private_file.h"
#include "common/registry.h"
#include "common/write_all.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

/* A number of a kill in a message: 16 hexadecimal digits. */
enum { NUMBER_LENGTH = 16 };

/* The process of a guard before this one gets so long to end; one that is stuck on a dead disk is not waited for. */
enum { BEFORE_MS = 2000 };

size_t
child_receive (int socket_fd, char *message, size_t size)
{
  ssize_t length;

  do
    length = recv (socket_fd, message, size - 1, 0);
  while (length < 0 && errno == EINTR);
  message[length > 0 ? length : 0] = '\0';
  return length > 0 ? (size_t) length : 0;
}

void
child_say (const char *line, size_t length)
{
  struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };

  if (poll (&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0)
    return;
  /* A service manager's log is a socket, which can have too little room; a pipe that has any takes a line whole. */
  if (send (STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ENOTSOCK
      && !spark_write_all (STDERR_FILENO, line, length))
    return;
}

void
child_say_trouble (const char *what, const char *consequence)
{
  char line[SPARK_ID_MAX + 256];
  int length = snprintf (line, sizeof line, "spark-guard: cannot write %.*s (%s): %s\n", SPARK_ID_MAX + 16, what, strerrordesc_np (errno),
                         consequence);

  child_say (line, (size_t) length);
}

uint64_t
child_take_number (char **text, size_t *length)
{
  char digits[NUMBER_LENGTH + 1] = "";

  if (*length < NUMBER_LENGTH)
    return 0;
  memcpy (digits, *text, NUMBER_LENGTH);
  *text += NUMBER_LENGTH;
  *length -= NUMBER_LENGTH;
  return strtoull (digits, NULL, 16);
}

int
child_wait_for_the_one_before (int run_fd, const char *lock)
{
  int fd = spark_private_lock_open (run_fd, lock);

  for (int waited_ms = 0; fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) != 0 && waited_ms < BEFORE_MS; waited_ms++)
    poll (NULL, 0, 1);
  return fd;
}

#include "guard/guard.h"

#include "guard/clock.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The manager's socket: opened at start, so that a round opens nothing. Its address each time: the manager may bind it anew. */
static int manager_fd = -1;
static struct sockaddr_un manager = { .sun_family = AF_UNIX };
static socklen_t manager_length;
/* Of a supervising parent: its socket is connected, and has no address. */
static uint64_t parent_watchdog_ns;

static uint64_t
number_of (const char *variable)
{
  const char *text = getenv (variable);
  return text != NULL ? strtoull (text, NULL, 10) : 0;
}

void
guard_notify_by (int socket_fd, uint64_t watchdog_ns)
{
  manager_fd = socket_fd;
  parent_watchdog_ns = watchdog_ns;
}

uint64_t
guard_notify_open (void)
{
  const char *path = getenv ("NOTIFY_SOCKET");
  uint64_t watchdog_pid = number_of ("WATCHDOG_PID");

  if (parent_watchdog_ns != 0)
    return parent_watchdog_ns / 2;
  if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen (path) >= sizeof manager.sun_path)
    return 0;
  memcpy (manager.sun_path, path, strlen (path) + 1);
  if (path[0] == '@')
    manager.sun_path[0] = '\0';
  manager_length = (socklen_t) (offsetof (struct sockaddr_un, sun_path) + strlen (path));
  manager_fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (manager_fd < 0 || (watchdog_pid != 0 && watchdog_pid != (uint64_t) getpid ()))
    return 0;
  /* Half of what is asked for, as sd_watchdog_enabled(3) advises. */
  return number_of ("WATCHDOG_USEC") * (NS_PER_MS / 1000) / 2;
}

void
guard_notify (const char *text)
{
  if (manager_fd >= 0)
    sendto (manager_fd, text, strlen (text), MSG_NOSIGNAL | MSG_DONTWAIT,
            manager_length > 0 ? (const struct sockaddr *) &manager : NULL, manager_length);
}

#include "guard/guard.h"

#include "common/cleanup.h"
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void
guard_notify (const char *text)
{
  const char *path = getenv ("NOTIFY_SOCKET");
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen (path) >= sizeof address.sun_path)
    return;
  memcpy (address.sun_path, path, strlen (path));
  if (path[0] == '@')
    address.sun_path[0] = '\0';
  cleanup_close int fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd >= 0)
    sendto (fd, text, strlen (text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *) &address,
            (socklen_t) (offsetof (struct sockaddr_un, sun_path) + strlen (path)));
}

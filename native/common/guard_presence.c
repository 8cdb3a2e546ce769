#include "guard_presence.h"

#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>

static bool
state_has_line (const char *run_dir, const char *line)
{
  char path[PATH_MAX], text[1024];
  text[0] = '\n';
  snprintf (path, sizeof path, "%s/guard.state", run_dir);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  ssize_t length = fd < 0 ? -1 : read (fd, text + 1, sizeof text - 2);
  if (length <= 0)
    return false;
  text[length + 1] = '\0';
  return strstr (text, line) != NULL;
}

struct spark_guard_presence
spark_guard_presence (const char *run_dir)
{
  struct spark_guard_presence presence = { false, false };
  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/guard.lock", run_dir);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (fd < 0)
    return presence;
  presence.running = flock (fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  presence.soft = presence.running && state_has_line (run_dir, "\nsoft=1\n");
  return presence;
}

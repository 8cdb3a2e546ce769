#include "guard_presence.h"

#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

enum { STATE_TEXT_MAX = 1024 };

/* guard.state with a line break before its first line too. */
static bool
state_read (const char *run_dir, char text[STATE_TEXT_MAX])
{
  char path[PATH_MAX];
  text[0] = '\n';
  snprintf (path, sizeof path, "%s/guard.state", run_dir);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  ssize_t length = fd < 0 ? -1 : read (fd, text + 1, STATE_TEXT_MAX - 2);
  if (length <= 0)
    return false;
  text[length + 1] = '\0';
  return true;
}

/* For users who may not open the lock: what the guard says of itself, and whether that process lives. */
static bool
state_names_process (const char *text)
{
  const char *pid = strstr (text, "\npid=");
  long number = pid != NULL ? strtol (pid + 5, NULL, 10) : 0;
  return number > 0 && number <= INT_MAX && (kill ((pid_t) number, 0) == 0 || errno == EPERM);
}

struct spark_guard_presence
spark_guard_presence (const char *run_dir)
{
  struct spark_guard_presence presence = { false, false };
  char path[PATH_MAX], state[STATE_TEXT_MAX];
  snprintf (path, sizeof path, "%s/guard.lock", run_dir);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (fd < 0 && errno != EACCES)
    return presence;
  bool described = state_read (run_dir, state);
  if (fd >= 0)
    presence.running = flock (fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  else
    presence.running = described && state_names_process (state);
  presence.soft = presence.running && described && strstr (state, "\nsoft=1\n") != NULL;
  return presence;
}

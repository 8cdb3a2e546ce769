/* guard.state: docs/formats.md section 8. */
#include "guard/guard.h"

#include "common/cleanup.h"
#include "common/same_file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char temporary[] = ".guard.state.tmp", final[] = "guard.state";

static int
state_text (const struct guard *g, char *text, size_t size)
{
  return snprintf (text, size,
                   "version=1\npid=%d\nstarted_ns=%" PRIu64 "\nreserve_bytes=%" PRIu64 "\nwithhold_bytes=%" PRIu64
                   "\nready=1\nsoft=%d\nkill_by=%s\nrealtime=%d\nlocked_memory=%d\n",
                   (int) getpid (), g->started_ns, g->options.reserve_bytes, g->options.withhold_bytes, g->soft,
                   kill_by_text (g->kill_by), g->realtime.scheduled, g->realtime.locked);
}

int
guard_state_write (struct guard *g, struct spark_error *error)
{
  char text[512];
  int length = state_text (g, text, sizeof text);

  unlinkat (g->run_fd, temporary, 0);
  g->state_fd = openat (g->run_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  errno = ENOSPC; /* a short write sets none */
  if (g->state_fd < 0 || pwrite (g->state_fd, text, (size_t) length, 0) != length
      || renameat (g->run_fd, temporary, g->run_fd, final) != 0)
    {
      spark_fail (error, errno, "cannot write %s/guard.state", g->options.run_dir);
      if (g->state_fd >= 0)
        close (g->state_fd);
      g->state_fd = -1;
      unlinkat (g->run_fd, temporary, 0);
      return -1;
    }
  return 0;
}

void
guard_state_soft (struct guard *g)
{
  /* In place, without a new file: only one digit changes. */
  char text[512];
  int length = state_text (g, text, sizeof text);

  if (g->state_fd < 0 ? guard_state_write (g, NULL) != 0 : pwrite (g->state_fd, text, (size_t) length, 0) != length)
    report_sentence (&g->scribe, "warning", NULL, "cannot update guard.state: admission does not see the soft line");
}

void
guard_state_check (struct guard *g)
{
  if (g->state_fd >= 0 && spark_leads_to (g->run_fd, final, AT_SYMLINK_NOFOLLOW, g->state_fd))
    return;
  if (g->state_fd >= 0)
    close (g->state_fd);
  guard_state_write (g, NULL);
}

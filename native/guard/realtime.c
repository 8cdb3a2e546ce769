#include "guard/realtime.h"

#include "common/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Below work that is real-time by trade (audio, robots run at 50 and more), above everything else; it needs microseconds. */
enum { PRIORITY = 10, STACK_BYTES = 128 * 1024 };

static void
warn_errno (void (*warn) (const char *), const char *what, const char *consequence)
{
  char sentence[256];
  const char *reason = strerrordesc_np (errno);

  snprintf (sentence, sizeof sentence, "%s (%s): %s", what, reason != NULL ? reason : "unknown error", consequence);
  warn (sentence);
}

/* Touches the stack that the deepest call may need, so that it is there and locked. */
__attribute__ ((noinline)) static void
prefault_stack (void)
{
  volatile char stack[STACK_BYTES];

  for (size_t at = 0; at < sizeof stack; at += 1024)
    stack[at] = 0;
}

static bool
be_urgent (int priority)
{
  const struct sched_param schedule = { .sched_priority = priority };

  /* Child processes are not real-time: what they do may wait. */
  return sched_setscheduler (0, SCHED_FIFO | SCHED_RESET_ON_FORK, &schedule) == 0;
}

bool
realtime_be_urgent (void)
{
  return be_urgent (PRIORITY);
}

bool
realtime_lock_memory (void)
{
  return mlockall (MCL_CURRENT | MCL_FUTURE) == 0;
}

static bool
protect_from_oom (const char *proc_dir)
{
  char path[320];

  snprintf (path, sizeof path, "%s/self/oom_score_adj", proc_dir);
  cleanup_close int fd = open (path, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write (fd, "-1000", 5) == 5;
}

static struct realtime
enter (int priority, const char *proc_dir, void (*warn) (const char *))
{
  struct realtime got = { 0 };

  prefault_stack ();
  got.locked = realtime_lock_memory ();
  if (!got.locked)
    warn_errno (warn, "cannot lock its memory", "under pressure it may wait for its own pages");

  got.scheduled = be_urgent (priority);
  if (!got.scheduled)
    {
      warn_errno (warn, "cannot run with real-time priority", "a busy processor may delay a kill");
      setpriority (PRIO_PROCESS, 0, -20);
    }
  prctl (PR_SET_TIMERSLACK, 1UL);

  got.unkillable = protect_from_oom (proc_dir);
  if (!got.unkillable)
    warn_errno (warn, "cannot set its oom_score_adj to -1000", "the kernel's OOM killer may choose the guard");
  return got;
}

struct realtime
realtime_enter (const char *proc_dir, void (*warn) (const char *))
{
  return enter (PRIORITY, proc_dir, warn);
}

struct realtime
realtime_enter_above (const char *proc_dir, void (*warn) (const char *))
{
  return enter (PRIORITY + 1, proc_dir, warn);
}

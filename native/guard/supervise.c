#include "guard/supervise.h"

#include "common/guard_presence.h"
#include "guard/clock.h"
#include "guard/guard.h"
#include "guard/helper.h"
#include "guard/patience.h"
#include "guard/realtime.h"
#include "guard/scribe_child.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A self-test on a loaded machine takes its time: as much as the systemd unit gives it. */
#define START_NS (30 * NS_PER_SECOND)
/* Asked to end, it ends or is killed while whoever asked still waits (`spark-run uninstall`: 5 s). */
#define STOP_NS (4 * NS_PER_SECOND)
/* One that did not die of SIGKILL by then hangs in the kernel. */
#define DEATH_NS (2 * NS_PER_SECOND)
#define RETRY_NS (1 * NS_PER_SECOND)

enum { NAME_SIZE = 16 };

/* What is done with the guard: none runs, it starts, it is listened to, it was asked to end, it was sent SIGKILL. */
enum phase { PHASE_NONE, PHASE_STARTING, PHASE_WATCHED, PHASE_STOPPING, PHASE_DYING };

struct supervisor {
  const struct guard_options *options;
  int (*guard) (const struct guard_options *options);
  char guard_name[NAME_SIZE];
  struct realtime realtime;
  struct helper voice;
  struct fair_clock clock;
  int signal_fd, socket_fd; /* our end of the pair through which the guard says that it lives, -1 = none */
  int ready_fd;             /* for the first guard only */
  enum phase phase;
  pid_t pid;
  uint64_t born_ns, since_ns; /* of the guard, of the phase or of its last sign of life */
  uint64_t start_ns;          /* when the next one is started */
  uint64_t silence_ns, pause_ns;
  bool ask_lock; /* another guard may hold the lock: that is looked at before one is started */
  bool held_told, stop, ended;
  int exit_code;
};

/* --- words --------------------------------------------------------------------------------------------------------- */

static void
voice_work (int socket_fd, const int *fds)
{
  char line[512];

  (void) fds;
  for (ssize_t length; (length = recv (socket_fd, line, sizeof line, 0)) > 0;)
    child_say (line, (size_t) length);
}

/* By a process of its own: stderr is a file, and its disk may not answer just when the guard has to be replaced. */
static void __attribute__ ((format (printf, 2, 3)))
say (struct supervisor *s, const char *format, ...)
{
  char line[512] = "spark-guard-supervisor: ";
  size_t used = strlen (line);
  struct spark_error unsaid;
  va_list arguments;

  va_start (arguments, format);
  vsnprintf (line + used, sizeof line - used - 1, format, arguments);
  va_end (arguments);
  strcat (line, "\n");
  if (helper_ended (&s->voice) && helper_start (&s->voice, "guard-voice", NULL, 0, voice_work, &unsaid) == 0
      && s->realtime.locked)
    realtime_lock_memory ();
  helper_send (&s->voice, line, strlen (line));
}

/* The guard, which goes through the same, says what is not allowed and what it means. */
static void
leave_to_the_guard (const char *sentence)
{
  (void) sentence;
}

/* --- the guard's birth --------------------------------------------------------------------------------------------- */

/* In the child. Nothing has it die with its parent (PR_SET_PDEATHSIG): a supervisor that was killed is no reason to leave the host
   unguarded. Such a guard goes on, and ends by a signal to itself. */
static void __attribute__ ((noreturn))
become_guard (const struct supervisor *s, int guard_end)
{
  struct guard_options options = *s->options;
  sigset_t child;

  options.ready_fd = s->ready_fd;
  close (s->signal_fd);
  close (s->socket_fd);
  if (s->voice.socket_fd >= 0)
    close (s->voice.socket_fd);
  prctl (PR_SET_NAME, s->guard_name);
  /* The signals that it takes stay blocked: one that comes before it listens is not lost. */
  sigemptyset (&child);
  sigaddset (&child, SIGCHLD);
  sigprocmask (SIG_UNBLOCK, &child, NULL);
  guard_notify_by (guard_end, s->silence_ns);
  _exit (s->guard (&options));
}

/* A fork without exec: a new guard needs no disk, and is the program that was started, whatever lies in its place by now. */
static void
start (struct supervisor *s)
{
  int pair[2] = { -1, -1 };

  if (socketpair (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0)
    {
      /* A pair has no name, and each guard has its own: neither a container nor a guard left behind can speak for the guard. */
      s->socket_fd = pair[0];
      s->pid = fork ();
    }
  if (pair[0] < 0 || s->pid < 0)
    {
      int status = errno;
      s->start_ns = s->clock.now_ns + patience_pause_ns (0, &s->pause_ns);
      if (pair[0] >= 0)
        close (pair[0]);
      if (pair[1] >= 0)
        close (pair[1]);
      s->socket_fd = -1;
      say (s, "cannot start a guard (%s): trying again in %llu s", strerrordesc_np (status),
           (unsigned long long) (s->pause_ns / NS_PER_SECOND));
      return;
    }
  if (s->pid == 0)
    become_guard (s, pair[1]);
  close (pair[1]);
  /* Whoever waits at that pipe learns by its end that the first guard is gone. */
  if (s->ready_fd >= 0)
    close (s->ready_fd);
  s->ready_fd = -1;
  if (s->realtime.locked)
    realtime_lock_memory ();
  s->phase = PHASE_STARTING;
  s->born_ns = s->since_ns = s->clock.now_ns;
  s->held_told = false;
}

/* --- its life ------------------------------------------------------------------------------------------------------ */

static void
enter (struct supervisor *s, enum phase phase)
{
  s->phase = phase;
  s->since_ns = s->clock.now_ns;
}

static void
lose (struct supervisor *s, uint64_t pause_ns)
{
  if (s->socket_fd >= 0)
    close (s->socket_fd);
  s->socket_fd = -1;
  s->pid = -1;
  s->phase = PHASE_NONE;
  s->start_ns = s->clock.now_ns + pause_ns;
}

static void
hear (struct supervisor *s)
{
  char said[64];

  for (ssize_t length; s->socket_fd >= 0 && (length = recv (s->socket_fd, said, sizeof said - 1, MSG_DONTWAIT)) >= 0;)
    {
      said[length] = '\0';
      if (s->phase == PHASE_STARTING && strncmp (said, "READY=1", 7) == 0)
        enter (s, PHASE_WATCHED);
      else if (s->phase == PHASE_WATCHED && strcmp (said, "WATCHDOG=1") == 0)
        s->since_ns = s->clock.now_ns;
    }
}

static void
end (struct supervisor *s, int exit_code)
{
  s->ended = true;
  s->exit_code = exit_code;
}

static void
bury (struct supervisor *s, int status)
{
  bool by_us = s->phase == PHASE_DYING, clean = WIFEXITED (status) && WEXITSTATUS (status) == 0;
  pid_t pid = s->pid;
  uint64_t pause_ns = by_us ? 0 : patience_pause_ns (s->clock.now_ns - s->born_ns, &s->pause_ns);

  lose (s, pause_ns);
  if (clean || s->stop)
    {
      end (s, clean ? 0 : 1);
      return;
    }
  /* It may have found the lock taken. */
  s->ask_lock |= WIFEXITED (status);
  if (!by_us)
    say (s, "the guard (process %d) %s %d: it is started again in %llu s", (int) pid,
         WIFEXITED (status) ? "ended with exit code" : "was ended by signal",
         WIFEXITED (status) ? WEXITSTATUS (status) : WTERMSIG (status), (unsigned long long) (pause_ns / NS_PER_SECOND));
}

static void
reap (struct supervisor *s)
{
  int status;

  /* Also those left behind, and the voice. */
  for (pid_t pid; (pid = waitpid (-1, &status, WNOHANG)) > 0;)
    if (pid == s->pid)
      bury (s, status);
    else if (pid == s->voice.pid)
      helper_ended (&s->voice);
}

static void
take_signals (struct supervisor *s)
{
  struct signalfd_siginfo signal;

  while (read (s->signal_fd, &signal, sizeof signal) == (ssize_t) sizeof signal)
    {
      if (signal.ssi_signo == SIGCHLD)
        continue;
      if (s->pid > 0)
        kill (s->pid, (int) signal.ssi_signo);
      if (signal.ssi_signo == SIGHUP)
        continue;
      s->stop = true;
      if (s->pid < 0)
        end (s, 0);
      else if (s->phase != PHASE_DYING && s->phase != PHASE_STOPPING)
        enter (s, PHASE_STOPPING);
    }
}

static void __attribute__ ((format (printf, 2, 3)))
put_down (struct supervisor *s, const char *format, ...)
{
  char why[160];
  va_list arguments;

  /* SIGABRT, for a core, would be pointless: one that was stopped does not take it. */
  if (s->pid > 0)
    kill (s->pid, SIGKILL);
  enter (s, PHASE_DYING);
  va_start (arguments, format);
  vsnprintf (why, sizeof why, format, arguments);
  va_end (arguments);
  say (s, "the guard (process %d) did not %s: it is killed%s", (int) s->pid, why, s->stop ? "" : " and started again");
}

static void
leave_behind (struct supervisor *s)
{
  pid_t pid = s->pid;

  lose (s, 0);
  s->ask_lock = true;
  say (s, "the guard (process %d) does not die, it hangs in the kernel: %s", (int) pid,
       s->stop ? "it is left behind"
               : "it is left behind, and a new one is tried every second; while it holds guard.lock, containers are started "
                 "although nothing keeps the reserve");
  if (s->stop)
    end (s, 1);
}

static void
start_if_free (struct supervisor *s)
{
  if (!s->ask_lock || !spark_guard_presence (s->options->run_dir).running)
    {
      s->ask_lock = false;
      start (s);
      return;
    }
  s->start_ns = s->clock.now_ns + RETRY_NS;
  if (!s->held_told)
    say (s, "another guard holds %s/guard.lock: one is started here as soon as that one ends", s->options->run_dir);
  s->held_told = true;
}

static void
judge (struct supervisor *s)
{
  uint64_t now_ns = s->clock.now_ns, passed_ns = now_ns - s->since_ns;
  bool seconds = s->silence_ns % NS_PER_SECOND == 0;

  switch (s->phase)
    {
    case PHASE_NONE:
      if (now_ns >= s->start_ns)
        start_if_free (s);
      return;
    case PHASE_STARTING:
      if (passed_ns >= START_NS)
        put_down (s, "become ready within %llu s", (unsigned long long) (START_NS / NS_PER_SECOND));
      return;
    case PHASE_WATCHED:
      if (passed_ns >= s->silence_ns)
        put_down (s, "answer for %llu %s", (unsigned long long) (s->silence_ns / (seconds ? NS_PER_SECOND : NS_PER_MS)),
                  seconds ? "s" : "ms");
      return;
    case PHASE_STOPPING:
      if (passed_ns >= STOP_NS)
        put_down (s, "end within %llu s of being asked to", (unsigned long long) (STOP_NS / NS_PER_SECOND));
      return;
    case PHASE_DYING:
      if (passed_ns >= DEATH_NS)
        leave_behind (s);
      return;
    }
}

/* --- the whole ----------------------------------------------------------------------------------------------------- */

static int
open_signals (void)
{
  const int taken[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
  sigset_t set;

  guard_ignore_signals ();
  sigemptyset (&set);
  for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
    {
      sigaddset (&set, taken[i]);
      signal (taken[i], SIG_DFL); /* what is ignored does not arrive */
    }
  sigprocmask (SIG_BLOCK, &set, NULL);
  return signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
guard_supervise (const struct guard_options *options, int (*guard) (const struct guard_options *options))
{
  static struct supervisor s;

  s = (struct supervisor){ .options = options, .guard = guard, .voice = HELPER_NONE, .socket_fd = -1, .pid = -1,
                           .ready_fd = options->ready_fd, .silence_ns = options->watchdog_ms * NS_PER_MS };
  fair_clock_start (&s.clock, s.silence_ns);
  s.signal_fd = open_signals ();
  if (s.signal_fd < 0)
    {
      fprintf (stderr, "spark-guard: cannot receive signals: %s.\n", strerrordesc_np (errno));
      return 1;
    }
  prctl (PR_GET_NAME, s.guard_name);
  prctl (PR_SET_NAME, "guard-supervise"); /* by "spark-guard" the guard itself is known */
  s.realtime = realtime_enter_above (options->proc_dir, leave_to_the_guard);
  start (&s);
  while (!s.ended)
    {
      struct pollfd news[] = { { .fd = s.socket_fd, .events = POLLIN }, { .fd = s.signal_fd, .events = POLLIN } };
      const struct timespec tick = { .tv_sec = (time_t) (s.clock.tick_ns / NS_PER_SECOND),
                                     .tv_nsec = (long) (s.clock.tick_ns % NS_PER_SECOND) };

      ppoll (news, 2, &tick, NULL);
      fair_clock_look (&s.clock);
      /* Whoever wakes late finds what was said meanwhile: it is heard before anybody is judged. */
      hear (&s);
      take_signals (&s);
      reap (&s);
      if (!s.ended)
        judge (&s);
    }
  helper_stop (&s.voice);
  close (s.signal_fd);
  return s.exit_code;
}

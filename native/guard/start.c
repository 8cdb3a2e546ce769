/* Everything that can fail or allocate, before the first round; and the end. */
#include "guard/guard.h"

#include "common/cleanup.h"
#include "common/private_file.h"
#include "common/size.h"
#include "guard/calm.h"
#include "guard/clock.h"
#include "guard/devices.h"
#include "guard/psi.h"
#include "guard/scribe_child.h"
#include "guard/selftest.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

/* Whoever only asks whether a guard lives holds the lock for microseconds, a child of a guard that was killed at its start until a
   busy machine lets it run; a guard holds it on. */
enum { LOCK_TRIES = 200, LOCK_RETRY_MS = 10, SIZE_TEXT = 24 };

/* Its own descriptors and some containers; as many as it can ever use; what the stack is touched for (realtime.c), and room above. */
enum { FILES_NEEDED = 64, FILES_WANTED = 4096, STACK_BYTES = 512 << 10 };

static void
say (const char *sentence)
{
  char line[1200];
  int length = snprintf (line, sizeof line, "spark-guard: %s\n", sentence);

  child_say (line, (size_t) length); /* nobody listens: no reason not to guard */
}

/* A full or read-only disk is no reason not to guard. */
static void
say_trouble (int status, const char *what, const char *consequence)
{
  char sentence[256];

  snprintf (sentence, sizeof sentence, "%s (%s): %s", what, strerrordesc_np (status), consequence);
  say (sentence);
}

/* Opens a directory, making it and its parents where they are missing. What is there already is not made again: that would wait for
   the disk. */
static int
open_directory (const char *path, struct spark_error *error)
{
  char partial[256];
  int there = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (there >= 0)
    return there;
  for (size_t at = 1; at <= strlen (path); at++)
    if (path[at] == '/' || path[at] == '\0')
      {
        memcpy (partial, path, at);
        partial[at] = '\0';
        mkdir (partial, 0755);
      }
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return spark_fail (error, errno, "cannot open the directory %s: create it, or name another one", path);
  return fd;
}

static int
take_lock (struct guard *g, struct spark_error *error)
{
  g->lock_fd = spark_private_lock_open (g->run_fd, "guard.lock");
  if (g->lock_fd < 0)
    return spark_fail (error, errno, "cannot open %s/guard.lock", g->options.run_dir);
  for (int tries = 0; flock (g->lock_fd, LOCK_EX | LOCK_NB) != 0; tries++)
    {
      if (errno != EWOULDBLOCK)
        return spark_fail (error, errno, "cannot lock %s/guard.lock", g->options.run_dir);
      if (tries == LOCK_TRIES)
        return spark_fail (error, 0, "another guard already watches %s: end it first, or use another --run-dir", g->options.run_dir);
      poll (NULL, 0, LOCK_RETRY_MS);
    }
  return 0;
}

/* From where meminfo is: the kernel's books are about one machine. */
static int
open_beside (const char *meminfo, const char *name)
{
  char path[320];
  const char *slash = strrchr (meminfo, '/');
  int directory_length = slash != NULL ? (int) (slash + 1 - meminfo) : 0;

  return snprintf (path, sizeof path, "%.*s%s", directory_length, meminfo, name) < (int) sizeof path ? open (path, O_RDONLY | O_CLOEXEC) : -1;
}

static int
open_files (struct guard *g, struct spark_error *error)
{
  const struct guard_options *o = &g->options;

  g->run_fd = open_directory (o->run_dir, error);
  if (g->run_fd < 0)
    return -1;
  g->log_fd = open_directory (o->log_dir, error);
  if (g->log_fd < 0 || take_lock (g, error) != 0)
    return -1;
  g->meminfo_fd = open (o->meminfo, O_RDONLY | O_CLOEXEC);
  if (g->meminfo_fd < 0 || spark_meminfo_read (g->meminfo_fd, o->withhold_bytes, &g->memory) != 0)
    return spark_fail (error, errno, "cannot read MemTotal and MemAvailable from %s", o->meminfo);
  g->vmstat_fd = open_beside (o->meminfo, "vmstat");
  g->zoneinfo_fd = open_beside (o->meminfo, "zoneinfo");
  g->drop_caches_fd = open (o->drop_caches, O_WRONLY | O_CLOEXEC);
  g->psi_fd = psi_open (o->proc_dir);
  g->psi_permille = -1;
  return 0;
}

static int
check_reserve (const struct guard *g, struct spark_error *error)
{
  char reserve[SIZE_TEXT], total[SIZE_TEXT];

  if (g->options.reserve_bytes < g->memory.total_bytes)
    return 0;
  if (g->memory.total_bytes == 0)
    return spark_fail (error, 0, "all of this machine's memory is withheld: give a smaller --withhold-bytes");
  return spark_fail (error, 0, "the reserve of %s is not less than the %s of memory of this machine%s: give a smaller --reserve-bytes",
                     spark_size_format (g->options.reserve_bytes, reserve, sizeof reserve),
                     spark_size_format (g->memory.total_bytes, total, sizeof total),
                     g->options.withhold_bytes > 0 ? " (after --withhold-bytes)" : "");
}

void
guard_ignore_signals (void)
{
  static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGXFSZ, SIGXCPU };

  for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
    signal (ignored[i], SIG_IGN);
  for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
    signal (number, SIG_IGN);
}

static int
open_signals (struct guard *g, struct spark_error *error)
{
  sigset_t taken;

  guard_ignore_signals ();
  sigemptyset (&taken);
  sigaddset (&taken, SIGTERM);
  sigaddset (&taken, SIGINT);
  sigaddset (&taken, SIGHUP); /* the log was rotated; so closing the terminal it was started from does not end a guard */
  signal (SIGHUP, SIG_DFL);   /* nohup(1) ignores it, and what is ignored does not arrive */
  if (sigprocmask (SIG_BLOCK, &taken, NULL) != 0)
    return spark_fail (error, errno, "cannot block signals");
  g->signal_fd = signalfd (-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
  return g->signal_fd < 0 ? spark_fail (error, errno, "cannot receive signals") : 0;
}

static int
raise_limits (struct spark_error *error)
{
  struct rlimit files, stack;

  if (getrlimit (RLIMIT_STACK, &stack) == 0 && stack.rlim_cur < STACK_BYTES)
    {
      stack.rlim_cur = stack.rlim_max < STACK_BYTES ? stack.rlim_max : STACK_BYTES;
      setrlimit (RLIMIT_STACK, &stack);
      if (stack.rlim_cur < STACK_BYTES)
        return spark_fail (error, 0, "this guard may use %llu KiB of stack (ulimit -s), it needs %d: allow that",
                           (unsigned long long) stack.rlim_cur >> 10, STACK_BYTES >> 10);
    }
  /* Eight files for each container, and four books of huge pages. */
  if (getrlimit (RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_WANTED)
    {
      files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
      setrlimit (RLIMIT_NOFILE, &files);
      if (files.rlim_cur < FILES_NEEDED)
        return spark_fail (error, 0, "this guard may have %llu files open (ulimit -n), it needs at least %d: allow that",
                           (unsigned long long) files.rlim_cur, FILES_NEEDED);
    }
  return 0;
}

static void
hear_table (enum table_news news, const struct entry *entry, const char *sentence, void *data)
{
  struct guard *g = data;

  if (news == TABLE_WARNING)
    report_sentence (&g->scribe, "warning", entry != NULL ? entry->id : NULL, sentence);
  else
    report_container (&g->scribe, news == TABLE_REGISTERED ? "register" : "unregister", entry);
}

static unsigned
containers (const struct guard *g)
{
  unsigned count = 0;

  for (unsigned i = 0; i < g->table.count; i++)
    count += g->table.entries[i].used;
  return count;
}

static void
say_start (const struct guard *g)
{
  char total[SIZE_TEXT], reserve[SIZE_TEXT], sentence[256];

  snprintf (sentence, sizeof sentence, "watching %s of memory, of which %s always stay available; %u container%s registered",
            spark_size_format (g->memory.total_bytes, total, sizeof total),
            spark_size_format (g->options.reserve_bytes, reserve, sizeof reserve), containers (g),
            containers (g) == 1 ? "" : "s");
  say (sentence);
  snprintf (sentence, sizeof sentence, "kills by %s%s%s", kill_by_text (g->kill_by),
            g->realtime.scheduled ? ", runs with real-time priority" : "", g->realtime.locked ? ", is locked in memory" : "");
  say (sentence);
}

int
guard_start (struct guard *g, const struct guard_options *options, struct spark_error *error)
{
  static struct intent under_way;

  memset (g, 0, sizeof *g);
  g->options = *options;
  g->run_fd = g->lock_fd = g->log_fd = g->intent_fd = g->calm_fd = g->meminfo_fd = g->vmstat_fd = g->zoneinfo_fd = g->state_fd = g->signal_fd = g->drop_caches_fd = -1;
  g->herald = HERALD_NONE;
  g->scribe.helper = g->scribe.teller = g->shrinker = HELPER_NONE;
  g->watchdog_ns = guard_notify_open ();
  g->started_ns = clock_boot_ns ();
  g->reserve_bytes = options->reserve_bytes;
  struct entry_place place = { options->proc_dir, options->cgroup_root, options->allow_process_groups };

  if (raise_limits (error) != 0)
    return -1;
  if (open_files (g, error) != 0 || check_reserve (g, error) != 0)
    return -1;
  boot_id_read (options->proc_dir);
  g->intent_fd = intent_open (g->run_fd, &under_way);
  intent_pin (g->intent_fd);
  if (g->intent_fd < 0)
    say_trouble (errno, "cannot make " INTENT_FILE, "a guard that takes this one's place will not know of a kill under way");
  if (calm_open (g) != 0)
    say_trouble (errno, "cannot make " CALM_FILE, "a guard that is started in a shortage will not know how things were before it");
  g->kill_by = selftest_run (&place, error);
  if (g->kill_by == KILL_BY_NOTHING || open_signals (g, error) != 0
      || scribe_start (&g->scribe, g->run_fd, g->log_fd, error) != 0 || herald_start (&g->herald, options->proc_dir, error) != 0
      || (g->drop_caches_fd >= 0 && shrinker_start (&g->shrinker, g->drop_caches_fd, error) != 0))
    return -1;
  report_start (&g->scribe, g->memory.total_bytes, g->memory.available_bytes, options->reserve_bytes, options->withhold_bytes,
                kill_by_text (g->kill_by));
  const struct table_listener listener = { hear_table, g };
  if (table_open (&g->table, g->run_fd, &place, &listener, error) != 0)
    return -1;
  guard_resume (g, &under_way);

  /* Those that ran before this guard are looked at as a whole now; those that come later, in passing. */
  devices_find (g->table.entries, g->table.count, &g->device_turn, options->proc_dir, 0);
  guard_read_use (g, 0);
  g->realtime = realtime_enter (options->proc_dir, say);
  g->soft = decide_soft (false, g->memory.available_bytes, g->reserve_bytes, -1);
  if (g->soft)
    guard_start_short (g, clock_boot_ns ());
  else
    guard_take_stock (g, clock_boot_ns ());
  if (guard_state_write (g, error) != 0)
    say_trouble (error->status, "cannot write guard.state", "until it can be written, admission does not see the soft line");
  say_start (g);
  guard_notify ("READY=1\nSTATUS=watching");
  if (options->ready_fd >= 0)
    {
      if (write (options->ready_fd, "\n", 1) != 1)
        say ("nobody reads --ready-fd");
      close (options->ready_fd);
    }
  return 0;
}

void
guard_stop (struct guard *g)
{
  guard_notify ("STOPPING=1");
  report_sentence (&g->scribe, "stop", NULL, "the guard ends: until another one starts, nothing keeps the reserve");
  unlinkat (g->run_fd, "guard.state", 0);
  /* First of all: a helper that is stuck is waited for, and that time the next guard must not wait for. */
  close (g->lock_fd);
  scribe_stop (&g->scribe);
  herald_stop (&g->herald);
  helper_stop (&g->shrinker);
  for (unsigned i = 0; i < g->table.count; i++)
    if (g->table.entries[i].used)
      entry_close (&g->table.entries[i]);
  int fds[] = { g->table.registry_fd, g->table.ledgers_fd, g->table.sweep.fd, g->table.admission_fd, g->table.inotify_fd, g->meminfo_fd, g->vmstat_fd, g->zoneinfo_fd, g->state_fd,
                g->signal_fd, g->intent_fd, g->calm_fd, g->log_fd, g->drop_caches_fd, g->run_fd };
  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
    if (fds[i] >= 0)
      close (fds[i]);
}

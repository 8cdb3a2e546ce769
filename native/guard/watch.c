#include "guard/guard.h"

#include "common/same_file.h"
#include "guard/calm.h"
#include "guard/clock.h"
#include "guard/devices.h"
#include "guard/psi.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#define HOUSEKEEPING_NS (1 * NS_PER_SECOND)
/* Stock is taken this often while memory is plentiful, and use is refreshed this often while it is short. */
#define STOCK_NS (5 * NS_PER_SECOND)
#define REFRESH_NS (100 * NS_PER_MS)
/* So long, at each housekeeping, is looked for containers that use a GPU. */
#define DEVICES_NS (1 * NS_PER_MS)
/* And so long is looked through registry files of containers that it does not know. */
#define SWEEP_NS (1 * NS_PER_MS)
/* With less sleep than this ahead, nothing is done that could wait. */
#define UNHURRIED_NS (5 * NS_PER_MS)
/* While a container dies: often enough to see it, and to strike again at what forks. */
#define FOLLOW_NS (2 * NS_PER_MS)
/* A meminfo that cannot be read is tried again so often. */
#define RETRY_NS (10 * NS_PER_MS)
#define PSI_NS (500 * NS_PER_MS)

static void
watch_soft_line (struct guard *g)
{
  bool soft = decide_soft (g->soft, g->memory.available_bytes, g->reserve_bytes, g->psi_permille);

  if (soft == g->soft)
    return;
  g->soft = soft;
  g->foreign_told = false;
  guard_state_soft (g);
  report_soft (&g->scribe, soft, g->memory.available_bytes, g->reserve_bytes, g->psi_permille);
}

static void
revive_helpers (struct guard *g)
{
  struct spark_error unsaid;
  bool scribe = scribe_revive (&g->scribe, g->run_fd, g->log_fd);
  bool herald = herald_ended (&g->herald) && herald_start (&g->herald, g->options.proc_dir, &unsaid) == 0;
  bool shrinker = g->drop_caches_fd >= 0 && helper_ended (&g->shrinker)
                  && shrinker_start (&g->shrinker, g->drop_caches_fd, &unsaid) == 0;

  if ((scribe || herald || shrinker) && g->realtime.locked)
    realtime_lock_memory ();
  if (scribe)
    report_sentence (&g->scribe, "warning", NULL, "the guard's log process ended and was started again: events may be missing");
}

static void
tell_lost (struct guard *g)
{
  char sentence[160];
  uint64_t lost = g->scribe.lost;

  if (lost == g->lost_told)
    return;
  snprintf (sentence, sizeof sentence, "%llu events, log lines or tombstones were lost, because nobody took them in time (a disk that does not answer?)",
            (unsigned long long) (lost - g->lost_told));
  report_sentence (&g->scribe, "warning", NULL, sentence);
  if (g->scribe.lost == lost)
    g->lost_told = lost;
  g->scribe.lost = lost; /* this sentence itself is no loss: it is said again */
}

/* Without its directories it would hear of no container any more, without its lock nobody would see it, and another one would act beside
   it: whoever keeps it running starts one that makes them anew. */
static void
end_unseen (struct guard *g, const char *what)
{
  char sentence[160];

  snprintf (sentence, sizeof sentence, "%s was removed or moved away under the guard: it ends, to be started again", what);
  report_sentence (&g->scribe, "warning", NULL, sentence);
  g->stop = g->failed = true;
}

/* What could not be made at start because /run was full, or was taken away since. */
static void
make_missing (struct guard *g)
{
  static struct intent unread;

  guard_state_check (g);
  if (g->intent_fd < 0)
    {
      g->intent_fd = intent_open (g->run_fd, &unread);
      intent_pin (g->intent_fd);
    }
  if (g->calm_fd < 0)
    calm_open (g);
}

static void
keep_house (struct guard *g, uint64_t now_ns)
{
  g->housekept_ns = now_ns;
  if (table_check (&g->table, g->options.run_dir) != 0)
    {
      end_unseen (g, "the run directory");
      return;
    }
  if (!spark_leads_to (g->run_fd, "guard.lock", AT_SYMLINK_NOFOLLOW, g->lock_fd))
    {
      end_unseen (g, "guard.lock");
      return;
    }
  table_sweep (&g->table, clock_boot_ns () + SWEEP_NS);
  revive_helpers (g);
  tell_lost (g);
  make_missing (g);
  devices_find (g->table.entries, g->table.count, &g->device_turn, g->options.proc_dir, clock_boot_ns () + DEVICES_NS);
  if (!g->soft && now_ns - g->calm_ns >= STOCK_NS)
    guard_take_stock (g, now_ns);
}

/* Memory cannot be read: what can be done without is done, and admission is closed until it is known to be plentiful. */
static uint64_t
stay_blind (struct guard *g)
{
  uint64_t now_ns = clock_boot_ns ();

  if (!g->meminfo_told)
    report_sentence (&g->scribe, "warning", NULL,
                     "cannot read how much memory is available: trying again until it can, no new containers are admitted");
  g->meminfo_told = true;
  if (!g->soft)
    {
      g->soft = true;
      guard_state_soft (g);
    }
  if (g->victim != NULL)
    guard_follow (g, now_ns);
  if (now_ns - g->housekept_ns >= HOUSEKEEPING_NS)
    keep_house (g, now_ns);
  return RETRY_NS;
}

uint64_t
guard_step (struct guard *g)
{
  table_sync (&g->table);
  if (spark_meminfo_read (g->meminfo_fd, g->options.withhold_bytes, &g->memory) != 0)
    return stay_blind (g);
  if (g->meminfo_told)
    report_sentence (&g->scribe, "warning", NULL, "how much memory is available can be read again");
  g->meminfo_told = false;

  uint64_t now_ns = clock_boot_ns (), available_bytes = g->memory.available_bytes;
  samples_add (&g->samples, now_ns, available_bytes);
  g->reserve_bytes = table_reserve (&g->table, g->options.reserve_bytes, available_bytes);
  uint64_t sleep_ns = decide_sleep_ns (available_bytes, g->reserve_bytes);

  if (g->victim != NULL)
    {
      guard_follow (g, now_ns);
      if (sleep_ns > FOLLOW_NS)
        sleep_ns = FOLLOW_NS;
    }
  else
    {
      struct judgement judgement = decide (&g->samples, g->reserve_bytes);
      if (judgement.verdict != VERDICT_CALM)
        guard_strike (g, &judgement, now_ns);
    }
  /* Far from the reserve it says nothing that matters; the kernel makes it anew every 2 s. */
  if (g->psi_fd >= 0 && available_bytes / 4 < g->reserve_bytes && now_ns - g->psi_read_ns >= PSI_NS)
    {
      g->psi_read_ns = now_ns;
      g->psi_permille = psi_full_permille (g->psi_fd);
    }
  watch_soft_line (g);

  /* After a strike the host is short for as long as the victim takes to die, and there is nothing better to do. */
  if (sleep_ns >= UNHURRIED_NS || now_ns - g->housekept_ns >= 2 * HOUSEKEEPING_NS)
    {
      if (now_ns - g->housekept_ns >= HOUSEKEEPING_NS)
        keep_house (g, now_ns);
      if (g->soft && now_ns - g->refreshed_ns >= REFRESH_NS)
        {
          g->refreshed_ns = now_ns;
          if (guard_read_use (g, now_ns + 2 * NS_PER_MS))
            guard_mark (g, now_ns);
        }
    }
  return sleep_ns;
}

static void
take_signal (struct guard *g)
{
  struct signalfd_siginfo signal;

  if (read (g->signal_fd, &signal, sizeof signal) != (ssize_t) sizeof signal)
    return;
  if (signal.ssi_signo == SIGHUP)
    scribe_reopen (&g->scribe);
  else
    g->stop = true;
}

static void
tell_alive (struct guard *g)
{
  uint64_t now_ns = clock_boot_ns ();

  if (g->watchdog_ns == 0 || now_ns - g->watchdog_told_ns < g->watchdog_ns)
    return;
  g->watchdog_told_ns = now_ns;
  guard_notify ("WATCHDOG=1");
}

void
guard_watch (struct guard *g)
{
  struct pollfd news[] = { { .fd = g->table.inotify_fd, .events = POLLIN }, { .fd = g->signal_fd, .events = POLLIN } };

  while (!g->stop)
    {
      uint64_t sleep_ns = guard_step (g);
      struct timespec sleep = { .tv_sec = (time_t) (sleep_ns / NS_PER_SECOND), .tv_nsec = (long) (sleep_ns % NS_PER_SECOND) };

      tell_alive (g);
      if (!g->stop && ppoll (news, 2, &sleep, NULL) > 0 && (news[1].revents & POLLIN) != 0)
        take_signal (g);
    }
}

int
guard_run (const struct guard_options *options)
{
  static struct guard guard;
  struct spark_error error;

  if (guard_start (&guard, options, &error) != 0)
    {
      fprintf (stderr, "spark-guard: %s.\n", error.text);
      return 1;
    }
  guard_watch (&guard);
  guard_stop (&guard);
  return guard.failed ? 1 : 0;
}

/* The guard as a whole: everything it holds, made at start, nothing added later. */
#ifndef SPARK_GUARD_GUARD_H
#define SPARK_GUARD_GUARD_H

#include "common/error.h"
#include "common/meminfo.h"
#include "guard/decide.h"
#include "guard/herald.h"
#include "guard/intent.h"
#include "guard/options.h"
#include "guard/realtime.h"
#include "guard/report.h"
#include "guard/samples.h"
#include "guard/scribe.h"
#include "guard/shrinker.h"
#include "guard/stock.h"
#include "guard/table.h"

struct guard {
  struct guard_options options;
  struct table table;
  struct samples samples;
  struct scribe scribe;
  struct helper shrinker;
  struct herald herald;
  struct stock calm; /* when memory was last plentiful, or at the start where that is not known */
  bool calm_known;
  struct stock marks[STOCK_MARKS];
  unsigned last_mark;
  struct realtime realtime;
  unsigned usage_turn, device_turn; /* whose processes are looked at next */
  enum kill_by kill_by;
  int psi_fd, psi_permille; /* -1 = the kernel does not tell */
  uint64_t psi_read_ns;
  int run_fd, lock_fd, log_fd, intent_fd, calm_fd, meminfo_fd, vmstat_fd, zoneinfo_fd, state_fd, signal_fd, drop_caches_fd;
  uint64_t started_ns;
  uint64_t reserve_bytes; /* in force: the host's, or a container's larger one */
  struct spark_meminfo memory; /* last reading */
  bool soft, stop;
  bool failed; /* it ends because it cannot guard any more */
  /* the kill in progress */
  struct entry *victim;
  struct aftermath aftermath;
  struct kill_record record;
  struct entry ghost;  /* a victim of the guard before that is in no table any more */
  bool keep_tombstone; /* that one wrote it, with its samples */
  uint64_t last_blow_ns, followed_ns;
  /* once per episode */
  bool foreign_told, meminfo_told;
  uint64_t judge_after_ns, forecast_after_ns;
  uint64_t refreshed_ns, calm_ns, housekept_ns;
  uint64_t watchdog_ns, watchdog_told_ns; /* how often a manager wants a sign of life, 0 = it does not */
  uint64_t lost_told;
};

/* Opens everything, proves that it can kill, takes the lock, writes guard.state, says so. Returns 0, or -1 with a sentence;
   after -1 only the end of the process is left. `guard` is large: static, never on the stack. */
int guard_start (struct guard *guard, const struct guard_options *options, struct spark_error *error);

/* One round: take in news, read memory, judge, act. Returns how long to sleep at most, in nanoseconds. Allocates nothing. */
uint64_t guard_step (struct guard *guard);

/* Rounds until SIGTERM or SIGINT, or until it cannot guard any more. */
void guard_watch (struct guard *guard);

/* Says that it ends, and gives everything back. */
void guard_stop (struct guard *guard);

/* All of that: one guard's life. Returns its exit code, 1 with a sentence on stderr if it could not start. */
int guard_run (const struct guard_options *options);

/* --- between the guard's files ------------------------------------------------------------------------------------- */

/* start.c: what is not meant for it may not end it: a logrotate with the wrong signal must not leave the host unguarded. */
void guard_ignore_signals (void);
/* strike.c: chooses and kills, for a verdict that calls for it. */
void guard_strike (struct guard *guard, const struct judgement *judgement, uint64_t now_ns);
/* strike.c: goes on with the kill in progress. */
void guard_follow (struct guard *guard, uint64_t now_ns);

/* resume.c: goes on with the kill that a guard before this one left under way. */
void guard_resume (struct guard *guard, const struct intent *intent);

/* state.c */
int guard_state_write (struct guard *guard, struct spark_error *error);
void guard_state_soft (struct guard *guard);
/* Makes it anew where it is missing, or is not ours any more. */
void guard_state_check (struct guard *guard);

/* notify.c: from now on the manager is who holds the other end of this socket, and wants a sign of life within `watchdog_ns`. */
void guard_notify_by (int socket_fd, uint64_t watchdog_ns);
/* notify.c: finds the service manager that NOTIFY_SOCKET names. Returns how often it wants a sign of life, in nanoseconds. */
uint64_t guard_notify_open (void);
/* notify.c: tells it, where there is one. Never waits, allocates nothing. */
void guard_notify (const char *text);

#endif

/* The real guard with real cgroups and a stand-in meminfo: a kill costs milliseconds. All of it in a pid namespace of its own, in which
   numbers come round quickly and nothing can be left over unseen. */
#ifndef SPARK_TEST_GUARD_RIG_H
#define SPARK_TEST_GUARD_RIG_H

#include "common/registry.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Use of a guilty one is over its budget, of an innocent one it is not. */
enum rig_kind { RIG_INNOCENT, RIG_GUILTY };

struct rig_container {
  bool started, dead;
  int status; /* as waitpid(2) gives it */
  pid_t pid;
  int pid_fd;
  unsigned slot;
  struct spark_container entry;
};

/* Enters the namespaces and makes the directories; in the child that it forks it returns true, in the parent it waits for that
   one's end and exits with its code. False with a reason where it cannot run here. */
bool rig_enter (const char *guard_program, const char **reason);

/* Removes everything; returns the number of things that were left and should not have been. */
unsigned rig_leave (void);

/* Starts a guard (again) and waits until it is ready. */
void rig_guard_start (void);
/* The same in two parts; the second is false if it ended first. */
int rig_guard_spawn (void);
bool rig_guard_ready (int ready_fd);
pid_t rig_guard_pid (void);
/* Sends SIGKILL and takes the body away; with its helpers, as a manager does that ends a whole unit. */
void rig_guard_kill (bool helpers_too);
/* Ends it with SIGTERM; false if that was no clean end. */
bool rig_guard_stop (void);

/* MemAvailable over or under the reserve. */
void rig_plenty (void);
void rig_short (void);

/* A container in the cgroups of `slot`, under the id of that slot or its own name. Not registered yet. */
void rig_start (struct rig_container *container, unsigned slot, enum rig_kind kind, const char *name, const char *id);
void rig_register (const struct rig_container *container);
void rig_unregister (const struct rig_container *container);
/* Asks it to end; it then ends with exit code 0. */
void rig_ask (const struct rig_container *container);
/* Notes who died. */
void rig_reap (void);
/* Waits for its end, for `ms` at most. False if it lives on. */
bool rig_dies (struct rig_container *container, unsigned ms);
/* Takes its cgroups away; it must be dead. Counts what cannot be removed. */
void rig_clean (struct rig_container *container);
bool rig_was_killed (const struct rig_container *container);

/* Where its directories are. */
const char *rig_base (void);

/* Kill events of `name`; all of them if NULL. */
unsigned rig_kill_events (const char *name);
/* The text of events.jsonl, in memory that the next call reuses. */
char *rig_events (void);

unsigned rig_descriptors (pid_t pid);
unsigned rig_rss_kib (pid_t pid);
unsigned rig_registered (void);
unsigned rig_processes (void);

uint64_t rig_chance (uint64_t below);
void rig_seed (uint64_t seed);
uint64_t rig_now_us (void);

#endif

/* One registered container with everything open that is needed to judge and to kill it. */
#ifndef SPARK_GUARD_ENTRY_H
#define SPARK_GUARD_ENTRY_H

#include "common/registry.h"
#include "guard/huge_pages.h"
#include "guard/stock.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Ways to kill, best first. */
enum kill_by {
  KILL_BY_NOTHING,
  KILL_BY_CGROUP_KILL,   /* cgroup v2, Linux 5.14: one write, atomic, all descendants */
  KILL_BY_FREEZER,       /* cgroup v1: freeze, SIGKILL each, thaw, until empty */
  KILL_BY_PROCESS_GROUP, /* only where processes are all there is, and only when allowed */
  KILL_BY_INIT,          /* the first process of a pid namespace: the kernel takes the rest with it */
};

/* What the guard's environment is: roots that the outside may set, and what is permitted. */
struct entry_place {
  const char *proc_dir;    /* "/proc" */
  const char *cgroup_root; /* "/sys/fs/cgroup" */
  bool allow_process_groups;
};

/* How far a walk over its processes has come: one that has no time goes on from here. */
struct usage_part {
  unsigned processes; /* counted already */
  uint64_t huge_kib, anon_kib, shared_kib;
};

struct device_search {
  unsigned processes; /* looked through already */
  off_t offset;       /* in the next one's list of open files */
};

struct entry {
  bool used;
  bool dying;         /* killed just now: its death is being waited for */
  bool spent;         /* killed, and would not die: no second try */
  bool uses_gpu;      /* had a GPU's device open, a ledger in use, or huge pages (a stand-in for driver memory), now or before */
  bool reserve_armed; /* its reserve counts only once the host has had that much available */
  char id[SPARK_ID_MAX + 1];
  char name[SPARK_ID_MAX + 1];
  char request[64];
  char engine[16];
  pid_t pid, pgid;
  uint64_t pid_start, budget_bytes, reserve_bytes, created_ns;
  int priority;
  unsigned kills; /* in a row, before this start */
  enum kill_by kill_by;
  /* -1 where there is none */
  int pid_fd;          /* pidfd of its init */
  int kill_fd;         /* cgroup.kill */
  int events_fd;       /* v2 cgroup.events */
  int procs_dir_fd;    /* cgroup that it is killed by, for its cgroup.procs */
  int freezer_fd;      /* v1 freezer.state, wherever it has one */
  int stat_fd;         /* memory.stat, v1 or v2 */
  int usage_dir_fd;    /* cgroup to find its processes by, for the same */
  int ledger_fd;
  uint64_t ledger_ask_after_ns; /* its locks took too long: until then all its slots count */
  bool stat_is_v2;
  bool first_of_namespace; /* its init's death ends all of it */
  unsigned huge_count; /* files of the hugetlb controller: 0 = its processes must be asked */
  int huge_fds[HUGE_SIZES];
  struct usage_part part;
  struct device_search device_search;
  /* last known use */
  uint64_t cgroup_bytes, driver_bytes, ledger_bytes, huge_bytes;
  uint64_t calm_use_bytes, mark_use_bytes[STOCK_MARKS]; /* and what it was when stock was taken; 0 if it was not there yet */
};

/* In the initializer of an entry: nothing is open. */
#define ENTRY_NOTHING_OPEN                                                                                              \
  .pid_fd = -1, .kill_fd = -1, .events_fd = -1, .procs_dir_fd = -1, .freezer_fd = -1, .stat_fd = -1, .usage_dir_fd = -1, .ledger_fd = -1

/* Opens everything. Returns 0, also where something is missing (`note` then says so in one sentence, else it is empty), or
   -1 where nothing of it lives (any more), or nothing in it can be trusted (`note` says so). Allocates nothing. */
int entry_open (struct entry *entry, const struct spark_container *container, const struct entry_place *place,
                struct spark_error *note);

void entry_close (struct entry *entry);

/* True while its init or a process of its cgroup lives. A process that merely has the same number does not count. */
bool entry_alive (const struct entry *entry);

uint64_t entry_use_bytes (const struct entry *entry);

/* "cgroup.kill", "freezer", … */
const char *kill_by_text (enum kill_by kill_by);

#endif

/* Watches one run of test/bench/guard.js from outside: the fall of MemAvailable, the line, the load's death. Decides nothing, but
   ends the rig when memory falls under the floor. Allocates nothing while it watches.
     observe BOARD LINE FLOOR PERIOD_US RUN_MS PATIENCE_MS SETTLE_MS PROCS INIT_PID LOAD_PID
   It ends RUN_MS after the beginning, PATIENCE_MS after a crossing without a death, SETTLE_MS after the death. PROCS: the
   cgroup.procs file of the load; INIT_PID: the rig's first process, whose death is everybody's; LOAD_PID: the load's first process.
   Prints one JSON object. */
#include "common/meminfo.h"
#include "guard/proc_file.h"
#include "test/bench/guard/board.h"
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define NS_PER_MS UINT64_C (1000000)
/* Fields of /proc/<pid>/stat (proc(5)), and what is in them. */
enum { STAT_FLAGS = 9, STAT_SIGNAL = 31, STAT_EXITING = 0x4, STAT_SIGKILL = 1 << (SIGKILL - 1) };
/* Above the guard's 10: its own lateness would be taken for the tool's. It sleeps nine tenths of the time. */
enum { PRIORITY = 11, PROCS_EVERY = 10 };

struct seen {
  uint64_t start_bytes, lowest_bytes, go_ns, crossed_ns, signal_ns, empty_ns, gap_ns, samples;
  uint64_t cross_gap_ns; /* between the crossing's reading and the one before: how well the moment is known */
  bool floor;
};

static bool
is_empty (int procs_fd)
{
  char text[16];

  return proc_file_read (procs_fd, text, sizeof text, 0) <= 0;
}

/* SIGKILL waits for it, or it is ending or gone. A process inside the kernel takes the signal only when its step is over. */
static bool
is_killed (int stat_fd)
{
  char text[1024];

  return proc_file_read (stat_fd, text, sizeof text, 0) <= 0 || (proc_stat_field (text, STAT_SIGNAL) & STAT_SIGKILL) != 0
         || (proc_stat_field (text, STAT_FLAGS) & STAT_EXITING) != 0;
}

static void
watch (struct board *board, int meminfo_fd, int procs_fd, int stat_fd, char **argv, struct seen *seen)
{
  uint64_t line = strtoull (argv[2], NULL, 10), floor = strtoull (argv[3], NULL, 10), last_ns = 0;
  uint64_t patience_ns = strtoull (argv[6], NULL, 10) * NS_PER_MS, settle_ns = strtoull (argv[7], NULL, 10) * NS_PER_MS;
  uint64_t run_ns = strtoull (argv[5], NULL, 10) * NS_PER_MS;
  struct timespec period = { .tv_nsec = (long) strtoul (argv[4], NULL, 10) * 1000 };
  struct spark_meminfo memory;

  for (seen->lowest_bytes = UINT64_MAX;; nanosleep (&period, NULL))
    {
      if (spark_meminfo_read (meminfo_fd, 0, &memory) != 0)
        continue;
      uint64_t now_ns = board_now_ns (), gap_ns = last_ns != 0 ? now_ns - last_ns : 0;
      last_ns = now_ns;
      if (seen->samples++ == 20)
        {
          seen->start_bytes = memory.available_bytes;
          seen->go_ns = now_ns;
          atomic_store (&board->go, 1);
        }
      if (seen->samples <= 20)
        continue;
      if (gap_ns > seen->gap_ns)
        seen->gap_ns = gap_ns;
      if (memory.available_bytes < seen->lowest_bytes)
        seen->lowest_bytes = memory.available_bytes;
      if (memory.available_bytes < line && seen->crossed_ns == 0 && seen->empty_ns == 0)
        {
          seen->crossed_ns = now_ns;
          seen->cross_gap_ns = gap_ns;
        }
      if (seen->signal_ns == 0 && is_killed (stat_fd))
        seen->signal_ns = board_now_ns ();
      if (memory.available_bytes < floor)
        {
          kill ((pid_t) atoi (argv[9]), SIGKILL);
          seen->floor = true;
          return;
        }
      if (seen->empty_ns == 0 && seen->samples % PROCS_EVERY == 0 && is_empty (procs_fd))
        seen->empty_ns = now_ns;
      if (seen->empty_ns != 0 ? now_ns - seen->empty_ns > settle_ns
                              : (seen->crossed_ns != 0 && now_ns - seen->crossed_ns > patience_ns)
                                  || now_ns - seen->go_ns > run_ns)
        return;
    }
}

int
main (int argc, char **argv)
{
  static struct seen seen;
  struct sched_param schedule = { .sched_priority = PRIORITY };

  char stat_path[32];

  if (argc != 11)
    return 2;
  snprintf (stat_path, sizeof stat_path, "/proc/%d/stat", atoi (argv[10]));
  struct board *board = board_open (argv[1]);
  int meminfo_fd = open ("/proc/meminfo", O_RDONLY | O_CLOEXEC), procs_fd = open (argv[8], O_RDONLY | O_CLOEXEC);
  int stat_fd = open (stat_path, O_RDONLY | O_CLOEXEC);
  if (board == NULL || meminfo_fd < 0 || procs_fd < 0 || stat_fd < 0)
    {
      perror ("observe");
      return 1;
    }
  prctl (PR_SET_TIMERSLACK, 1UL);
  bool locked = mlockall (MCL_CURRENT | MCL_FUTURE) == 0;
  bool scheduled = sched_setscheduler (0, SCHED_FIFO, &schedule) == 0;
  watch (board, meminfo_fd, procs_fd, stat_fd, argv, &seen);

  /* The load's last step ended at beat_ns; the one in which the signal came took about as long as that. */
  uint64_t died_ns = seen.empty_ns != 0 ? atomic_load (&board->beat_ns) + atomic_load (&board->step_ns) : 0;
  if (seen.empty_ns != 0 && died_ns > seen.empty_ns)
    died_ns = seen.empty_ns;
  printf ("{\"startBytes\":%" PRIu64 ",\"lowestBytes\":%" PRIu64 ",\"crossed\":%s,\"died\":%s,\"floor\":%s,\"signalNs\":%" PRId64 ",\"killNs\":%" PRId64
          ",\"emptyNs\":%" PRId64 ",\"fillNs\":%" PRId64 ",\"crossGapNs\":%" PRIu64 ",\"longestGapNs\":%" PRIu64
          ",\"samples\":%" PRIu64 ",\"takenBytes\":%" PRIu64 ",\"realtime\":%s,\"locked\":%s}\n",
          seen.start_bytes, seen.lowest_bytes, seen.crossed_ns != 0 ? "true" : "false", seen.empty_ns != 0 ? "true" : "false",
          seen.floor ? "true" : "false", seen.crossed_ns != 0 && seen.signal_ns != 0 ? (int64_t) (seen.signal_ns - seen.crossed_ns) : 0,
          seen.crossed_ns != 0 && died_ns != 0 ? (int64_t) (died_ns - seen.crossed_ns) : 0,
          seen.crossed_ns != 0 && seen.empty_ns != 0 ? (int64_t) (seen.empty_ns - seen.crossed_ns) : 0,
          died_ns != 0 ? (int64_t) (died_ns - seen.go_ns) : 0, seen.cross_gap_ns, seen.gap_ns, seen.samples,
          atomic_load (&board->taken_bytes), scheduled ? "true" : "false", locked ? "true" : "false");
  return 0;
}

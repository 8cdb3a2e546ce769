/* The scribe: child processes that do all writing to disks and logs, so that a stuck disk or a full log pipe never stops the
   guard. They get whole messages over a socket and write them in order; for a stderr that is full they do not wait. */
#ifndef SPARK_GUARD_SCRIBE_H
#define SPARK_GUARD_SCRIBE_H

#include "guard/helper.h"
#include <stdint.h>

struct scribe {
  struct helper helper; /* events */
  struct helper teller; /* tombstones and log */
  uint64_t lost; /* messages that could not be handed over */
};

enum {
  SCRIBE_MESSAGE_MAX = 98304,
  /* Tombstones kept: /run is memory, and whoever asks why asks about one of the last. */
  SCRIBE_TOMBSTONES_KEPT = 100,
};

/* Starts them; they open events.jsonl in the log directory and tombstones/ in the run directory themselves, and write nothing
   while one of a guard before is still at work. */
int scribe_start (struct scribe *scribe, int run_fd, int log_fd, struct spark_error *error);

/* Starts again what has ended. True if something had, and runs again. */
bool scribe_revive (struct scribe *scribe, int run_fd, int log_fd);

/* Waits (at most 2 s for each) until all is done, and ends them. */
void scribe_stop (struct scribe *scribe);

/* Each hands one thing over and returns at once; what does not fit is counted as lost. */
void scribe_event (struct scribe *scribe, const char *json_line);                /* without its newline */
/* To stderr, without its newline; `level` is syslog's (LOG_CRIT, LOG_WARNING …), which the journal keeps where stderr leads there. */
void scribe_log (struct scribe *scribe, int level, const char *line);
/* A kill's event; `again` = unless it is there already, written by the scribe of a guard that was killed. */
void scribe_kill (struct scribe *scribe, uint64_t killed_ns, const char *json_line, bool again);
/* Replaces <id>.json atomically. */
void scribe_tombstone (struct scribe *scribe, uint64_t killed_ns, const char *id, const char *json);
void scribe_reopen (struct scribe *scribe);                                      /* events.jsonl was renamed: a new one */

#endif

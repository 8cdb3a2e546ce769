/* The scribe: a child process that does all writing to disks and logs, so that a stuck disk or a full log pipe never stops the
   guard. It gets whole messages over a socket, writes them in order, and ends when the guard is gone and all is written:
   what was said before a guard dies is not lost. */
#ifndef SPARK_GUARD_SCRIBE_H
#define SPARK_GUARD_SCRIBE_H

#include "common/error.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct scribe {
  int socket_fd;
  pid_t pid;
  uint64_t lost; /* messages that could not be handed over */
};

enum { SCRIBE_MESSAGE_MAX = 98304 };

/* Starts the child. It keeps the given descriptors and none else of the guard's. */
int scribe_start (struct scribe *scribe, int events_fd, int tombstones_fd, int drop_caches_fd, struct spark_error *error);

/* Each hands one thing over and returns at once; what does not fit is counted as lost. */
void scribe_event (struct scribe *scribe, const char *json_line);                        /* without its newline */
void scribe_log (struct scribe *scribe, const char *line);                               /* to stderr, without its newline */
void scribe_tombstone (struct scribe *scribe, const char *id, const char *json);         /* replaces <id>.json atomically */
int scribe_drop_caches (struct scribe *scribe);                                          /* -1 where it could not be handed over */

/* Waits (at most 2 s) until all is written, and ends the child. */
void scribe_stop (struct scribe *scribe);

#endif

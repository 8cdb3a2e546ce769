/* The teller: the process that writes what is answered at once, tombstones and the log on stderr. Not the scribe's work: /run is memory,
   the event log's disk may not answer, and what cools a container down stands in its tombstone. */
#ifndef SPARK_GUARD_TELLER_H
#define SPARK_GUARD_TELLER_H

#include "guard/helper.h"

/* A message is one of these and then: `<level>line`; or the kill's number (16 hexadecimal digits), `<id>\n` and the tombstone, which
   replaces <id>.json in the run directory's tombstones/ atomically. */
enum teller_kind { TELLER_LOG = 'L', TELLER_TOMBSTONE = 'T' };

/* Starts the child. It writes nothing while one of a guard before is still at work. */
int teller_start (struct helper *teller, int run_fd, struct spark_error *error);

#endif

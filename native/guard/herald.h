/* The herald: a child process that says one line in the stderr of a container that is about to be killed. A tenant can make any touch of
   a pipe of theirs last for ever, even a non-blocking one: whoever faults inside write(2) holds the pipe's lock meanwhile, and a
   fault can be made to last (userfaultfd, a mapping of a dead disk). So it must not be the guard who touches it. */
#ifndef SPARK_GUARD_HERALD_H
#define SPARK_GUARD_HERALD_H

#include "guard/helper.h"

struct herald {
  struct helper helper;
  unsigned unanswered; /* lines it has not answered for: it is held up */
};

#define HERALD_NONE ((struct herald){ .helper = HELPER_NONE })

/* Starts the child, which is as urgent as the guard where that is allowed: it only ever waits, it never works. */
int herald_start (struct herald *herald, const char *proc_dir, struct spark_error *error);

/* Hands over a line for a stderr that is held by O_PATH, and waits at most 2 ms for it to be written: after the kill there may be
   nobody to read it. One that is held up is not waited for. Allocates nothing. True if it was written. */
bool herald_say (struct herald *herald, int held_fd, const char *line, size_t length);

/* True once the child has ended. */
bool herald_ended (struct herald *herald);

/* Ends it, at once: what it has not said by now nobody waits for. */
void herald_stop (struct herald *herald);

#endif

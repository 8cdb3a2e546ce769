/* What the processes that write for the guard have in common. */
#ifndef SPARK_GUARD_SCRIBE_CHILD_H
#define SPARK_GUARD_SCRIBE_CHILD_H

#include <stddef.h>
#include <stdint.h>

/* Waits for the next message and ends it with NUL. Returns its length, at least 1; 0 when the guard is gone and all was heard. */
size_t child_receive (int socket_fd, char *message, size_t size);

/* Writes a line, newline included, to stderr if that takes it at once. */
void child_say (const char *line, size_t length);

/* The same, in words: `what` cannot be written (errno), and what that means. */
void child_say_trouble (const char *what, const char *consequence);

/* The number of a kill at the beginning of a message; `*text` and `*length` are then what follows it. */
uint64_t child_take_number (char **text, size_t *length);

/* Two at once would not know what the other has written: waits at most 2 s for the same process of a guard before this one.
   Returns the lock's descriptor, or -1. */
int child_wait_for_the_one_before (int run_fd, const char *lock);

#endif

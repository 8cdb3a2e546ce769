/* A child process of the guard, for work that may get stuck. It listens to the guard over a socket and ends when the guard is
   gone and all is done: what was handed over before a guard dies is not lost. */
#ifndef SPARK_GUARD_HELPER_H
#define SPARK_GUARD_HELPER_H

#include "common/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct helper {
  int socket_fd; /* -1 = not running */
  pid_t pid;
};

#define HELPER_NONE ((struct helper){ .socket_fd = -1, .pid = -1 })

enum { HELPER_FDS_MAX = 4 };

/* Starts the child: `work` gets its end of the socket and its own copies of the `count` descriptors (-1 stays -1), and returns
   when the socket ends. It holds no other descriptor of the guard's above stderr, and not its real-time priority. `name` is
   what ps shows. */
int helper_start (struct helper *helper, const char *name, const int *fds, size_t count,
                  void (*work) (int socket_fd, const int *fds), struct spark_error *error);

/* Hands a whole message over and returns at once: -1 where it does not fit or nobody runs. */
int helper_send (const struct helper *helper, const void *message, size_t length);

/* True once the child has ended; its socket is closed then. */
bool helper_ended (struct helper *helper);

/* Waits (at most 2 s) until all is done, and ends the child. */
void helper_stop (struct helper *helper);

#endif

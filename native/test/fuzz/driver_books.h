/* Inside the fuzz driver: its lock, its books, its failures. */
#ifndef SPARK_TEST_FUZZ_DRIVER_BOOKS_H
#define SPARK_TEST_FUZZ_DRIVER_BOOKS_H

#include "driver.h"
#include <pthread.h>

enum { DESTROYED = 201, NOT_FOUND = 500, OUT_OF_MEMORY = 2, INVALID = 1, UNKNOWN = 999 };

#pragma GCC visibility push(hidden)
extern pthread_mutex_t driver_lock;
extern struct fuzz_truth *driver_truth;

/* Both with the lock held. An error now and then, 0 otherwise. */
int driver_fails (void);

/* `bytes` more are held, `unseen` of them such as nobody could know before. */
void driver_hold (uint64_t bytes, uint64_t unseen);

/* The number of this thread's context, 0 = none or one that has ended. */
uint32_t driver_context (void);

/* What a context has beside its memory goes with it: registered memory, limits (driver_context.c). */
void driver_context_ended (uint32_t context);

/* A free of what may be memory of a graph (driver_graph.c); false where it is not. */
int driver_graph_freed (uint64_t pointer);

enum { DRIVER_CONTEXTS = 32, DRIVER_GRAPHS = 64, FIRST_GRAPH_ADDRESS = 0x40000000 };
#pragma GCC visibility pop

/* The body of a function: a statement expression under the lock that gives the result. */
#define LOCKED(...)                                                                                                    \
  do                                                                                                                   \
    {                                                                                                                  \
      pthread_mutex_lock (&driver_lock);                                                                                      \
      int result = (__VA_ARGS__);                                                                                      \
      pthread_mutex_unlock (&driver_lock);                                                                                    \
      return result;                                                                                                   \
    }                                                                                                                  \
  while (0)

#endif

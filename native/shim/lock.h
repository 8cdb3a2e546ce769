/* A lock between the threads of one process: all zeros is unlocked, so that memory wiped at fork is a fresh one, and it needs
   no symbol of libpthread. Ulrich Drepper, "Futexes Are Tricky", mutex 2.

   open, sysinfo and fork may be called in signal handlers, and so may we: a handler that interrupted its own thread in here must not wait
   for it. So a lock knows its thread, and spark_lock_is_mine is asked where handlers can come by. */
#ifndef SPARK_SHIM_LOCK_H
#define SPARK_SHIM_LOCK_H

#include "raw.h"
#include <linux/futex.h>
#include <stdatomic.h>

struct spark_lock {
  _Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody waits */
  _Atomic (const void *) owner; /* the address of that thread's spark_lock_touched */
};

/* The lock that this thread is just taking or giving. */
extern __thread const struct spark_lock *volatile spark_lock_touched
  __attribute__ ((visibility ("hidden"), tls_model ("initial-exec")));

static inline void
spark_lock_take (struct spark_lock *lock)
{
  const struct spark_lock *interrupted = spark_lock_touched;
  spark_lock_touched = lock;
  uint32_t seen = 0;
  if (!atomic_compare_exchange_strong_explicit (&lock->word, &seen, 1, memory_order_acquire, memory_order_relaxed))
    while (atomic_exchange_explicit (&lock->word, 2, memory_order_acquire) != 0)
      raw_syscall (SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, NULL);
  atomic_store_explicit (&lock->owner, (const void *) &spark_lock_touched, memory_order_relaxed);
  atomic_signal_fence (memory_order_seq_cst);
  spark_lock_touched = interrupted;
}

static inline void
spark_lock_give (struct spark_lock *lock)
{
  const struct spark_lock *interrupted = spark_lock_touched;
  spark_lock_touched = lock;
  atomic_signal_fence (memory_order_seq_cst);
  atomic_store_explicit (&lock->owner, NULL, memory_order_relaxed);
  if (atomic_exchange_explicit (&lock->word, 0, memory_order_release) == 2)
    raw_syscall (SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1, NULL);
  spark_lock_touched = interrupted;
}

/* True in a signal handler that interrupted this thread while it held the lock, or was about to take or give it. */
static inline bool
spark_lock_is_mine (const struct spark_lock *lock)
{
  return spark_lock_touched == lock
         || atomic_load_explicit (&lock->owner, memory_order_relaxed) == (const void *) &spark_lock_touched;
}

#endif

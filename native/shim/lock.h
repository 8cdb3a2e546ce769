/* A lock between the threads of one process: all zeros is unlocked, so that memory wiped at fork is a fresh one, and it needs
   no symbol of libpthread. Ulrich Drepper, "Futexes Are Tricky", mutex 2. */
#ifndef SPARK_SHIM_LOCK_H
#define SPARK_SHIM_LOCK_H

#include "raw.h"
#include <linux/futex.h>
#include <stdatomic.h>

/* How many of these locks this thread holds, or waits for. A signal handler that finds it above 0 has interrupted our own code, and
   must take none: open, sysinfo and fork are allowed in handlers. */
extern __thread uint32_t spark_locks_held __attribute__ ((visibility ("hidden"), tls_model ("initial-exec")));

struct spark_lock {
  _Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody waits */
};

static inline void
spark_lock_take (struct spark_lock *lock)
{
  spark_locks_held++;
  atomic_signal_fence (memory_order_seq_cst);
  uint32_t seen = 0;
  if (atomic_compare_exchange_strong_explicit (&lock->word, &seen, 1, memory_order_acquire, memory_order_relaxed))
    return;
  while (atomic_exchange_explicit (&lock->word, 2, memory_order_acquire) != 0)
    raw_syscall (SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, NULL);
}

static inline void
spark_lock_give (struct spark_lock *lock)
{
  if (atomic_exchange_explicit (&lock->word, 0, memory_order_release) == 2)
    raw_syscall (SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1, NULL);
  atomic_signal_fence (memory_order_seq_cst);
  spark_locks_held--;
}

#endif

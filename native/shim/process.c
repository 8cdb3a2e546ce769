#include "process.h"

#include "log.h"
#include "resolve.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

static const char ledger_in_container[] = "/usr/lib/spark-run/ledger";

/* UNUSABLE: passing too, and who uses the driver has yet to be told. */
enum phase { FRESH, STANDING, PASSING, UNUSABLE };

/* Zeroed by the kernel in a forked child; where the kernel cannot (before 4.14), told by the changed process id. */
static _Atomic (struct spark_process *) shared_state;
static _Atomic int wiped_by_pid; /* 0 = the kernel does it */

static struct spark_process *
make_state (void)
{
  struct spark_process *state
    = raw_mmap (sizeof *state, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (state == NULL)
    return NULL;
  bool wiped = raw_madvise (state, sizeof *state, MADV_WIPEONFORK) == 0;
  struct spark_process *first = NULL;
  if (!atomic_compare_exchange_strong (&shared_state, &first, state))
    {
      raw_munmap (state, sizeof *state);
      return first;
    }
  if (!wiped)
    wiped_by_pid = raw_getpid ();
  return state;
}

static struct spark_process *
own_state (void)
{
  struct spark_process *state = atomic_load_explicit (&shared_state, memory_order_acquire);
  if (state == NULL)
    return make_state ();
  int owner = atomic_load_explicit (&wiped_by_pid, memory_order_relaxed);
  if (owner != 0 && owner != raw_getpid ())
    {
      /* The first call after a fork; a child has one thread then. */
      memset (state, 0, sizeof *state);
      wiped_by_pid = raw_getpid ();
    }
  return state;
}

static bool
look_at_rights (void)
{
  /* Looked up: getauxval came with glibc 2.16. */
  unsigned long (*auxiliary) (unsigned long) = (unsigned long (*) (unsigned long)) spark_libc_symbol ("getauxval");
  if (auxiliary != NULL)
    return auxiliary (AT_SECURE) == 0;
  return getuid () == geteuid () && getgid () == getegid ();
}

/* Looking up takes the loader's lock, and a child forked from several threads may have been left with that lock held: so it is done
   when the program starts, or at the first call where that comes before. */
bool
spark_environment_is_trusted (void)
{
  enum { UNKNOWN, TRUSTED, UNTRUSTED };
  static _Atomic int seen;
  if (seen == UNKNOWN)
    seen = look_at_rights () ? TRUSTED : UNTRUSTED;
  return seen == TRUSTED;
}

__attribute__ ((constructor)) static void
look_early (void)
{
  spark_environment_is_trusted ();
}

static const char *
ledger_path (bool *is_named)
{
  const char *named = getenv ("SPARK_RUN_LEDGER");
  *is_named = named != NULL && named[0] != '\0' && spark_environment_is_trusted ();
  return *is_named ? named : ledger_in_container;
}

static enum phase
join (struct spark_process *process)
{
  bool is_named;
  const char *path = ledger_path (&is_named);
  process->budget.in_container = !is_named;
  switch (spark_ledger_join (&process->budget.ledger, path))
    {
    case SPARK_LEDGER_JOINED:
      return STANDING;
    case SPARK_LEDGER_BROKEN:
      return UNUSABLE;
    case SPARK_LEDGER_ABSENT:
      break;
    }
  return PASSING;
}

/* A child would keep a descriptor of the ledger open, and with it its parent's slot after the parent's death: no fork while another thread
   has one. In a signal handler that interrupted this thread's own use of it nothing can be waited for. */
static __thread struct spark_process *forking __attribute__ ((tls_model ("initial-exec")));

static void
before_fork (void)
{
  forking = atomic_load_explicit (&shared_state, memory_order_acquire);
  if (forking != NULL && spark_lock_is_mine (&forking->budget.ledger.descriptor))
    forking = NULL;
  if (forking != NULL)
    spark_lock_take (&forking->budget.ledger.descriptor);
}

static void
after_fork (void)
{
  if (forking != NULL)
    spark_lock_give (&forking->budget.ledger.descriptor);
  forking = NULL;
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (before_fork, after_fork, after_fork);
}

struct spark_process *
spark_process_quietly (void)
{
  struct spark_process *process = own_state ();
  if (process == NULL)
    return NULL;
  if (atomic_load_explicit (&process->phase, memory_order_acquire) == FRESH)
    {
      if (spark_lock_is_mine (&process->joining))
        return NULL; /* a signal handler in the middle of it */
      spark_lock_take (&process->joining);
      if (process->phase == FRESH)
        process->phase = join (process);
      spark_lock_give (&process->joining);
    }
  return process->phase == STANDING ? process : NULL;
}

struct spark_process *
spark_process (void)
{
  struct spark_process *process = spark_process_quietly ();
  if (process != NULL)
    {
      spark_ledger_take_part (&process->budget.ledger);
      return process;
    }
  process = own_state ();
  uint32_t unusable = UNUSABLE;
  if (process != NULL && atomic_compare_exchange_strong (&process->phase, &unusable, PASSING))
    {
      bool is_named;
      spark_say ("no budget is kept here, the ledger cannot be used: ", ledger_path (&is_named));
    }
  return NULL;
}

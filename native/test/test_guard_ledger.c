/* A ledger that its container scribbled over is the container's own harm: it hides nothing, and it holds nobody up. */
#include "test/guard/in_process.h"

#include "common/ledger.h"
#include "common/ledger_layout.h"
#include "guard/usage.h"

static char ledger_path[96];

static int
ledger_make (void)
{
  struct spark_error error;

  snprintf (ledger_path, sizeof ledger_path, "%s/ledger", directory);
  if (spark_ledger_create (ledger_path, MIB, 0, 0, &error) != 0)
    abort ();
  return open (ledger_path, O_RDWR | O_CLOEXEC);
}

static void
poke (int fd, uint64_t offset, uint64_t value)
{
  if (pwrite (fd, &value, sizeof value, (off_t) offset) != (ssize_t) sizeof value)
    abort ();
}

/* Holds `count` locks of a byte each from `first` on, every second byte, so that none joins its neighbour. */
static int
locks_hold (off_t first, unsigned count)
{
  int fd = open (ledger_path, O_RDWR | O_CLOEXEC);

  for (unsigned i = 0; i < count; i++)
    {
      struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = first + 2 * (off_t) (count - i), .l_len = 1 };
      if (fcntl (fd, F_OFD_SETLK, &lock) != 0)
        abort ();
    }
  return fd;
}

/* --- what it says -------------------------------------------------------------------------------------------------- */

static void
test_sums (void)
{
  struct entry e[2] = { { .used = true, ENTRY_NOTHING_OPEN }, { .used = true, ENTRY_NOTHING_OPEN } };
  const struct usage_host host = { 8192 * MIB, 0 };
  unsigned turn = 0;
  cleanup_close int fd = ledger_make (), owner = locks_hold ((off_t) spark_ledger_slot_offset (0) - 2, 1);
  char path[96];

  snprintf (path, sizeof path, "%s/memory.stat", directory);
  cleanup_close int stat = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  CHECK (write (stat, "anon 1073741824\n", 16) == 16);
  for (int i = 0; i < 2; i++)
    {
      e[i].stat_fd = dup (stat);
      e[i].stat_is_v2 = true;
      e[i].ledger_fd = dup (fd);
    }
  poke (fd, spark_ledger_slot_offset (0), UINT64_MAX - 1024 * MIB + 1);
  CHECK (usage_refresh (e, 2, &turn, directory, &host, 0));
  CHECK (entry_use_bytes (&e[0]) == (1024 + 8192) * MIB);
  test_done ("a ledger that says more than the host has counts as all of the host, and takes nothing from the kernel's books");
  guard.table.count = 2;
  guard.table.entries[0] = e[0], guard.table.entries[1] = e[1];
  CHECK (guard_ledger_bytes (&guard) == 2 * 8192 * MIB);
  guard.table.entries[0].ledger_bytes = UINT64_MAX;
  CHECK (guard_ledger_bytes (&guard) == UINT64_MAX);
  test_done ("nor do several of them come to less together than one alone");
  memset (&guard.table, 0, sizeof guard.table);
  entry_close (&e[0]), entry_close (&e[1]);
}

static void
test_liar (void)
{
  struct child liar = child_start (150), innocent = child_start (150);
  struct spark_container a = container_of ("liar", &liar, 100 * MIB), b = container_of ("innocent", &innocent, 1024 * MIB);
  cleanup_close int fd = ledger_make (), owner = locks_hold ((off_t) spark_ledger_slot_offset (0) - 2, 1);

  poke (fd, spark_ledger_slot_offset (0), UINT64_MAX - 140 * MIB);
  snprintf (a.ledger, sizeof a.ledger, "%s", ledger_path);
  b.created_ns = a.created_ns + 1; /* of two that are equal the younger dies */
  register_entry (&a);
  register_entry (&b);
  steps (2);
  CHECK (kills (&liar) && waitpid (innocent.pid, NULL, WNOHANG) == 0);
  CHECK (events ("\"rule\":\"over-budget\"") == 1);
  test_done ("one that writes into its ledger what would bring its use to nothing dies for what it holds, and nobody else does");
  child_end (&innocent);
  steps (2);
}

/* --- how long it takes -------------------------------------------------------------------------------------------- */

enum { MANY_LOCKS = 20000 };

/* This thread's own time on a processor: others may have it meanwhile. */
static double
own_ms (void)
{
  return (double) spark_clock_ns (CLOCK_THREAD_CPUTIME_ID) / 1e6;
}

static double
look_ms (struct entry *e, uint64_t *bytes)
{
  const struct usage_host host = { 8192 * MIB, 0 };
  unsigned turn = 0;
  double began_ms = own_ms ();

  usage_refresh (e, 1, &turn, directory, &host, 0);
  *bytes = e->ledger_bytes;
  return own_ms () - began_ms;
}

/* One question about one slot, for which the kernel looks through all locks of the file. */
static double
question_ms (int fd)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t) spark_ledger_slot_offset (0), .l_len = 1 };
  double began_ms = own_ms ();

  if (fcntl (fd, F_OFD_GETLK, &lock) != 0)
    abort ();
  return own_ms () - began_ms;
}

/* Looks until every slot was asked about: while others have the processor for long, a look gives up. Returns the bytes. */
static uint64_t
ask_all (struct entry *e)
{
  uint64_t bytes = 0;

  for (int tries = 0; tries == 0 || (tries < 50 && e->ledger_ask_after_ns != 0); tries++)
    {
      e->ledger_ask_after_ns = 0;
      look_ms (e, &bytes);
    }
  CHECK (e->ledger_ask_after_ns == 0);
  return bytes;
}

static void
test_locks (void)
{
  static const unsigned counts[] = { 1, 2000, MANY_LOCKS };
  cleanup_close int fd = ledger_make ();
  struct entry e = { .used = true, ENTRY_NOTHING_OPEN };
  double first_ms = 0, first_again_ms = 0;
  uint64_t bytes;
  uint32_t slot_count = SPARK_LEDGER_SLOTS_MAX;

  e.ledger_fd = fd;
  /* As a container can make it: all slots that a reader accepts, none of them anybody's. */
  if (ftruncate (fd, (off_t) spark_ledger_slot_offset (slot_count)) != 0 || pwrite (fd, &slot_count, sizeof slot_count, 12) != sizeof slot_count)
    abort ();
  for (uint32_t i = 0; i < slot_count; i++)
    poke (fd, spark_ledger_slot_offset (i), 1000);
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
    {
      int holder = locks_hold (1 << 30, counts[i]);
      double best_ms = 1e9, again_ms = 1e9, answer_ms = 1e9;
      for (int round = 0; round < 20; round++)
        {
          e.ledger_ask_after_ns = 0;
          double ms = look_ms (&e, &bytes);
          best_ms = ms < best_ms ? ms : best_ms;
          CHECK (e.ledger_ask_after_ns > clock_boot_ns () && bytes > 1000 * slot_count / 2);
          ms = look_ms (&e, &bytes);
          again_ms = ms < again_ms ? ms : again_ms;
          CHECK (bytes == 1000 * slot_count);
          ms = question_ms (fd);
          answer_ms = ms < answer_ms ? ms : answer_ms;
        }
      printf ("# %u locks: %.2f ms at first, %.2f ms then; one answer takes %.2f ms\n", counts[i], best_ms, again_ms, answer_ms);
      if (i == 0)
        first_ms = best_ms, first_again_ms = again_ms;
      /* It ends with the first answer that is late, and asks none until later: all slots would be thousands of them. */
      CHECK (best_ms < 10 * (first_ms + answer_ms) && again_ms < 10 * first_again_ms);
      close (holder);
    }
  test_done ("however many locks a container takes, a look at its ledger stays short, and what was not asked about counts as held");

  cleanup_close int honest = ledger_make ();
  e.ledger_fd = honest;
  int owners[16];
  for (uint32_t i = 0; i < 32; i++)
    poke (honest, spark_ledger_slot_offset (i), 1000);
  for (uint32_t i = 0; i < 16; i++)
    owners[i] = locks_hold ((off_t) spark_ledger_slot_offset (2 * i) - 2, 1);
  CHECK (ask_all (&e) == 16 * 1000);
  for (uint32_t i = 0; i < 16; i++)
    close (owners[i]);
  CHECK (ask_all (&e) == 0);
  test_done ("and where there are few, only the slots of the living count");
}

int
main (void)
{
  directories_make ();
  test_sums ();
  test_locks ();
  guard_begin_or_end (RESERVE_BYTES);
  test_liar ();
  guard_stop (&guard);
  directories_remove ();
  return check_done ();
}

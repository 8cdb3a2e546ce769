/* The shim's side of the ledger by itself: slots, the lock between processes, files that are not ledgers. */
#include "common/ledger.h"
#include "shim/ledger_client.h"
#include "test/check.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64] = "/tmp/spark-ledger-XXXXXX";
static char path[128];

static void
fresh (uint64_t budget_bytes)
{
  struct spark_error error = { 0 };
  CHECK (spark_ledger_create (path, budget_bytes, 0, 0, &error) == 0);
}

static uint64_t
used_from_outside (void)
{
  struct spark_ledger_view view = { 0 };
  int fd = open (path, O_RDONLY);
  CHECK (spark_ledger_peek (fd, &view) == 0);
  close (fd);
  return view.used_bytes;
}

static void
test_take_and_give (void)
{
  fresh (1000);
  struct spark_ledger_client one = { 0 }, two = { 0 };
  CHECK (spark_ledger_join (&one, path) == SPARK_LEDGER_JOINED && spark_ledger_join (&two, path) == SPARK_LEDGER_JOINED);
  CHECK (one.slot == 0 && two.slot == 0); /* who only asks needs none */
  spark_ledger_take_part (&one);
  spark_ledger_take_part (&two);
  CHECK (one.slot == 1 && two.slot == 2); /* at once: later the path may lead nowhere */
  CHECK (spark_ledger_reserve (&one, 600, 1000) && spark_ledger_reserve (&two, 400, 1000));
  CHECK (!spark_ledger_reserve (&one, 1, 1000) && !spark_ledger_reserve (&one, UINT64_MAX, UINT64_MAX - 1));
  spark_ledger_commit (&one);
  CHECK (one.header->peak_bytes == 1000 && used_from_outside () == 1000 && spark_ledger_used (&two) == 1000);
  spark_ledger_release (&one, 600);
  CHECK (used_from_outside () == 400 && spark_ledger_used (&one) == 400);
  spark_ledger_release (&two, 9999); /* as after a reset of the file */
  CHECK (used_from_outside () == 0 && spark_ledger_reserve (&one, 1000, 1000));
  spark_ledger_leave (&one);
  CHECK (used_from_outside () == 0 && spark_ledger_used (&two) == 0);
  CHECK (spark_ledger_reserve (&two, 1000, 1000));
  test_done ("taking, giving, and what one that left gives back");
  spark_ledger_leave (&two);
}

/* Forks a process that does `body` and is killed in it. */
static void
die_in (void (*body) (struct spark_ledger_client *))
{
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    {
      struct spark_ledger_client client = { 0 };
      if (spark_ledger_join (&client, path) == SPARK_LEDGER_JOINED)
        body (&client);
      kill (getpid (), SIGKILL);
    }
  waitpid (pid, NULL, 0);
}

static void
holding_the_lock (struct spark_ledger_client *client)
{
  spark_ledger_reserve (client, 300, 1000);
  client->header->lock = client->slot;
}

static void
test_dead_holder (void)
{
  fresh (1000);
  struct spark_ledger_client other = { 0 };
  CHECK (spark_ledger_join (&other, path) == SPARK_LEDGER_JOINED && spark_ledger_reserve (&other, 500, 1000));
  die_in (holding_the_lock);
  CHECK (other.header->lock != 0);
  CHECK (spark_ledger_reserve (&other, 500, 1000));
  CHECK (other.header->lock == 0 && spark_ledger_used (&other) == 1000 && used_from_outside () == 1000);
  CHECK (!spark_ledger_reserve (&other, 1, 1000));
  test_done ("a process that died with the lock is found out, and its bytes are given back");
  other.header->lock = 77777;
  spark_ledger_release (&other, 500);
  CHECK (spark_ledger_reserve (&other, 1, 1000) && other.header->lock == 0 && used_from_outside () == 501);
  spark_ledger_leave (&other);
  test_done ("a lock word that nobody can hold is taken");
}

static void
test_full (void)
{
  fresh (1000);
  static struct spark_ledger_client clients[SPARK_LEDGER_SLOTS];
  struct spark_ledger_client late = { 0 };
  for (int i = 0; i < SPARK_LEDGER_SLOTS; i++)
    CHECK (spark_ledger_join (&clients[i], path) == SPARK_LEDGER_JOINED && spark_ledger_reserve (&clients[i], 0, 1000));
  CHECK (spark_ledger_join (&late, path) == SPARK_LEDGER_JOINED);
  CHECK (!spark_ledger_reserve (&late, 1, 1000) && late.slot == 0);
  spark_ledger_leave (&clients[500]);
  CHECK (spark_ledger_reserve (&late, 1, 1000) && late.slot == 501);
  spark_ledger_leave (&late);
  for (int i = 0; i < SPARK_LEDGER_SLOTS; i++)
    spark_ledger_leave (&clients[i]);
  test_done ("with all 1,024 slots held a process is refused, until one falls free");
}

static void *
take_and_give (void *data)
{
  for (int i = 0; i < 20000; i++)
    if (spark_ledger_reserve (data, 10, 1000))
      spark_ledger_release (data, 10);
  return NULL;
}

static void
test_many (void)
{
  fresh (1000);
  fflush (stdout);
  for (int i = 0; i < 4; i++)
    if (fork () == 0)
      {
        static struct spark_ledger_client client;
        pthread_t threads[8];
        spark_ledger_join (&client, path);
        for (int t = 0; t < 8; t++)
          pthread_create (&threads[t], NULL, take_and_give, &client);
        for (int t = 0; t < 8; t++)
          pthread_join (threads[t], NULL);
        /* A slot of ours must be empty now: nothing was lost or counted twice. */
        _exit (client.slots[client.slot - 1].used_bytes == 0 ? 0 : 1);
      }
  int status, ok = 1;
  while (wait (&status) > 0)
    ok &= status == 0;
  struct spark_ledger_client client = { 0 };
  CHECK (ok && spark_ledger_join (&client, path) == SPARK_LEDGER_JOINED && used_from_outside () == 0);
  spark_ledger_leave (&client);
  test_done ("8 threads in each of 4 processes, 20,000 times each: the sum ends at zero");
}

/* What the racers hold together, counted outside the ledger. */
static struct {
  _Atomic uint64_t held_bytes;
  _Atomic int too_much, granted, stop;
} *race;

static void *
take_what_fits (void *data)
{
  for (int i = 0; i < 3000; i++)
    {
      uint64_t bytes = 1 + (uint64_t) i % 400;
      if (!spark_ledger_reserve (data, bytes, 1000))
        continue;
      race->granted++;
      race->too_much += (race->held_bytes += bytes) > 1000;
      if (i % 8 == 0)
        sched_yield ();
      race->held_bytes -= bytes;
      spark_ledger_release (data, bytes);
    }
  return NULL;
}

/* The lock word set to anything at any time: what a tenant may do, and what a lock taken from a stopped holder looks like. */
static void
test_scribbled_lock (void)
{
  fresh (1000);
  memset (race, 0, sizeof *race);
  struct spark_ledger_client client = { 0 };
  CHECK (spark_ledger_join (&client, path) == SPARK_LEDGER_JOINED);
  fflush (stdout);
  pid_t scribbler = fork ();
  if (scribbler == 0)
    {
      struct spark_ledger_client own = { 0 };
      spark_ledger_join (&own, path);
      for (uint32_t i = 0; !race->stop; i++)
        {
          own.header->lock = i % 4 ? 0 : i % 9;
          if (i % 16 == 0)
            sched_yield ();
        }
      _exit (0);
    }
  for (int i = 0; i < 4; i++)
    if (fork () == 0)
      {
        static struct spark_ledger_client own;
        pthread_t threads[4];
        spark_ledger_join (&own, path);
        for (int t = 0; t < 4; t++)
          pthread_create (&threads[t], NULL, take_what_fits, &own);
        for (int t = 0; t < 4; t++)
          pthread_join (threads[t], NULL);
        _exit (0);
      }
  for (int i = 0; i < 4; i++)
    while (wait (NULL) == scribbler)
      ;
  race->stop = 1;
  waitpid (scribbler, NULL, 0);
  CHECK (race->granted > 0 && race->too_much == 0 && race->held_bytes == 0 && used_from_outside () == 0);
  spark_ledger_leave (&client);
  test_done ("without a lock that holds, the sum still never exceeds the cap");
}

/* Any bytes at all behind the magic, again and again, while a process takes and gives: it ends, and in no other way than it should. */
static void
test_scribbled_file (void)
{
  fresh (1000);
  struct spark_ledger_client client = { 0 };
  CHECK (spark_ledger_join (&client, path) == SPARK_LEDGER_JOINED);
  srand (3);
  for (int round = 0; round < 20000; round++)
    {
      unsigned char *bytes = (unsigned char *) client.header;
      size_t at = rand () % 4 ? 16 + (size_t) rand () % 56 : SPARK_LEDGER_HEADER_BYTES + (size_t) rand () % 640;
      bytes[at] = (unsigned char) rand ();
      if (round % 5 == 0)
        memset (bytes + at / 8 * 8, rand () % 2 ? 0xff : 0, 8);
      if (client.header->lock % 4 != 0)
        client.header->lock = round % 2 ? 0 : 70000; /* held by a living process it would only take its time */
      uint64_t wanted = (uint64_t) rand () % 2000;
      if (spark_ledger_reserve (&client, wanted, 1000))
        {
          CHECK (wanted <= 1000);
          spark_ledger_commit (&client);
          spark_ledger_release (&client, wanted);
        }
      spark_ledger_used (&client);
    }
  CHECK (client.slot == 1 && client.slot_count == SPARK_LEDGER_SLOTS);
  fresh (1000);
  CHECK (spark_ledger_reserve (&client, 1000, 1000) && !spark_ledger_reserve (&client, 1, 1000));
  spark_ledger_leave (&client);
  test_done ("20,000 times scribbled over: no crash, no wait without end, nothing above the cap");
}

/* The locks of another file at the same path say nothing about our slots. */
static void
test_other_file (void)
{
  fresh (1000);
  struct spark_ledger_client one = { 0 }, two = { 0 };
  CHECK (spark_ledger_join (&one, path) == SPARK_LEDGER_JOINED && spark_ledger_join (&two, path) == SPARK_LEDGER_JOINED);
  CHECK (spark_ledger_reserve (&one, 600, 1000));
  spark_ledger_take_part (&two);
  unlink (path);
  fresh (1000);
  CHECK (!spark_ledger_reserve (&two, 600, 1000) && spark_ledger_used (&two) == 600);
  CHECK (spark_ledger_reserve (&two, 400, 1000));
  spark_ledger_leave (&one);
  spark_ledger_leave (&two);
  test_done ("where the path leads to another file by now nobody is taken for dead");
}

/* Killed at any instant of taking and giving: whatever it did not finish is nobody's. */
static void
test_killed (void)
{
#ifdef __SANITIZE_THREAD__
  enum { DEATHS = 100 }; /* a fork takes it twenty times as long */
#else
  enum { DEATHS = 1000 };
#endif
  fresh (1000);
  memset (race, 0, sizeof *race);
  struct spark_ledger_client client = { 0 };
  CHECK (spark_ledger_join (&client, path) == SPARK_LEDGER_JOINED);
  fflush (stdout);
  unsigned seed = 5;
  int granted_all = 0;
  for (int death = 0; death < DEATHS; death++)
    {
      race->granted = 0;
      pid_t pid = fork ();
      if (pid == 0)
        {
          struct spark_ledger_client own = { 0 };
          for (spark_ledger_join (&own, path);; race->granted++)
            if (spark_ledger_reserve (&own, 1 + (uint64_t) rand_r (&seed) % 300, 1000) && rand_r (&seed) % 4)
              spark_ledger_release (&own, 1 + (uint64_t) rand_r (&seed) % 300);
        }
      /* Ours go on meanwhile, so that it dies waiting too. */
      for (int i = rand_r (&seed) % 200; i > 0 || race->granted == 0; i--)
        if (spark_ledger_reserve (&client, 100, 1000))
          spark_ledger_release (&client, 100);
        else
          sched_yield ();
      kill (pid, SIGKILL);
      waitpid (pid, NULL, 0);
      /* All of the budget at once, so not a byte of the dead may be left. */
      bool all = spark_ledger_reserve (&client, 1000, 1000);
      granted_all += all;
      if (all)
        spark_ledger_release (&client, 1000);
    }
  CHECK (granted_all == DEATHS && used_from_outside () == 0 && spark_ledger_used (&client) == 0);
  spark_ledger_leave (&client);
  char sentence[100];
  snprintf (sentence, sizeof sentence, "%d processes killed at any instant: each time all of the budget can be had afterwards", DEATHS);
  test_done (sentence);
}

static enum spark_ledger_join
join_file (const char *text, size_t length, off_t size)
{
  struct spark_ledger_client client = { 0 };
  unlink (path);
  int fd = open (path, O_WRONLY | O_CREAT, 0666);
  CHECK (write (fd, text, length) == (ssize_t) length && ftruncate (fd, size) == 0);
  close (fd);
  enum spark_ledger_join result = spark_ledger_join (&client, path);
  spark_ledger_leave (&client);
  return result;
}

static void
test_not_a_ledger (void)
{
  struct spark_ledger_client client = { 0 };
  struct spark_ledger_header header = { .version = 1, .slot_count = 4, .budget_bytes = 1000 };
  memcpy (header.magic, SPARK_LEDGER_MAGIC, sizeof header.magic);
  char *bytes = (char *) &header;
  CHECK (join_file (bytes, sizeof header, 8192) == SPARK_LEDGER_JOINED);
  CHECK (join_file ("", 0, 0) == SPARK_LEDGER_BROKEN);
  CHECK (join_file (bytes, sizeof header, 4096) == SPARK_LEDGER_BROKEN);
  CHECK (join_file (bytes, sizeof header, 4096 + 64 * 3) == SPARK_LEDGER_BROKEN);
  header.slot_count = UINT32_MAX;
  CHECK (join_file (bytes, sizeof header, 8192) == SPARK_LEDGER_BROKEN);
  header.slot_count = 0;
  CHECK (join_file (bytes, sizeof header, 8192) == SPARK_LEDGER_BROKEN);
  header.slot_count = 4, header.version = 2;
  CHECK (join_file (bytes, sizeof header, 8192) == SPARK_LEDGER_BROKEN);
  header.version = 1, header.budget_bytes = 0;
  CHECK (join_file (bytes, sizeof header, 8192) == SPARK_LEDGER_BROKEN);
  unlink (path);
  CHECK (spark_ledger_join (&client, path) == SPARK_LEDGER_ABSENT);
  CHECK (spark_ledger_join (&client, directory) == SPARK_LEDGER_BROKEN);
  CHECK (mkfifo (path, 0666) == 0 && spark_ledger_join (&client, path) == SPARK_LEDGER_BROKEN && unlink (path) == 0);
  CHECK (symlink ("/etc/passwd", path) == 0 && spark_ledger_join (&client, path) == SPARK_LEDGER_BROKEN && unlink (path) == 0);
  test_done ("short, cut, foreign, empty, absent, a directory, a FIFO, a link: told apart, none opened by mistake");
}

int
main (void)
{
  if (mkdtemp (directory) == NULL)
    return 1;
  snprintf (path, sizeof path, "%s/ledger", directory);
  race = mmap (NULL, sizeof *race, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  test_take_and_give ();
  test_dead_holder ();
  test_full ();
  test_many ();
  test_scribbled_lock ();
  test_scribbled_file ();
  test_other_file ();
  test_killed ();
  test_not_a_ledger ();
  unlink (path);
  rmdir (directory);
  return check_done ();
}

/* The shim's side of the ledger by itself: slots, the lock between processes, files that are not ledgers. */
#include "common/ledger.h"
#include "shim/ledger_client.h"
#include "test/check.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
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
  /* In the middle of a release: off the total, not yet off the slot. */
  client->header->used_bytes -= 300;
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
  CHECK (other.header->lock == 0 && other.header->used_bytes == 1000 && used_from_outside () == 1000);
  CHECK (!spark_ledger_reserve (&other, 1, 1000));
  test_done ("a process that died with the lock is found out, and the sum made anew");
  other.header->lock = 77777;
  spark_ledger_release (&other, 500);
  CHECK (other.header->lock == 0 && other.header->used_bytes == 500);
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
  CHECK (ok && spark_ledger_join (&client, path) == SPARK_LEDGER_JOINED && client.header->used_bytes == 0);
  spark_ledger_leave (&client);
  test_done ("8 threads in each of 4 processes, 20,000 times each: the sum ends at zero");
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
  test_take_and_give ();
  test_dead_holder ();
  test_full ();
  test_many ();
  test_not_a_ledger ();
  unlink (path);
  rmdir (directory);
  return check_done ();
}

/* The ledger as the hook makes it and the guard reads it: any content gives an answer, never a crash or a wait. */
#include "common/ledger.h"
#include "common/ledger_layout.h"
#include "test/check.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64] = "/tmp/spark-ledger-XXXXXX";
static char path[128];

static int
peek (struct spark_ledger_view *view)
{
  int fd = open (path, O_RDONLY | O_NONBLOCK);
  int result = spark_ledger_peek (fd, view);
  if (fd >= 0)
    close (fd);
  return result;
}

static void
poke (uint64_t offset, uint64_t value)
{
  int fd = open (path, O_RDWR);
  CHECK (pwrite (fd, &value, sizeof value, (off_t) offset) == (ssize_t) sizeof value);
  close (fd);
}

/* Holds the slot's lock as a living process does; close the result to die. */
static int
own_slot (uint32_t slot)
{
  int fd = open (path, O_RDWR);
  struct flock lock = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t) spark_ledger_slot_offset (slot), .l_len = 1
  };
  CHECK (fcntl (fd, F_OFD_SETLK, &lock) == 0);
  return fd;
}

static void
test_create (void)
{
  struct spark_ledger_view view;
  struct spark_error error = { 0 };
  struct stat status;
  mode_t before = umask (077);
  CHECK (spark_ledger_create (path, 5000, 600, 70, &error) == 0);
  umask (before);
  CHECK (stat (path, &status) == 0 && (status.st_mode & 07777) == 0666);
  CHECK (status.st_size == SPARK_LEDGER_HEADER_BYTES + SPARK_LEDGER_SLOTS * SPARK_LEDGER_SLOT_BYTES);
  CHECK (peek (&view) == 0 && view.budget_bytes == 5000 && view.reserve_bytes == 600 && view.withhold_bytes == 70);
  CHECK (view.used_bytes == 0 && view.peak_bytes == 0 && view.refused_count == 0);
  test_done ("a new ledger says what it was given, and everybody may write it");
  poke (48, 123);
  poke (spark_ledger_slot_offset (3), 456);
  CHECK (spark_ledger_create (path, 6000, 0, 0, &error) == 0 && peek (&view) == 0);
  CHECK (view.budget_bytes == 6000 && view.peak_bytes == 0);
  int owner = own_slot (3);
  CHECK (peek (&view) == 0 && view.used_bytes == 0);
  close (owner);
  test_done ("made again it is as new");
}

static void
test_used (void)
{
  struct spark_ledger_view view;
  poke (spark_ledger_slot_offset (0), 100);
  poke (spark_ledger_slot_offset (SPARK_LEDGER_SLOTS - 1), 11);
  poke (40, 99999); /* what the file says of its sum is not believed */
  int first = own_slot (0), last = own_slot (SPARK_LEDGER_SLOTS - 1);
  CHECK (peek (&view) == 0 && view.used_bytes == 111);
  close (last);
  CHECK (peek (&view) == 0 && view.used_bytes == 100);
  poke (spark_ledger_slot_offset (1), UINT64_MAX);
  int second = own_slot (1);
  CHECK (peek (&view) == 0 && view.used_bytes == UINT64_MAX);
  close (first);
  close (second);
  CHECK (peek (&view) == 0 && view.used_bytes == 0);
  test_done ("used is the sum of the living, whatever the tenant wrote");
}

static void
test_hostile (void)
{
  struct spark_ledger_view view = { .budget_bytes = 7 };
  for (uint64_t offset = 0; offset < 16; offset += 8)
    {
      spark_ledger_create (path, 5000, 0, 0, NULL);
      poke (offset, UINT64_MAX);
      CHECK (peek (&view) == -1 && errno == EPROTO);
    }
  static const off_t sizes[] = { 0, 7, 64, 4096, 4096 + 63, 4096 + 64 * (SPARK_LEDGER_SLOTS - 1) };
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
    {
      spark_ledger_create (path, 5000, 0, 0, NULL);
      CHECK (truncate (path, sizes[i]) == 0 && peek (&view) == -1);
    }
  unlink (path);
  CHECK (mkfifo (path, 0666) == 0 && peek (&view) == -1 && unlink (path) == 0);
  CHECK (spark_ledger_peek (-1, &view) == -1 && view.budget_bytes == 7);
  test_done ("a spoiled, cut or foreign file is -1 and leaves the view alone");
  srand (1);
  for (int round = 0; round < 300; round++)
    {
      spark_ledger_create (path, 5000, 0, 0, NULL);
      for (int i = 0; i < 4; i++)
        poke ((uint64_t) rand () % 5000, ((uint64_t) rand () << 33) ^ (uint64_t) rand ());
      int result = peek (&view);
      CHECK (result == 0 || result == -1);
    }
  test_done ("300 files with random bytes in them");
}

static void
test_refusals (void)
{
  struct spark_error error = { 0 };
  char inside[200];
  CHECK (spark_ledger_create (path, 0, 0, 0, &error) == -1 && strstr (error.text, "give at least 1") != NULL);
  snprintf (inside, sizeof inside, "%s/no/ledger", directory);
  CHECK (spark_ledger_create (inside, 1, 0, 0, &error) == -1 && error.status == ENOENT);
  unlink (path);
  CHECK (symlink ("/etc/passwd", path) == 0 && spark_ledger_create (path, 1, 0, 0, &error) == -1 && unlink (path) == 0);
  CHECK (mkfifo (path, 0666) == 0 && spark_ledger_create (path, 1, 0, 0, &error) == -1 && unlink (path) == 0);
  CHECK (strstr (error.text, "not a regular file") != NULL);
  test_done ("no budget, no directory, a link, a FIFO: a sentence each");
}

int
main (void)
{
  if (mkdtemp (directory) == NULL)
    return 1;
  snprintf (path, sizeof path, "%s/ledger", directory);
  test_create ();
  test_used ();
  test_hostile ();
  test_refusals ();
  unlink (path);
  rmdir (directory);
  return check_done ();
}

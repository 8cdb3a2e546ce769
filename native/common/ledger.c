#include "ledger.h"

#include "cleanup.h"
#include "clock.h"
#include "ledger_layout.h"
#include "sum.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel looks through all locks of the file for each answer, and the container can take as many as it likes. So much of our
   own time may go into asking; so much of anybody's, where the kernel's own lock is one to sleep on. */
#define ASKING_NS UINT64_C (200000)
#define ASKING_WAIT_NS UINT64_C (2000000)

static bool
write_all (int fd, const void *bytes, size_t length, uint64_t offset)
{
  const char *at = bytes;
  while (length > 0)
    {
      ssize_t written = pwrite (fd, at, length, (off_t) offset);
      if (written < 0 && errno == EINTR)
        continue;
      if (written <= 0)
        return false;
      at += written;
      length -= (size_t) written;
      offset += (uint64_t) written;
    }
  return true;
}

int
spark_ledger_create (const char *path, uint64_t budget_bytes, uint64_t reserve_bytes, uint64_t withhold_bytes,
                     struct spark_error *error)
{
  if (budget_bytes == 0)
    return spark_fail (error, 0, "ledger %s: the budget is 0 bytes; give at least 1", path);
  cleanup_close int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (fd < 0)
    return spark_fail (error, errno, "cannot create the ledger %s", path);
  struct stat status;
  if (fstat (fd, &status) < 0)
    return spark_fail (error, errno, "cannot look at the ledger %s", path);
  if (!S_ISREG (status.st_mode))
    return spark_fail (error, 0, "the ledger %s is not a regular file; remove it or name another", path);
  /* Every user of the container writes to it, whatever our umask was. */
  if (fchmod (fd, 0666) < 0)
    return spark_fail (error, errno, "cannot make the ledger %s writable for the container", path);
  if (ftruncate (fd, (off_t) spark_ledger_slot_offset (SPARK_LEDGER_SLOTS)) < 0)
    return spark_fail (error, errno, "cannot give the ledger %s its size", path);

  static const char zeros[SPARK_LEDGER_HEADER_BYTES];
  for (uint64_t offset = 0; offset < spark_ledger_slot_offset (SPARK_LEDGER_SLOTS); offset += sizeof zeros)
    if (!write_all (fd, zeros, sizeof zeros, offset))
      return spark_fail (error, errno, "cannot write the ledger %s", path);
  struct spark_ledger_header header = {
    .version = SPARK_LEDGER_VERSION,
    .slot_count = SPARK_LEDGER_SLOTS,
    .budget_bytes = budget_bytes,
    .reserve_bytes = reserve_bytes,
    .withhold_bytes = withhold_bytes,
  };
  /* The magic last: whoever reads in between finds no ledger rather than half of one. */
  if (!write_all (fd, &header, sizeof header, 0) || !write_all (fd, SPARK_LEDGER_MAGIC, sizeof header.magic, 0))
    return spark_fail (error, errno, "cannot write the ledger %s", path);
  return 0;
}

static bool
slot_has_owner (int fd, uint32_t slot)
{
  struct flock lock = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t) spark_ledger_slot_offset (slot), .l_len = 1
  };
  /* Where the file system knows no such locks nobody can be told dead, so all count as alive. */
  return fcntl (fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

struct asking {
  bool over;
  uint64_t began_ns, began_own_ns; /* 0 = it has not begun */
};

/* Whether the slot's bytes are anybody's. Once the time is over all are: only the container itself looks larger by that. */
static bool
slot_counts (struct asking *asking, int fd, uint32_t slot)
{
  if (asking->over)
    return true;
  if (asking->began_ns == 0)
    {
      asking->began_ns = spark_clock_ns (CLOCK_MONOTONIC);
      asking->began_own_ns = spark_clock_ns (CLOCK_THREAD_CPUTIME_ID);
    }
  bool owned = slot_has_owner (fd, slot);
  uint64_t spent_ns = spark_clock_ns (CLOCK_MONOTONIC) - asking->began_ns;
  /* Time in which others ran is nobody's fault. The clock that tells is dearer, so it is asked only then. */
  asking->over = spent_ns > ASKING_NS
                 && (spent_ns > ASKING_WAIT_NS || spark_clock_ns (CLOCK_THREAD_CPUTIME_ID) - asking->began_own_ns > ASKING_NS);
  return owned;
}

static int
peek (int fd, bool ask, struct spark_ledger_view *view)
{
  struct asking asking = { .over = !ask };
  struct stat status;
  struct spark_ledger_header header;
  if (fstat (fd, &status) < 0)
    return -1;
  if (!S_ISREG (status.st_mode) || pread (fd, &header, sizeof header, 0) != (ssize_t) sizeof header
      || memcmp (header.magic, SPARK_LEDGER_MAGIC, sizeof header.magic) != 0 || header.version != SPARK_LEDGER_VERSION
      || header.slot_count == 0 || header.slot_count > SPARK_LEDGER_SLOTS_MAX)
    {
      errno = EPROTO;
      return -1;
    }
  struct spark_ledger_view seen = {
    .budget_bytes = header.budget_bytes,
    .reserve_bytes = header.reserve_bytes,
    .withhold_bytes = header.withhold_bytes,
    .peak_bytes = header.peak_bytes,
    .refused_count = header.refused_count,
  };
  enum { SLOTS_AT_ONCE = 64 };
  for (uint32_t first = 0; first < header.slot_count; first += SLOTS_AT_ONCE)
    {
      struct spark_ledger_slot slots[SLOTS_AT_ONCE];
      uint32_t count = header.slot_count - first < SLOTS_AT_ONCE ? header.slot_count - first : SLOTS_AT_ONCE;
      ssize_t wanted = (ssize_t) (count * sizeof slots[0]);
      if (pread (fd, slots, (size_t) wanted, (off_t) spark_ledger_slot_offset (first)) != wanted)
        {
          errno = EPROTO;
          return -1;
        }
      for (uint32_t i = 0; i < count; i++)
        if (slots[i].used_bytes != 0 && slot_counts (&asking, fd, first + i))
          seen.used_bytes = spark_sum (seen.used_bytes, slots[i].used_bytes);
    }
  seen.unasked = asking.over;
  *view = seen;
  return 0;
}

int
spark_ledger_peek (int fd, struct spark_ledger_view *view)
{
  return peek (fd, true, view);
}

int
spark_ledger_peek_unasked (int fd, struct spark_ledger_view *view)
{
  return peek (fd, false, view);
}

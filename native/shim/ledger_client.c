#include "ledger_client.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum {
  WAITERS = 0x80000000u,
  LOCK_WAIT_ns = 2 * 1000 * 1000, /* then ask whether the holder still lives */
  /* A living holder that does not let go was stopped inside a few dozen instructions (SIGSTOP, a debugger): after this many waits
     the lock is taken from it. */
  LOCK_WAITS_MAX = 1000,
  /* A word that changes under our eyes all the time is being scribbled over: go on without the lock. */
  LOCK_TRIES_MAX = 100 * 1000
};

/* ---- descriptors: one at a time, and none while another thread forks ---- */

static int
open_ledger (struct spark_ledger_client *client, const char *path)
{
  spark_lock_take (&client->descriptor);
  /* Without O_NONBLOCK a FIFO in the ledger's place would stop the program. */
  int fd = raw_open (path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    spark_lock_give (&client->descriptor);
  return fd;
}

static void
close_ledger (struct spark_ledger_client *client, int fd)
{
  raw_close (fd);
  spark_lock_give (&client->descriptor);
}

/* ---- who owns a slot ---- */

static bool
lock_slot (int fd, uint32_t slot)
{
  struct flock lock = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t) spark_ledger_slot_offset (slot), .l_len = 1
  };
  return raw_syscall (SYS_fcntl, fd, F_OFD_SETLK, &lock, 0) == 0;
}

/* True only where the kernel says so: an error must not bury a living process. */
static bool
slot_is_free (int fd, uint32_t slot)
{
  struct flock lock = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t) spark_ledger_slot_offset (slot), .l_len = 1
  };
  return raw_syscall (SYS_fcntl, fd, F_OFD_GETLK, &lock, 0) == 0 && lock.l_type == F_UNLCK;
}

/* The ledger again, -1 where the path does not lead to the mapped file any more (chroot, another mount namespace, a file made anew):
   the dead are then given back by somebody else. The locks of another file would tell that everybody is dead. */
static int
reopen (struct spark_ledger_client *client)
{
  int fd = open_ledger (client, client->path);
  struct stat status;
  if (fd < 0)
    return -1;
  if (raw_syscall (SYS_fstat, fd, &status, 0, 0) == 0 && status.st_dev == client->device && status.st_ino == client->inode)
    return fd;
  close_ledger (client, fd);
  return -1;
}

/* ---- the lock between processes ----
   It keeps requests from being refused because of each other: one is decided after the other. That the sum stays under the cap does
   not hang on it (try_reserve), so it may be taken from a holder that stands still, and a tenant who scribbles over it harms nothing. */

static bool
holder_is_dead (struct spark_ledger_client *client, uint32_t holder)
{
  if (holder == client->slot)
    return false; /* another thread of ours */
  int fd = reopen (client);
  if (fd < 0)
    return false;
  bool dead = slot_is_free (fd, holder - 1);
  close_ledger (client, fd);
  return dead;
}

static void
ledger_lock (struct spark_ledger_client *client)
{
  _Atomic uint32_t *word = &client->header->lock;
  uint32_t me = client->slot, seen = 0;
  if (atomic_compare_exchange_strong_explicit (word, &seen, me, memory_order_acquire, memory_order_relaxed))
    return;
  static const struct timespec patience = { .tv_nsec = LOCK_WAIT_ns };
  uint32_t holder = 0;
  for (int waits = 0, tries = 0; tries < LOCK_TRIES_MAX; tries++)
    {
      seen = atomic_load (word);
      if (seen == 0)
        {
          /* Others may sleep still: keep the mark, so that our unlock wakes one. */
          if (atomic_compare_exchange_strong (word, &seen, me | WAITERS))
            return;
          continue;
        }
      if ((seen & ~WAITERS) == 0 || (seen & ~WAITERS) > client->slot_count)
        {
          /* Nobody can hold it so: it was scribbled over. */
          if (atomic_compare_exchange_strong (word, &seen, me | WAITERS))
            return;
          continue;
        }
      if ((seen & WAITERS) == 0 && !atomic_compare_exchange_strong (word, &seen, seen | WAITERS))
        continue;
      seen |= WAITERS;
      if (raw_syscall (SYS_futex, word, FUTEX_WAIT, seen, &patience) != -ETIMEDOUT)
        continue;
      waits = (seen & ~WAITERS) == holder ? waits + 1 : 1;
      holder = seen & ~WAITERS;
      if ((waits >= LOCK_WAITS_MAX || holder_is_dead (client, holder))
          && atomic_compare_exchange_strong (word, &seen, me | WAITERS))
        return;
    }
}

/* Where it was taken from us while we stood still there is nothing to give. */
static void
ledger_unlock (struct spark_ledger_client *client)
{
  _Atomic uint32_t *word = &client->header->lock;
  for (uint32_t seen = atomic_load (word); (seen & ~WAITERS) == client->slot;)
    if (atomic_compare_exchange_strong_explicit (word, &seen, 0, memory_order_release, memory_order_relaxed))
      {
        if (seen & WAITERS)
          raw_syscall (SYS_futex, word, FUTEX_WAKE, 1, NULL);
        return;
      }
}

/* Takes at most what is there: the file can be reset under a living process. */
static void
subtract (_Atomic uint64_t *from, uint64_t bytes)
{
  uint64_t seen = atomic_load (from);
  while (!atomic_compare_exchange_weak (from, &seen, seen > bytes ? seen - bytes : 0))
    ;
}

/* ---- joining ---- */

static bool
header_is_sound (const struct spark_ledger_header *header, long file_bytes)
{
  return memcmp (header->magic, SPARK_LEDGER_MAGIC, sizeof header->magic) == 0 && header->version == SPARK_LEDGER_VERSION
         && header->slot_count > 0 && header->slot_count <= SPARK_LEDGER_SLOTS_MAX && header->budget_bytes > 0
         && file_bytes >= (long) spark_ledger_slot_offset (header->slot_count);
}

static enum spark_ledger_join
map_ledger (struct spark_ledger_client *client, int fd)
{
  struct stat status;
  if (raw_syscall (SYS_fstat, fd, &status, 0, 0) != 0 || !S_ISREG (status.st_mode)
      || status.st_size < (off_t) spark_ledger_slot_offset (1))
    return SPARK_LEDGER_BROKEN;
  long file_bytes = (long) status.st_size;
  uint64_t bytes = spark_ledger_slot_offset (SPARK_LEDGER_SLOTS_MAX);
  if ((uint64_t) file_bytes < bytes)
    bytes = (uint64_t) file_bytes;
  struct spark_ledger_header *header = raw_mmap (bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
  if (header == NULL)
    return SPARK_LEDGER_BROKEN;
  if (!header_is_sound (header, file_bytes))
    {
      raw_munmap (header, bytes);
      return SPARK_LEDGER_BROKEN;
    }
  raw_madvise (header, bytes, MADV_DONTFORK);
  client->device = status.st_dev;
  client->inode = status.st_ino;
  client->slot_count = header->slot_count;
  client->mapped_bytes = bytes;
  client->slots = (struct spark_ledger_slot *) ((char *) header + SPARK_LEDGER_HEADER_BYTES);
  client->header = header;
  return SPARK_LEDGER_JOINED;
}

static bool
claim_slot_of (struct spark_ledger_client *client, int fd)
{
  for (uint32_t i = 0; i < client->slot_count; i++)
    {
      if (!lock_slot (fd, i))
        continue;
      /* Whatever the slot still says was a dead process's. */
      client->slots[i].used_bytes = 0;
      /* From here the mapping carries the lock; PROT_NONE, because only its existence matters. */
      client->anchor = raw_mmap (SPARK_LEDGER_HEADER_BYTES, PROT_NONE, MAP_SHARED, fd);
      if (client->anchor == NULL)
        return false;
      raw_madvise (client->anchor, SPARK_LEDGER_HEADER_BYTES, MADV_DONTFORK);
      uint32_t touched = client->header->slots_touched;
      while (touched < i + 1 && !atomic_compare_exchange_weak (&client->header->slots_touched, &touched, i + 1))
        ;
      client->slots[i].pid = (uint32_t) raw_getpid ();
      client->slot = i + 1;
      return true;
    }
  return false;
}

enum spark_ledger_join
spark_ledger_join (struct spark_ledger_client *client, const char *path)
{
  size_t length = strlen (path);
  if (length >= sizeof client->path)
    return SPARK_LEDGER_BROKEN;
  int fd = open_ledger (client, path);
  if (fd < 0)
    return fd == -ENOENT || fd == -ENOTDIR ? SPARK_LEDGER_ABSENT : SPARK_LEDGER_BROKEN;
  memcpy (client->path, path, length + 1);
  enum spark_ledger_join result = map_ledger (client, fd);
  close_ledger (client, fd);
  return result;
}

void
spark_ledger_leave (struct spark_ledger_client *client)
{
  if (client->anchor != NULL)
    raw_munmap (client->anchor, SPARK_LEDGER_HEADER_BYTES);
  if (client->header != NULL)
    raw_munmap (client->header, client->mapped_bytes);
  memset (client, 0, sizeof *client);
}

static bool
claim_slot (struct spark_ledger_client *client)
{
  if (client->slot != 0)
    return true;
  spark_lock_take (&client->claiming);
  bool claimed = client->slot != 0;
  if (!claimed)
    {
      int fd = reopen (client);
      if (fd >= 0)
        {
          claimed = claim_slot_of (client, fd);
          close_ledger (client, fd);
        }
    }
  spark_lock_give (&client->claiming);
  return claimed;
}

void
spark_ledger_take_part (struct spark_ledger_client *client)
{
  if (!client->took_part)
    {
      client->took_part = true;
      claim_slot (client);
    }
}

/* ---- taking and giving ----
   The slots are the truth; one word of one slot changes at a time, so a process may die between any two instructions. */

static uint32_t
slots_in_use (const struct spark_ledger_client *client)
{
  uint32_t touched = client->header->slots_touched, own = client->slot;
  if (touched < own) /* scribbled over */
    touched = own;
  return touched < client->slot_count ? touched : client->slot_count;
}

static uint64_t
plus (uint64_t a, uint64_t b)
{
  uint64_t sum;
  return __builtin_add_overflow (a, b, &sum) ? UINT64_MAX : sum;
}

/* What all slots say, those of the dead included. */
static uint64_t
sum_of_slots (const struct spark_ledger_client *client)
{
  uint64_t sum = 0;
  for (uint32_t i = 0, count = slots_in_use (client); i < count; i++)
    sum = plus (sum, client->slots[i].used_bytes);
  return sum;
}

/* Empties the slots of dead processes. With the lock held from the first look to the last unlocked slot: somebody else who collects
   would take our locks for a living owner's, and be refused what is just being given back. */
static void
collect_the_dead (struct spark_ledger_client *client)
{
  int fd = -1;
  ledger_lock (client);
  for (uint32_t i = 0, count = slots_in_use (client); i < count; i++)
    {
      if (i + 1 == client->slot || client->slots[i].used_bytes == 0)
        continue;
      if (fd < 0 && (fd = reopen (client)) < 0)
        break;
      /* Locked, not only looked at: nobody may move in while we clear. Closing the descriptor unlocks. */
      if (lock_slot (fd, i))
        client->slots[i].used_bytes = 0;
    }
  if (fd >= 0)
    close_ledger (client, fd);
  ledger_unlock (client);
}

/* Looks, takes, and looks again: of two who took at once, because one of them had lost the lock, the later look sees both. */
static bool
try_reserve (struct spark_ledger_client *client, uint64_t bytes, uint64_t cap_bytes)
{
  _Atomic uint64_t *own = &client->slots[client->slot - 1].used_bytes;
  ledger_lock (client);
  bool fits = plus (sum_of_slots (client), bytes) <= cap_bytes;
  if (fits)
    {
      atomic_fetch_add (own, bytes);
      uint64_t sum = sum_of_slots (client);
      fits = sum <= cap_bytes;
      if (fits)
        client->header->used_bytes = sum;
      else
        subtract (own, bytes);
    }
  ledger_unlock (client);
  return fits;
}

bool
spark_ledger_reserve (struct spark_ledger_client *client, uint64_t bytes, uint64_t cap_bytes)
{
  if (bytes > cap_bytes || !claim_slot (client))
    return false;
  if (try_reserve (client, bytes, cap_bytes))
    return true;
  collect_the_dead (client);
  return try_reserve (client, bytes, cap_bytes);
}

void
spark_ledger_commit (struct spark_ledger_client *client)
{
  /* The sum at the last reservation, by whomever: one that was there. Adding up the slots here, without the lock, would see some of them
     before a change and some after. */
  uint64_t used = client->header->used_bytes, peak = client->header->peak_bytes;
  while (peak < used && !atomic_compare_exchange_weak (&client->header->peak_bytes, &peak, used))
    ;
}

void
spark_ledger_release (struct spark_ledger_client *client, uint64_t bytes)
{
  if (bytes != 0 && client->slot != 0)
    subtract (&client->slots[client->slot - 1].used_bytes, bytes);
}

void
spark_ledger_count_refusal (struct spark_ledger_client *client)
{
  atomic_fetch_add (&client->header->refused_count, 1);
}

uint64_t
spark_ledger_used (struct spark_ledger_client *client)
{
  uint64_t used = 0;
  int fd = -1;
  bool can_ask = !spark_lock_is_mine (&client->descriptor); /* else in a signal handler: what the dead held counts */
  for (uint32_t i = 0, count = slots_in_use (client); i < count; i++)
    {
      uint64_t held = client->slots[i].used_bytes;
      if (held != 0 && i + 1 != client->slot && can_ask)
        {
          if (fd < 0)
            can_ask = (fd = reopen (client)) >= 0;
          if (can_ask && slot_is_free (fd, i))
            continue;
        }
      used = plus (used, held);
    }
  if (fd >= 0)
    close_ledger (client, fd);
  return used;
}

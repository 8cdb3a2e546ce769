#include "host_file.h"

#include "meminfo_text.h"
#include "raw.h"
#include "report.h"
#include "trace.h"
#include <errno.h>
#include <linux/memfd.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Newer than some kernel headers: F_ADD_SEALS and its seals (3.17), MFD_NOEXEC_SEAL (6.3, where a sysctl may demand it). */
enum {
  ADD_SEALS = 1033,
  SEAL_ALL_BUT_EXEC = 0x1 | 0x2 | 0x4 | 0x8, /* seal, shrink, grow, write */
  NOEXEC_SEAL = 0x8,
  TEXT_BYTES = 16384 /* /proc/meminfo has about 1.5 KiB */
};

/* ---- the descriptors that were given, for rewinding them ---- */

/* Each a descriptor and, above it, the low half of its memory file's inode; 0 is free. Without a lock: the only thread of a forked
   child may find one held for ever, and it inherits these. More at one time are given too, but stay as they were when opened. */
enum { GIVEN_MAX = 16 };
static _Atomic uint64_t given[GIVEN_MAX];
static _Atomic bool any_given;

/* What the table would have for `fd` as it is now; 0 where it is not open. */
static uint64_t
entry_of (int fd)
{
  struct stat status;
  return raw_syscall (SYS_fstat, fd, &status, 0, 0) == 0 ? (uint64_t) status.st_ino << 32 | (uint32_t) fd : 0;
}

bool
spark_host_file_any (void)
{
  return atomic_load_explicit (&any_given, memory_order_relaxed);
}

static void
remember (int fd)
{
  uint64_t entry = entry_of (fd);
  for (int i = 0; i < GIVEN_MAX; i++)
    {
      uint64_t seen = given[i];
      /* Free, this descriptor's older file, or closed since. */
      bool is_free = seen == 0 || (uint32_t) seen == (uint32_t) fd || entry_of ((int) (uint32_t) seen) != seen;
      if (is_free && atomic_compare_exchange_strong (&given[i], &seen, entry))
        break;
    }
  atomic_store_explicit (&any_given, true, memory_order_relaxed);
}

/* Still the file that was given, not another one under the same number? */
static bool
is_given (int fd)
{
  uint64_t entry = entry_of (fd);
  for (int i = 0; i < GIVEN_MAX && entry != 0; i++)
    if (given[i] == entry)
      return true;
  return false;
}

/* ---- the file ---- */

static bool
is_meminfo (int fd)
{
  long flags = raw_syscall (SYS_fcntl, fd, F_GETFL, 0, 0);
  return flags >= 0 && (flags & (O_ACCMODE | O_PATH)) == O_RDONLY && raw_is_procfs (fd);
}

static size_t
read_all (int fd, char *text, size_t size)
{
  size_t used = 0;
  while (used < size)
    {
      long got = raw_syscall (SYS_pread64, fd, text + used, size - used, used);
      if (got == -EINTR)
        continue;
      if (got < 0)
        return 0;
      if (got == 0)
        break;
      used += (size_t) got;
    }
  return used;
}

/* A memory file needs no writable place in the image and no rights, and Docker's own seccomp profile allows it. -1 where it cannot
   be had. */
static int
make_file (const char *text, size_t length)
{
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  /* Where files may not be so long, the attempt would end the program. */
  if (!raw_file_may_have (length))
    return -1;
  long fd = raw_syscall (SYS_memfd_create, "meminfo", flags | NOEXEC_SEAL, 0, 0);
  if (fd == -EINVAL)
    fd = raw_syscall (SYS_memfd_create, "meminfo", flags, 0, 0);
  if (fd < 0)
    return -1;
  if (raw_syscall (SYS_write, fd, text, length, 0) != (long) length)
    {
      raw_close ((int) fd);
      return -1;
    }
  raw_syscall (SYS_fchmod, fd, 0444, 0, 0);
  raw_syscall (SYS_fcntl, fd, ADD_SEALS, SEAL_ALL_BUT_EXEC, 0);
  return (int) fd;
}

/* The same file, open for reading alone as the caller asked; where /proc is not there, the sealed one. Its offset is 0. */
static int
reopen_read_only (int fd)
{
  char path[32] = "/proc/self/fd/", *at = path + sizeof "/proc/self/fd/" - 1;
  char digits[12], *first = digits + sizeof digits;
  for (int rest = fd; first == digits + sizeof digits || rest != 0; rest /= 10)
    *--first = (char) ('0' + rest % 10);
  memcpy (at, first, (size_t) (digits + sizeof digits - first));
  int again = raw_open (path, O_RDONLY);
  if (again < 0)
    {
      raw_syscall (SYS_lseek, fd, 0, SEEK_SET, 0);
      return fd;
    }
  raw_close (fd);
  return again;
}

/* Makes `fd`, which leads to `source` or to an older answer, lead to a fresh one. */
static bool
answer (struct spark_process *process, int source, int fd, struct spark_room *room)
{
  /* Not on the stack: a thread's may be small. */
  char *texts = raw_mmap (2 * TEXT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (texts == NULL)
    return false;
  char *real = texts, *told = texts + TEXT_BYTES;
  size_t length = read_all (source, real, TEXT_BYTES);
  uint64_t real_total = spark_meminfo_text_total (real, length);
  int file = -1;
  if (real_total != 0)
    {
      *room = spark_report_room (process, real_total);
      length = spark_meminfo_text_rewrite (real, length, room->total_bytes, room->free_bytes, told, TEXT_BYTES);
      file = length != 0 ? make_file (told, length) : -1;
    }
  raw_munmap (texts, 2 * TEXT_BYTES);
  if (file < 0)
    return false;
  file = reopen_read_only (file);
  long close_on_exec = raw_syscall (SYS_fcntl, fd, F_GETFD, 0, 0);
  bool done = close_on_exec >= 0
              && raw_syscall (SYS_dup3, file, fd, (close_on_exec & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0, 0) == fd;
  raw_close (file);
  if (done)
    remember (fd);
  return done;
}

void
spark_host_file_opened (int fd, const char *path, const char *call)
{
  if (!is_meminfo (fd))
    return;
  int saved_errno = errno;
  struct spark_process *process = spark_process_quietly ();
  struct spark_room room;
  if (process != NULL && answer (process, fd, fd, &room))
    SPARK_TRACE (.layer = "host", .call = call, .detail = path, .has_room = true, .free_bytes = room.free_bytes,
                 .total_bytes = room.total_bytes, .by = SPARK_BY_SHIM);
  else
    SPARK_TRACE (.layer = "host", .call = call, .detail = path, .by = SPARK_BY_DRIVER);
  errno = saved_errno;
}

void
spark_host_file_rewound (int fd, const char *call)
{
  if (!is_given (fd))
    return;
  int saved_errno = errno;
  struct spark_process *process = spark_process_quietly ();
  int source = process != NULL ? raw_open ("/proc/meminfo", O_RDONLY) : -1;
  struct spark_room room;
  if (source >= 0 && is_meminfo (source) && answer (process, source, fd, &room))
    SPARK_TRACE (.layer = "host", .call = call, .has_room = true, .free_bytes = room.free_bytes,
                 .total_bytes = room.total_bytes, .by = SPARK_BY_SHIM);
  if (source >= 0)
    raw_close (source);
  errno = saved_errno;
}

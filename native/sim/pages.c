#include "pages.h"

#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* One file without a name holds everything this process took; a run of pages is a stretch of it. One descriptor however
   many allocations there are, and the kernel frees it all when the process is gone. Stretches are never used twice:
   a file is 2^63 bytes long and only what was filled takes memory. */
static int pool_fd = -1;
static struct stat pool_identity;
static uint64_t pool_end_bytes;
static uint64_t own_bytes;
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;

/* Looks at the machine again after this much, so that two processes together cannot overshoot it by more. */
static const uint64_t STEP_BYTES = UINT64_C (64) << 20;

/* Two processes that each found room for one and took for both give everything back; a few tries settle who is first. */
enum { TRIES = 4 };

static bool
pool_open (void)
{
  const struct sim_machine *machine = sim_machine ();
  struct stat now;
  /* A program may close every descriptor it does not know; the number may be another file's by then. */
  if (pool_fd >= 0 && fstat (pool_fd, &now) == 0 && now.st_ino == pool_identity.st_ino
      && now.st_dev == pool_identity.st_dev)
    return true;
  if (own_bytes > 0)
    {
      errno = EBADF;
      return false;
    }
  pool_fd = memfd_create ("spark-sim-pages", MFD_CLOEXEC | (machine->hugetlb ? MFD_HUGETLB : 0));
  return pool_fd >= 0 && fstat (pool_fd, &pool_identity) == 0;
}

static void
punch (uint64_t offset, uint64_t bytes)
{
  while (fallocate (pool_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) offset, (off_t) bytes) != 0
         && errno == EINTR)
    ;
}

static int
fill (uint64_t offset, uint64_t bytes)
{
  while (fallocate (pool_fd, 0, (off_t) offset, (off_t) bytes) != 0)
    if (errno != EINTR) /* a signal stops it half-way; the next call goes on from there */
      return errno == ENOSPC ? ENOMEM : errno;
  return 0;
}

/* Takes step by step and stops as soon as the machine is over its size, whoever else is taking. */
static int
take_once (uint64_t offset, uint64_t bytes, bool *over)
{
  const struct sim_machine *machine = sim_machine ();
  *over = false;
  for (uint64_t done = 0; done < bytes;)
    {
      uint64_t step = bytes - done < STEP_BYTES ? bytes - done : STEP_BYTES;
      int status = fill (offset + done, step);
      done += step;
      if (status == 0 && sim_machine_used (own_bytes + done) > machine->total_bytes)
        {
          *over = true;
          status = ENOMEM;
        }
      if (status != 0)
        {
          punch (offset, bytes);
          return status;
        }
    }
  return 0;
}

static int
take (uint64_t bytes, struct sim_pages *pages)
{
  if (!pool_open ())
    return errno;
  for (int i = 0; i < TRIES; i++)
    {
      if (bytes > sim_machine_free (own_bytes))
        return ENOMEM;
      bool over;
      int status = take_once (pool_end_bytes, bytes, &over);
      if (status == 0)
        {
          *pages = (struct sim_pages){ .offset = pool_end_bytes, .bytes = bytes };
          pool_end_bytes += bytes;
          own_bytes += bytes;
          return 0;
        }
      if (!over)
        return status;
      /* Not the same wait in two processes: their ids differ. */
      nanosleep (&(struct timespec){ .tv_nsec = (1 + getpid () % 7) * 3000000L * (i + 1) }, NULL);
    }
  return ENOMEM;
}

int
sim_pages_take (uint64_t bytes, struct sim_pages *pages)
{
  const uint64_t page = sim_machine ()->page_bytes;
  if (bytes > UINT64_MAX - page)
    {
      errno = ENOMEM;
      return -1;
    }
  pthread_mutex_lock (&pool_lock);
  int status = take ((bytes + page - 1) / page * page, pages);
  pthread_mutex_unlock (&pool_lock);
  errno = status;
  return status == 0 ? 0 : -1;
}

void
sim_pages_give (const struct sim_pages *pages)
{
  pthread_mutex_lock (&pool_lock);
  if (pool_open ())
    punch (pages->offset, pages->bytes);
  own_bytes -= pages->bytes;
  pthread_mutex_unlock (&pool_lock);
}

void *
sim_pages_map (const struct sim_pages *pages, uint64_t bytes, void *address, int protection)
{
  pthread_mutex_lock (&pool_lock);
  void *at = pool_open () ? mmap (address, bytes, protection, MAP_SHARED | (address != NULL ? MAP_FIXED : 0), pool_fd,
                                  (off_t) pages->offset)
                          : MAP_FAILED;
  pthread_mutex_unlock (&pool_lock);
  if (at == MAP_FAILED)
    return NULL;
  madvise (at, bytes, MADV_DONTFORK);
  return at;
}

uint64_t
sim_pages_own (void)
{
  pthread_mutex_lock (&pool_lock);
  uint64_t bytes = own_bytes;
  pthread_mutex_unlock (&pool_lock);
  return bytes;
}

void
sim_pages_forget (void)
{
  if (pool_fd >= 0)
    close (pool_fd);
  pool_fd = -1;
}

#include "pages.h"

#include "machine.h"
#include "requests.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
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
static uint64_t pool_bytes; /* held in that file */
static uint64_t own_bytes;  /* held, in whatever file */
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;

/* Looks at the machine again after this much, so that two processes together cannot overshoot it by more. */
static const uint64_t STEP_BYTES = UINT64_C (64) << 20;

/* Two processes that each found room for one and took for both give everything back; a few tries settle who is first. */
enum { TRIES = 4 };

static int
file_new (const char *name)
{
  return memfd_create (name, MFD_CLOEXEC | (sim_machine ()->hugetlb ? MFD_HUGETLB : 0));
}

static bool
pool_open (void)
{
  struct stat now;
  /* A program may close every descriptor it does not know; the number may be another file's by then. */
  if (pool_fd >= 0 && fstat (pool_fd, &now) == 0 && now.st_ino == pool_identity.st_ino
      && now.st_dev == pool_identity.st_dev)
    return true;
  if (pool_bytes > 0)
    {
      errno = EBADF;
      return false;
    }
  pool_fd = file_new ("spark-sim-pages");
  return pool_fd >= 0 && fstat (pool_fd, &pool_identity) == 0;
}

static void
punch (int file, uint64_t offset, uint64_t bytes)
{
  while (fallocate (file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) offset, (off_t) bytes) != 0
         && errno == EINTR)
    ;
}

static int
fill (int file, uint64_t offset, uint64_t bytes)
{
  while (fallocate (file, 0, (off_t) offset, (off_t) bytes) != 0)
    if (errno != EINTR) /* a signal stops it half-way; the next call goes on from there */
      return errno == ENOSPC ? ENOMEM : errno;
  return 0;
}

/* Takes step by step and stops as soon as the machine is over its size, whoever else is taking. */
static int
take_once (int file, uint64_t offset, uint64_t bytes, bool *over)
{
  const struct sim_machine *machine = sim_machine ();
  *over = false;
  for (uint64_t done = 0; done < bytes;)
    {
      uint64_t step = bytes - done < STEP_BYTES ? bytes - done : STEP_BYTES;
      int status = fill (file, offset + done, step);
      done += step;
      if (status == 0 && sim_machine_used (own_bytes + done) > machine->total_bytes)
        {
          *over = true;
          status = ENOMEM;
        }
      if (status != 0)
        {
          punch (file, offset, bytes);
          return status;
        }
    }
  return 0;
}

static int
take (int file, uint64_t offset, uint64_t bytes)
{
  for (int i = 0; i < TRIES; i++)
    {
      if (bytes > sim_machine_free (own_bytes))
        return ENOMEM;
      bool over;
      int status = take_once (file, offset, bytes, &over);
      if (status == 0)
        {
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

/* `bytes` in whole pages; 0 where that is more than there is room to count. */
static uint64_t
whole_pages (uint64_t bytes)
{
  const uint64_t page = sim_machine ()->page_bytes;
  return bytes > UINT64_MAX - page ? 0 : (bytes + page - 1) / page * page;
}

/* Names for the kernel module (requests.h). No stretch of the process's file is used twice; files are told apart by descriptor. */
static uint32_t
object_of (int file, uint64_t offset)
{
  enum { OF_FILES = 0x40000000, OF_STRETCHES = 0x20000000, PAGES_OF_A_FILE = 1 << 17 };
  const uint32_t page = (uint32_t) (offset / sim_machine ()->page_bytes);
  return file != pool_fd ? OF_FILES + (uint32_t) file * PAGES_OF_A_FILE + page : OF_STRETCHES + page;
}

/* A request for each page, since a pool cuts its runs and gives back parts of them. */
static void
give_by_requests (int file, uint64_t offset, uint64_t bytes)
{
  const uint64_t page = sim_machine ()->page_bytes;
  for (uint64_t done = 0; sim_machine ()->makes_requests && done < bytes; done += page)
    sim_requests_give (object_of (file, offset + done));
}

static int
take_by_requests (int file, uint64_t offset, uint64_t bytes)
{
  const uint64_t page = sim_machine ()->page_bytes;
  for (uint64_t done = 0; sim_machine ()->makes_requests && done < bytes; done += page)
    if (!sim_requests_take (page, object_of (file, offset + done)))
      {
        give_by_requests (file, offset, done);
        return ENOMEM;
      }
  int status = take (file, offset, bytes);
  if (status != 0)
    give_by_requests (file, offset, bytes);
  return status;
}

static int
result_of (int status)
{
  errno = status;
  return status == 0 ? 0 : -1;
}

int
sim_pages_take (uint64_t bytes, struct sim_pages *pages)
{
  const uint64_t whole = whole_pages (bytes);
  if (whole == 0)
    return result_of (ENOMEM);
  pthread_mutex_lock (&pool_lock);
  int status = pool_open () ? take_by_requests (pool_fd, pool_end_bytes, whole) : errno;
  if (status == 0)
    {
      *pages = (struct sim_pages){ .offset = pool_end_bytes, .bytes = whole };
      pool_end_bytes += whole;
      pool_bytes += whole;
    }
  pthread_mutex_unlock (&pool_lock);
  return result_of (status);
}

int
sim_pages_take_file (uint64_t bytes, struct sim_pages *pages)
{
  const uint64_t whole = whole_pages (bytes);
  if (whole == 0)
    return result_of (ENOMEM);
  int file = file_new ("spark-sim-shared");
  if (file < 0)
    return -1;
  pthread_mutex_lock (&pool_lock);
  int status = take_by_requests (file, 0, whole);
  pthread_mutex_unlock (&pool_lock);
  if (status == 0)
    *pages = (struct sim_pages){ .bytes = whole, .file = file };
  else
    close (file);
  return result_of (status);
}

int
sim_pages_borrow (int file, struct sim_pages *pages)
{
  struct stat size;
  if (fstat (file, &size) != 0)
    return -1;
  if (!S_ISREG (size.st_mode) || size.st_size <= 0)
    return result_of (EINVAL);
  int mine = fcntl (file, F_DUPFD_CLOEXEC, 3);
  if (mine < 0)
    return -1;
  *pages = (struct sim_pages){ .bytes = (uint64_t) size.st_size, .file = mine, .borrowed = true };
  return 0;
}

int
sim_pages_lend (const struct sim_pages *pages)
{
  return fcntl (pages->file, F_DUPFD_CLOEXEC, 3);
}

void
sim_pages_give (const struct sim_pages *pages)
{
  pthread_mutex_lock (&pool_lock);
  if (!pages->borrowed)
    give_by_requests (pages->file > 0 ? pages->file : pool_fd, pages->offset, pages->bytes);
  if (pages->file > 0)
    close (pages->file);
  else
    {
      if (pool_open ())
        punch (pool_fd, pages->offset, pages->bytes);
      pool_bytes -= pages->bytes;
    }
  if (!pages->borrowed)
    own_bytes -= pages->bytes;
  pthread_mutex_unlock (&pool_lock);
}

static void *
map (int file, const struct sim_pages *pages, uint64_t bytes, void *address, int protection)
{
  void *at = mmap (address, bytes, protection, MAP_SHARED | (address != NULL ? MAP_FIXED : 0), file,
                   (off_t) pages->offset);
  if (at == MAP_FAILED)
    return NULL;
  madvise (at, bytes, MADV_DONTFORK);
  return at;
}

void *
sim_pages_map (const struct sim_pages *pages, uint64_t bytes, void *address, int protection)
{
  pthread_mutex_lock (&pool_lock);
  void *at = pages->file > 0 ? map (pages->file, pages, bytes, address, protection)
             : pool_open ()  ? map (pool_fd, pages, bytes, address, protection)
                             : NULL;
  pthread_mutex_unlock (&pool_lock);
  return at;
}

bool
sim_pages_place (struct sim_pages_place *place)
{
  pthread_mutex_lock (&pool_lock);
  bool open = pool_open ();
  if (open)
    *place = (struct sim_pages_place){ .pid = getpid (), .file = pool_fd, .inode = pool_identity.st_ino };
  pthread_mutex_unlock (&pool_lock);
  return open;
}

void *
sim_pages_map_at (const struct sim_pages_place *place, const struct sim_pages *pages)
{
  char path[64];
  struct stat identity;
  snprintf (path, sizeof path, "/proc/%d/fd/%d", (int) place->pid, place->file);
  int file = open (path, O_RDWR | O_CLOEXEC);
  if (file < 0)
    return NULL;
  /* The process may be another one by now, or the number another file's. */
  bool same = fstat (file, &identity) == 0 && identity.st_ino == place->inode;
  void *at = same ? map (file, pages, pages->bytes, NULL, PROT_READ | PROT_WRITE) : NULL;
  close (file);
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

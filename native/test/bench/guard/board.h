/* What a load and the observer share: one page of memory, mapped from a file. */
#ifndef SPARK_BENCH_BOARD_H
#define SPARK_BENCH_BOARD_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct board {
  _Atomic uint32_t go;          /* the observer watches: begin */
  _Atomic uint32_t members;     /* processes that the load has had */
  _Atomic uint64_t taken_bytes; /* by all of its processes together */
  _Atomic uint64_t beat_ns;     /* when one of them last ended a step */
  _Atomic uint64_t step_ns;     /* how long that step took: where many take, of its own processor's time */
};

enum { BOARD_BYTES = 4096 };

static inline struct board *
board_open (const char *path)
{
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate (fd, BOARD_BYTES) != 0)
    return NULL;
  void *page = mmap (NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  close (fd);
  return page == MAP_FAILED ? NULL : page;
}

static inline uint64_t
board_clock_ns (clockid_t clock)
{
  struct timespec now;
  clock_gettime (clock, &now);
  return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static inline uint64_t
board_now_ns (void)
{
  return board_clock_ns (CLOCK_MONOTONIC);
}

#endif

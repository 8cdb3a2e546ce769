/* A program that takes huge pages, as a driver takes memory: no memory cgroup sees them.
   fill BYTES [BYTES_PER_SECOND]: takes that much (as fast as it can, or at that pace), prints one line and holds it until killed. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 2 << 20 };

static double
seconds (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

int
main (int argc, char **argv)
{
  uint64_t bytes = argc > 1 ? strtoull (argv[1], NULL, 10) : 0, pace = argc > 2 ? strtoull (argv[2], NULL, 10) : 0;

  alarm (120); /* a test that died must not leave this behind */
  /* Like a driver, page by page: one mapping each, so that the kernel's promise does not come before the page. */
  double start = seconds ();
  for (uint64_t taken = 0; taken < bytes; taken += PAGE)
    {
      char *page = mmap (NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
      if (page == MAP_FAILED)
        {
          printf ("full after %llu\n", (unsigned long long) taken);
          fflush (stdout);
          break;
        }
      *page = 1;
      double ahead = pace > 0 ? (double) taken / (double) pace - (seconds () - start) : 0;
      if (ahead > 0.001)
        usleep ((useconds_t) (ahead * 1e6));
    }
  double took = seconds () - start;
  printf ("holding %llu after %.3f s\n", (unsigned long long) bytes, took);
  fflush (stdout);
  for (;;)
    pause ();
}

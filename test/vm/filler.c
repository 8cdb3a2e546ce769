/* A program that takes the driver's memory without any library: each request goes to the kernel module as libcuda's would.
   filler DEVICE STEP…: a step is BYTES or BYTESxCOUNT, so many requests of that size. Every step waits for SIGUSR1, is told on stdout, and
   all is held until the end. The device is opened by the first step; without a step it only waits. */
#include "common/rm_abi.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int
take (int device_fd, uint64_t bytes)
{
  /* The module reads NVIDIA's whole structure; its rest is nothing to it. */
  struct {
    struct rm_memory read;
    uint8_t rest[56];
  } memory = { .read.bytes = bytes };
  struct rm_alloc request = { .root = 0xc1d00001,
                              .parent = 1,
                              .class_number = RM_CLASS_MEMORY_SYSTEM,
                              .parameters = (uintptr_t) &memory,
                              .parameters_bytes = sizeof memory };

  return ioctl (device_fd, RM_REQUEST_ALLOC, &request) == 0 && request.status == RM_OK ? 0 : -1;
}

static void
run_step (int device_fd, const char *step)
{
  char *end;
  uint64_t bytes = strtoull (step, &end, 10);
  unsigned long count = *end == 'x' ? strtoul (end + 1, NULL, 10) : 1;

  for (unsigned long i = 0; i < count; i++)
    if (take (device_fd, bytes) != 0)
      {
        printf ("refused after %lu of %s\n", i, step);
        return;
      }
  printf ("took %s\n", step);
}

int
main (int argc, char **argv)
{
  sigset_t go;
  int signal_number, device_fd = -1;

  setvbuf (stdout, NULL, _IOLBF, 0);
  sigemptyset (&go);
  sigaddset (&go, SIGUSR1);
  sigprocmask (SIG_BLOCK, &go, NULL);
  puts ("ready");
  for (int i = 2; i < argc; i++)
    if (sigwait (&go, &signal_number) == 0)
      {
        if (device_fd < 0 && (device_fd = open (argv[1], O_RDWR | O_CLOEXEC)) < 0)
          {
            perror (argv[1]);
            return 1;
          }
        run_step (device_fd, argv[i]);
      }
  for (;;)
    pause ();
}

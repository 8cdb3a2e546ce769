/* Directories of a test's own for a guard, and a meminfo that the test writes. */
#ifndef SPARK_TEST_GUARD_DIRECTORIES_H
#define SPARK_TEST_GUARD_DIRECTORIES_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/spark-guard-test.XXXXXX";
static char run_dir[64], log_dir[64], meminfo_path[64], cgroup_root[64];
static int meminfo_fd = -1;

/* Never empty in between: a guard in another process may read it at any time. */
static void
write_meminfo (const char *text)
{
  ssize_t length = (ssize_t) strlen (text);

  if (pwrite (meminfo_fd, text, (size_t) length, 0) != length || ftruncate (meminfo_fd, length) != 0)
    abort ();
}

static void
set_available (uint64_t mib)
{
  char text[128];

  snprintf (text, sizeof text, "MemTotal: 8388608 kB\nMemFree: 0 kB\nMemAvailable: %llu kB\nAnonPages: %llu kB\n",
            (unsigned long long) mib * 1024, (8192 - (unsigned long long) mib) * 1024);
  write_meminfo (text);
}

static void
directories_make (void)
{
  if (mkdtemp (directory) == NULL)
    abort ();
  snprintf (run_dir, sizeof run_dir, "%s/run", directory);
  snprintf (log_dir, sizeof log_dir, "%s/log", directory);
  snprintf (cgroup_root, sizeof cgroup_root, "%s/cg", directory);
  snprintf (meminfo_path, sizeof meminfo_path, "%s/meminfo", directory);
  mkdir (run_dir, 0755);
  mkdir (log_dir, 0755);
  mkdir (cgroup_root, 0755);
  meminfo_fd = open (meminfo_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  set_available (4000);
}

static void
directories_remove (void)
{
  char command[64];

  close (meminfo_fd);
  snprintf (command, sizeof command, "rm -r %s", directory);
  if (system (command) != 0)
    printf ("# %s is left\n", directory);
}

#endif

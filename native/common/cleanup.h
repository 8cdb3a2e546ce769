/* Cleanup attributes: a variable gives back what it holds when it goes out of scope. */
#ifndef SPARK_COMMON_CLEANUP_H
#define SPARK_COMMON_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void
spark_cleanup_free (void *p)
{
  free (*(void **) p);
}

static inline void
spark_cleanup_close (int *fd)
{
  if (*fd >= 0)
    close (*fd);
}

static inline void
spark_cleanup_file (FILE **f)
{
  if (*f != NULL)
    fclose (*f);
}

static inline void
spark_cleanup_dir (DIR **d)
{
  if (*d != NULL)
    closedir (*d);
}

#define cleanup_free __attribute__ ((cleanup (spark_cleanup_free)))
#define cleanup_close __attribute__ ((cleanup (spark_cleanup_close)))
#define cleanup_file __attribute__ ((cleanup (spark_cleanup_file)))
#define cleanup_dir __attribute__ ((cleanup (spark_cleanup_dir)))

#endif

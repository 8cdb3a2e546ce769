#include "log.h"

#include "raw.h"
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

void
spark_say (const char *what, const char *detail)
{
  static const char prefix[] = "spark-shim: ";
  /* One call, so that lines of several threads do not mix. */
  struct iovec parts[] = {
    { (void *) prefix, sizeof prefix - 1 },
    { (void *) what, strlen (what) },
    { (void *) detail, strlen (detail) },
    { (void *) "\n", 1 },
  };
  raw_syscall (SYS_writev, 2, parts, sizeof parts / sizeof parts[0], 0);
}

void
spark_log (const char *what, const char *detail)
{
  const char *wanted = getenv ("SPARK_RUN_DEBUG");
  if (wanted != NULL && strcmp (wanted, "1") == 0)
    spark_say (what, detail);
}

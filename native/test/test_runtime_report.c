/* What the runtime appends to logs. */
#include "runtime/report.h"
#include "test/check.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static off_t
size_of (const char *path)
{
  struct stat status;
  return stat (path, &status) == 0 ? status.st_size : -1;
}

int
main (void)
{
  char directory[] = "/tmp/spark-report.XXXXXX", events[64], target[64], log[64];
  const struct spark_subject subject = { "id", "name", NULL };

  if (mkdtemp (directory) == NULL)
    abort ();
  snprintf (events, sizeof events, "%s/events.jsonl", directory);
  snprintf (target, sizeof target, "%s/target", directory);
  snprintf (log, sizeof log, "%s/log", directory);
  spark_report_event (directory, "warning", &subject, "one");
  CHECK (size_of (events) > 0);
  test_done ("an event is appended");

  unlink (events);
  CHECK (symlink (target, events) == 0);
  spark_report_event (directory, "warning", &subject, "two");
  CHECK (size_of (target) < 0);
  test_done ("an event log that is a symbolic link is not written through");

  CHECK (symlink (target, log) == 0);
  spark_report_to_engine (log, true, "three");
  CHECK (size_of (target) > 0);
  test_done ("the log that an engine names may be one");
  unlink (events);
  unlink (target);
  unlink (log);
  rmdir (directory);
  return check_done ();
}

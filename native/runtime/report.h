/* How we are heard: the engine's log file, stderr, and the host's event log. Never stdout. */
#ifndef SPARK_RUNTIME_REPORT_H
#define SPARK_RUNTIME_REPORT_H

#include <stdbool.h>

/* Who an event is about; members may be NULL. */
struct spark_subject {
  const char *id;
  const char *name;
  const char *request;
};

/* Appends the sentence as an error to the log file that the engine gave with --log (NULL = none), as one line of JSON or
   of logfmt, so that the engine shows it to the person. */
void spark_report_to_engine (const char *log_file, bool json, const char *sentence);

/* Appends one line to <log_dir>/events.jsonl in a single write: docs/formats.md section 8. `type` is "refused" or
   "warning". NULL or unwritable: nothing happens. */
void spark_report_event (const char *log_dir, const char *type, const struct spark_subject *subject, const char *sentence);

#endif

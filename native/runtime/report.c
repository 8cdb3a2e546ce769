#include "report.h"

#include "common/cleanup.h"
#include "json.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const char *
utc_now (char *buffer, size_t size)
{
  struct timespec now;
  struct tm parts;
  char seconds[32];
  clock_gettime (CLOCK_REALTIME, &now);
  gmtime_r (&now.tv_sec, &parts);
  strftime (seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf (buffer, size, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
  return buffer;
}

/* `more_flags` is for open(2): ours are never symbolic links, what an engine names may be one (/dev/stderr). */
static void
append_line (const char *file, int more_flags, const char *text)
{
  cleanup_free char *line = NULL;
  int length = asprintf (&line, "%s\n", text);
  cleanup_close int fd = open (file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | more_flags, 0644);
  if (length > 0 && fd >= 0 && write (fd, line, (size_t) length) < 0)
    return; /* nobody is left to tell */
}

void
spark_report_to_engine (const char *log_file, bool json, const char *sentence)
{
  if (log_file == NULL || log_file[0] == '\0')
    return;
  char time[64];
  utc_now (time, sizeof time);
  cleanup_json json_object *message = json_object_new_string (sentence);
  cleanup_free char *text = NULL;
  int length;
  if (json)
    length = asprintf (&text, "{\"level\":\"error\",\"msg\":%s,\"time\":\"%s\"}", spark_json_text (message, NULL), time);
  else
    length = asprintf (&text, "time=\"%s\" level=error msg=%s", time, spark_json_text (message, NULL));
  if (length > 0)
    append_line (log_file, 0, text);
}

static void
add_text (json_object *object, const char *key, const char *text)
{
  json_object_object_add (object, key, json_object_new_string (text != NULL ? text : ""));
}

void
spark_report_event (const char *log_dir, const char *type, const struct spark_subject *subject, const char *sentence)
{
  if (log_dir == NULL)
    return;
  char file[PATH_MAX], time[64];
  snprintf (file, sizeof file, "%s/events.jsonl", log_dir);
  mkdir (log_dir, 0755);
  cleanup_json json_object *event = json_object_new_object ();
  json_object_object_add (event, "schemaVersion", json_object_new_int (1));
  add_text (event, "time", utc_now (time, sizeof time));
  add_text (event, "type", type);
  add_text (event, "id", subject->id);
  add_text (event, "name", subject->name);
  add_text (event, "request", subject->request);
  add_text (event, "sentence", sentence);
  append_line (file, O_NOFOLLOW, spark_json_text (event, NULL));
}

#include "guard/report.h"

#include "common/size.h"
#include "guard/clock.h"
#include "guard/json.h"
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { EVENT_MAX = 4096, SIZE_TEXT = 24 };

static char event_text[EVENT_MAX];
static char tombstone_text[SCRIBE_MESSAGE_MAX - 256];

/* --- sentences ----------------------------------------------------------------------------------------------------- */

static const char *
called (const char *name, const char *id)
{
  return name[0] != '\0' ? name : id;
}

static const char *
guilt_text (enum guilt guilt)
{
  switch (guilt)
    {
    case GUILT_GROWTH:
      return "; all containers are within their budgets, but they took the memory";
    case GUILT_HIDDEN:
      return "; no book of the kernel or of a container shows where the memory went: of the containers that use the GPU it was "
             "the first in line";
    case GUILT_LARGEST:
      return "; the memory went to processes outside the registered containers, and the policy (onForeign: kill-largest) has the largest "
             "container die for it";
    case GUILT_OVER_BUDGET:
    case GUILT_NOBODY:
    case GUILT_FOREIGN:
      break;
    }
  return "";
}

/* The rule by which it was chosen, for machines. */
static const char *
rule_text (enum guilt guilt)
{
  switch (guilt)
    {
    case GUILT_OVER_BUDGET:
      return "over-budget";
    case GUILT_GROWTH:
      return "growth";
    case GUILT_HIDDEN:
      return "uses-gpu";
    case GUILT_LARGEST:
      return "on-foreign-largest";
    case GUILT_NOBODY:
    case GUILT_FOREIGN:
      break;
    }
  return "none";
}

void
report_prepare (struct kill_record *r, const struct entry *v, enum guilt guilt, const struct judgement *judgement,
                uint64_t available_bytes, uint64_t reserve_bytes, int psi_permille, uint64_t now_ns)
{
  char available[SIZE_TEXT], reserve[SIZE_TEXT], use[SIZE_TEXT], budget[SIZE_TEXT], pace[SIZE_TEXT], fall[48] = "";

  memset (r, 0, sizeof *r);
  memcpy (r->id, v->id, sizeof r->id);
  memcpy (r->name, v->name, sizeof r->name);
  memcpy (r->request, v->request, sizeof r->request);
  memcpy (r->engine, v->engine, sizeof r->engine);
  clock_text (r->killed_at);
  r->killed_ns = now_ns;
  r->verdict = judgement->verdict;
  r->slope_bytes_per_second = judgement->slope_bytes_per_second;
  r->reserve_bytes = reserve_bytes;
  r->available_bytes = available_bytes;
  r->budget_bytes = v->budget_bytes;
  r->driver_bytes = v->driver_bytes;
  r->cgroup_bytes = v->cgroup_bytes;
  r->priority = v->priority;
  r->guilt = guilt;
  r->kills = now_ns - v->created_ns >= SPARK_STREAK_SECONDS * NS_PER_SECOND ? 1 : v->kills + 1;
  r->psi_permille = psi_permille;
  r->empty_ms = -1;
  r->lowest_bytes = available_bytes;

  if (judgement->verdict != VERDICT_UNDER_RESERVE && judgement->slope_bytes_per_second < 0)
    snprintf (fall, sizeof fall, ", falling by %s/s",
              spark_size_format ((uint64_t) -judgement->slope_bytes_per_second, pace, sizeof pace));
  snprintf (r->sentence, sizeof r->sentence,
            "killed %s to save the host: %s of memory was available%s, and the reserve is %s; it held %s%s of %s%s",
            called (r->name, r->id), spark_size_format (available_bytes, available, sizeof available), fall,
            spark_size_format (reserve_bytes, reserve, sizeof reserve),
            spark_size_format (entry_use_bytes (v), use, sizeof use),
            guilt == GUILT_OVER_BUDGET ? ", over its budget" : " of its budget",
            spark_size_format (v->budget_bytes, budget, sizeof budget), guilt_text (guilt));
}

/* --- objects ------------------------------------------------------------------------------------------------------- */

static void
event_begin (struct json *json, const char *type)
{
  char time[CLOCK_TEXT_SIZE];

  json_begin (json, event_text, sizeof event_text);
  json_open (json, NULL, '{');
  json_number (json, "schemaVersion", 1);
  json_text (json, "time", clock_text (time));
  json_text (json, "type", type);
}

static void
event_end (struct json *json, struct scribe *scribe)
{
  json_close (json, '}');
  if (!json->truncated)
    scribe_event (scribe, json->text);
}

static void
put_psi (struct json *json, int psi_permille)
{
  if (psi_permille < 0)
    json_null (json, "psiFullAvg10Permille");
  else
    json_number (json, "psiFullAvg10Permille", psi_permille);
}

static void
put_kill (struct json *json, const struct kill_record *r)
{
  json_text (json, "id", r->id);
  json_text_or_null (json, "name", r->name);
  json_text_or_null (json, "request", r->request);
  json_text (json, "engine", r->engine[0] != '\0' ? r->engine : "unknown");
  json_text (json, "killedAt", r->killed_at);
  json_text (json, "reason", r->verdict == VERDICT_UNDER_RESERVE ? "under-reserve" : "falling");
  json_text (json, "rule", rule_text (r->guilt));
  json_text (json, "sentence", r->sentence);
  json_number (json, "kills", r->kills);
  json_number (json, "killedBootNs", (int64_t) r->killed_ns); /* past 2^53 after 104 days, and compared by the runtime */
  json_size (json, "reserveBytes", r->reserve_bytes);
  json_size (json, "memAvailableBytes", r->available_bytes);
  json_number (json, "slopeBytesPerSecond", r->slope_bytes_per_second);
  put_psi (json, r->psi_permille);
  json_size (json, "budgetBytes", r->budget_bytes);
  json_number (json, "priority", r->priority);
  json_open (json, "use", '{');
  json_size (json, "driverBytes", r->driver_bytes);
  json_size (json, "cgroupBytes", r->cgroup_bytes);
  json_close (json, '}');
  if (r->empty_ms >= 0)
    json_number (json, "killToEmptyMs", r->empty_ms);
  else
    json_null (json, "killToEmptyMs");
  json_size (json, "lowestAvailableBytes", r->lowest_bytes);
}

static void
tell_kill (struct scribe *scribe, const struct kill_record *r, bool again)
{
  struct json json;

  event_begin (&json, "kill");
  put_kill (&json, r);
  json_close (&json, '}');
  if (!json.truncated)
    scribe_kill (scribe, r->killed_ns, json.text, again);
}

void
report_kill_again (struct scribe *scribe, const struct kill_record *r)
{
  tell_kill (scribe, r, true);
}

void
report_kill (struct scribe *scribe, const struct kill_record *r)
{
  char line[640];

  tell_kill (scribe, r, false);
  snprintf (line, sizeof line, "spark-guard: %s", r->sentence);
  scribe_log (scribe, LOG_CRIT, line);
}

struct sample_writer {
  struct json *json;
  uint64_t killed_ns;
};

static void
put_sample (const struct sample *sample, void *data)
{
  struct sample_writer *writer = data;

  json_open (writer->json, NULL, '{');
  json_number (writer->json, "ms", -(int64_t) ((writer->killed_ns - sample->at_ns) / NS_PER_MS));
  json_size (writer->json, "availableBytes", sample->available_bytes);
  json_close (writer->json, '}');
}

void
report_tombstone (struct scribe *scribe, const struct kill_record *r, const struct samples *samples)
{
  struct json json;
  struct sample_writer writer = { &json, r->killed_ns };

  json_begin (&json, tombstone_text, sizeof tombstone_text);
  json_open (&json, NULL, '{');
  json_number (&json, "schemaVersion", 1);
  put_kill (&json, r);
  json_open (&json, "samples", '[');
  samples_history (samples, r->killed_ns, put_sample, &writer);
  json_close (&json, ']');
  json_close (&json, '}');
  if (!json.truncated)
    scribe_tombstone (scribe, r->killed_ns, r->id, json.text);
}

void
report_sentence (struct scribe *scribe, const char *type, const char *id, const char *sentence)
{
  struct json json;
  char line[1100];

  event_begin (&json, type);
  if (id != NULL)
    json_text (&json, "id", id);
  json_text (&json, "sentence", sentence);
  event_end (&json, scribe);
  snprintf (line, sizeof line, "spark-guard: %s", sentence);
  scribe_log (scribe, strcmp (type, "warning") == 0 ? LOG_WARNING : LOG_INFO, line);
}

void
report_start (struct scribe *scribe, uint64_t total_bytes, uint64_t available_bytes, uint64_t reserve_bytes,
              uint64_t withhold_bytes, const char *kill_by)
{
  struct json json;

  event_begin (&json, "start");
  json_number (&json, "pid", getpid ());
  json_size (&json, "memTotalBytes", total_bytes);
  json_size (&json, "memAvailableBytes", available_bytes);
  json_size (&json, "reserveBytes", reserve_bytes);
  json_size (&json, "withholdBytes", withhold_bytes);
  json_text (&json, "killBy", kill_by);
  event_end (&json, scribe);
}

void
report_container (struct scribe *scribe, const char *type, const struct entry *e)
{
  struct json json;

  event_begin (&json, type);
  json_text (&json, "id", e->id);
  json_text_or_null (&json, "name", e->name);
  json_text_or_null (&json, "request", e->request);
  json_size (&json, "budgetBytes", e->budget_bytes);
  json_number (&json, "priority", e->priority);
  json_text (&json, "killBy", kill_by_text (e->kill_by));
  event_end (&json, scribe);
}

void
report_soft (struct scribe *scribe, bool soft, uint64_t available_bytes, uint64_t reserve_bytes, int psi_permille)
{
  struct json json;
  char available[SIZE_TEXT], reserve[SIZE_TEXT], sentence[256];
  bool by_psi = available_bytes / 2 >= reserve_bytes;

  spark_size_format (available_bytes, available, sizeof available);
  spark_size_format (reserve_bytes, reserve, sizeof reserve);
  if (soft && by_psi)
    snprintf (sentence, sizeof sentence,
              "%s of memory is available, but everybody waited for memory in %d.%d %% of the last 10 s: no new containers are admitted",
              available, psi_permille / 10, psi_permille % 10);
  else if (soft)
    snprintf (sentence, sizeof sentence,
              "%s of memory is available, less than twice the reserve of %s: no new containers are admitted", available, reserve);
  else
    snprintf (sentence, sizeof sentence, "%s of memory is available again, the reserve is %s: containers are admitted again",
              available, reserve);
  event_begin (&json, "soft");
  json_number (&json, "soft", soft);
  json_size (&json, "memAvailableBytes", available_bytes);
  json_size (&json, "reserveBytes", reserve_bytes);
  put_psi (&json, psi_permille);
  json_text (&json, "sentence", sentence);
  event_end (&json, scribe);
}

/* From a verdict to a dead container: who, the kill, the words, and the wait for its memory. */
#include "guard/guard.h"

#include "common/cleanup.h"
#include "common/size.h"
#include "guard/clock.h"
#include "guard/devices.h"
#include "guard/kill.h"
#include "guard/usage.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The choice may take this long; whoever could not be read in it is judged by its last known use. */
#define CHOICE_NS (3 * NS_PER_MS)
/* The search for who uses the GPU, where that decides, usually takes a few hundred microseconds; an innocent is worse than 25 ms late. */
#define SUSPECTS_NS (25 * NS_PER_MS)
/* After a verdict without a victim, and between two blows at one that does not die. */
#define JUDGE_AGAIN_NS (100 * NS_PER_MS)
#define BLOW_AGAIN_NS (5 * NS_PER_MS)
/* A forecast that held against nobody is made again when there is something new to see. */
#define FORECAST_AGAIN_NS (5 * NS_PER_MS)
/* A victim is looked at every 2 ms; nothing of the guard's own takes this long. */
#define PAUSE_NS (1 * NS_PER_SECOND)

enum { SIZE_TEXT = 24 };

static uint64_t
above (uint64_t a, uint64_t b)
{
  return a > b ? a - b : 0;
}

/* --- whom ---------------------------------------------------------------------------------------------------------- */

static struct loss
loss_between (const struct stock *then, const struct stock *now)
{
  return (struct loss){ .fall_bytes = above (then->available_bytes, now->available_bytes),
                        .hidden_bytes = above (above (now->hidden_bytes, then->hidden_bytes),
                                               above (now->ledger_bytes, then->ledger_bytes)) };
}

static int
judge (struct guard *g, struct candidate *candidates, const struct loss *loss, enum guilt *guilt)
{
  int victim = victim_choose (candidates, g->table.count, loss, guilt);

  if (*guilt != GUILT_HIDDEN)
    return victim;
  /* Who opened the GPU a moment ago is as much a suspect as who has had it open for long. */
  devices_find (g->table.entries, g->table.count, &g->device_turn, g->options.proc_dir, clock_boot_ns () + SUSPECTS_NS);
  for (unsigned i = 0; i < g->table.count; i++)
    candidates[i].uses_gpu = g->table.entries[i].uses_gpu;
  return victim_choose (candidates, g->table.count, loss, guilt);
}

static struct entry *
choose (struct guard *g, enum guilt *guilt, uint64_t now_ns)
{
  static struct candidate candidates[TABLE_MAX];
  bool calm = guard_calm_tells (g);

  guard_read_use (g, now_ns + CHOICE_NS);
  for (unsigned i = 0; i < g->table.count; i++)
    {
      const struct entry *e = &g->table.entries[i];
      candidates[i] = (struct candidate){ .killable = e->used && !e->dying && !e->spent && e->kill_by != KILL_BY_NOTHING,
                                          .priority = e->priority,
                                          .budget_bytes = e->budget_bytes,
                                          .use_bytes = entry_use_bytes (e),
                                          .then_use_bytes = calm ? e->calm_use_bytes : 0,
                                          .created_ns = e->created_ns,
                                          .uses_gpu = e->uses_gpu };
    }
  const struct stock now = guard_stock_now (g, now_ns), nothing_taken = { .available_bytes = g->memory.total_bytes };
  struct loss loss = loss_between (calm ? &g->calm : &nothing_taken, &now);
  int victim = judge (g, candidates, &loss, guilt), mark = guard_recent_mark (g, now_ns);
  if (victim < 0 && *guilt != GUILT_NOBODY && mark >= 0)
    {
      /* Others may have taken much before, or this guard does not know who: then who took the last of it is looked for. */
      struct loss recent = loss_between (&g->marks[mark], &now);
      enum guilt recent_guilt;
      for (unsigned i = 0; i < g->table.count; i++)
        candidates[i].then_use_bytes = g->table.entries[i].mark_use_bytes[mark];
      victim = judge (g, candidates, &recent, &recent_guilt);
      if (victim >= 0)
        *guilt = recent_guilt;
    }
  /* That nobody is guilty stands only once all suspects are known. */
  if (victim < 0 && g->options.on_foreign_largest)
    {
      loss.on_foreign_largest = true;
      victim = victim_choose (candidates, g->table.count, &loss, guilt);
    }
  return victim < 0 ? NULL : &g->table.entries[victim];
}

static void
tell_foreign (struct guard *g, enum guilt guilt)
{
  char sentence[480], available[SIZE_TEXT], reserve[SIZE_TEXT];

  if (g->foreign_told)
    return;
  g->foreign_told = true;
  snprintf (sentence, sizeof sentence, "%s of memory is available and the reserve is %s, but %s: nothing is killed; end something on this host, or let the "
            "largest container die for it (onForeign: kill-largest)",
            spark_size_format (g->memory.available_bytes, available, sizeof available),
            spark_size_format (g->reserve_bytes, reserve, sizeof reserve),
            guilt == GUILT_NOBODY   ? "no container that could be killed is registered"
            : guilt == GUILT_HIDDEN ? "no book of the kernel or of a container shows where it went, and no registered container "
                                      "uses the GPU"
                                    : "it went to processes outside the registered containers, which are all within their budgets");
  report_sentence (&g->scribe, "warning", NULL, sentence);
}

/* --- how ----------------------------------------------------------------------------------------------------------- */

/* Says the sentence in the container's own log. Before the kill, because its stderr dies with it. */
static void
say_words (struct guard *g, const struct entry *victim)
{
  char line[640];
  cleanup_close int held_fd = kill_hold_stderr (victim, &g->table.place, victim->kill_by == KILL_BY_PROCESS_GROUP);

  if (held_fd < 0)
    return;
  int length = snprintf (line, sizeof line, "spark-guard: %s\n", g->record.sentence);
  herald_say (&g->herald, held_fd, line, (size_t) length);
}

/* A forecast is enough against one that holds more than it was granted; that memory goes past every ledger is enough where the
   fall ends at zero. Anybody else dies only when the reserve is broken. */
static bool
verdict_holds (enum verdict verdict, enum guilt guilt)
{
  switch (verdict)
    {
    case VERDICT_UNDER_RESERVE:
      return true;
    case VERDICT_FALLING:
      return guilt == GUILT_OVER_BUDGET || guilt == GUILT_HIDDEN;
    case VERDICT_CROSSING:
      return guilt == GUILT_OVER_BUDGET;
    case VERDICT_CALM:
      break;
    }
  return false;
}

void
guard_strike (struct guard *g, const struct judgement *judgement, uint64_t now_ns)
{
  enum guilt guilt;
  bool forecast = judgement->verdict != VERDICT_UNDER_RESERVE;

  if (now_ns < (forecast ? g->forecast_after_ns : g->judge_after_ns))
    return;
  struct entry *victim = choose (g, &guilt, now_ns);
  if (!verdict_holds (judgement->verdict, guilt) || (forecast && victim == NULL))
    {
      g->forecast_after_ns = now_ns + FORECAST_AGAIN_NS;
      return;
    }
  if (victim == NULL)
    {
      g->judge_after_ns = now_ns + JUDGE_AGAIN_NS;
      tell_foreign (g, guilt);
      return;
    }

  report_prepare (&g->record, victim, guilt, judgement, g->memory.available_bytes, g->reserve_bytes, g->psi_permille, now_ns);
  g->aftermath = (struct aftermath){ .killed_ns = now_ns,
                                     .use_bytes = entry_use_bytes (victim),
                                     .lowest_bytes = g->memory.available_bytes,
                                     .highest_bytes = g->memory.available_bytes };
  say_words (g, victim);
  /* Written first: should this guard be killed now, the next one knows. */
  intent_decide (g->intent_fd, victim, &g->record, &g->aftermath);
  int result = kill_entry (victim), status = errno;
  bool struck = result == 0 || !entry_alive (victim);
  intent_state (g->intent_fd, struck ? INTENT_STRUCK : INTENT_NONE);

  if (!struck)
    {
      char sentence[320];
      victim->spent = true;
      snprintf (sentence, sizeof sentence, "cannot kill %s by %s (%s)", victim->name[0] != '\0' ? victim->name : victim->id,
                kill_by_text (victim->kill_by), strerrordesc_np (status));
      report_sentence (&g->scribe, "warning", victim->id, sentence);
      return;
    }
  victim->dying = true;
  g->victim = victim;
  g->keep_tombstone = false;
  g->last_blow_ns = g->followed_ns = now_ns;
  report_kill (&g->scribe, &g->record);
  report_tombstone (&g->scribe, &g->record, &g->samples);
}

/* --- after --------------------------------------------------------------------------------------------------------- */

static void
finish (struct guard *g, const char *what)
{
  char sentence[SPARK_ID_MAX + 256];

  if (what != NULL)
    {
      snprintf (sentence, sizeof sentence, "%s %s", g->victim->name[0] != '\0' ? g->victim->name : g->victim->id, what);
      report_sentence (&g->scribe, "warning", g->victim->id, sentence);
    }
  intent_state (g->intent_fd, INTENT_OVER);
  g->victim->dying = false;
  if (g->victim == &g->ghost)
    entry_close (g->victim);
  g->victim = NULL;
  g->housekept_ns = 0; /* drop the dead one in this round */
}

/* Time in which nobody watched (the machine was suspended, the guard stopped) is not time in which a container would not die. */
static void
forgive_pause (struct guard *g, uint64_t now_ns)
{
  struct aftermath *a = &g->aftermath;
  uint64_t pause_ns = now_ns - g->followed_ns;

  if (g->followed_ns != 0 && pause_ns > PAUSE_NS)
    {
      a->killed_ns += pause_ns;
      a->empty_ns += a->empty_ns != 0 ? pause_ns : 0;
      a->shrunk_ns += a->shrunk_ns != 0 ? pause_ns : 0;
      a->risen_ns += a->risen_ns != 0 ? pause_ns : 0;
    }
  g->followed_ns = now_ns;
}

void
guard_follow (struct guard *g, uint64_t now_ns)
{
  struct aftermath *a = &g->aftermath;
  const struct aftermath before = *a;

  forgive_pause (g, now_ns);
  aftermath_follow (a, now_ns, g->memory.available_bytes);
  g->record.lowest_bytes = a->lowest_bytes;
  if (a->empty_ns == 0 && kill_empty (g->victim))
    {
      a->empty_ns = now_ns;
      g->record.empty_ms = (int64_t) ((now_ns - a->killed_ns) / NS_PER_MS);
      if (!g->keep_tombstone)
        report_tombstone (&g->scribe, &g->record, &g->samples);
    }
  else if (a->empty_ns == 0 && now_ns - g->last_blow_ns >= BLOW_AGAIN_NS)
    {
      g->last_blow_ns = now_ns;
      kill_entry (g->victim);
    }

  enum after after = decide_after (a, now_ns, g->memory.available_bytes, g->reserve_bytes);
  if (after == AFTER_SHRINK)
    a->shrunk_ns = now_ns;
  if (memcmp (&before, a, sizeof before) != 0)
    intent_aftermath (g->intent_fd, a);
  switch (after)
    {
    case AFTER_WAIT:
      break;
    case AFTER_SHRINK:
      if (shrinker_drop_caches (&g->shrinker) != 0)
        report_sentence (&g->scribe, "warning", g->victim->id,
                         "the killed container's memory did not come back, and the kernel's caches cannot be dropped from here");
      break;
    case AFTER_RETURNED:
      finish (g, NULL);
      break;
    case AFTER_NOTHING:
      finish (g, "was killed and is gone, but its memory did not come back: judging again");
      break;
    case AFTER_STUCK:
      g->victim->spent = true;
      finish (g, "was killed and does not die (a process may be stuck in the driver): judging again without it");
      break;
    }
}

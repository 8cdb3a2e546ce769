/* In place of a guard that was killed: the kill that was under way. */
#include "guard/guard.h"

#include "guard/clock.h"
#include "guard/kill.h"
#include <errno.h>
#include <string.h>

/* A decision whose blow may not have come stands for so long; later everything may be different. */
#define DECISION_STANDS_NS (10 * NS_PER_SECOND)

static struct entry *
find_victim (struct guard *g, const struct intent *i)
{
  for (unsigned n = 0; n < g->table.count; n++)
    {
      struct entry *e = &g->table.entries[n];
      if (e->used && e->pid == i->pid && e->pid_start == i->pid_start && e->created_ns == i->created_ns
          && strcmp (e->id, i->record.id) == 0)
        return e;
    }
  return NULL;
}

/* One that is dead already, so that its memory can be waited for. */
static struct entry *
make_ghost (struct guard *g, const struct intent *i)
{
  g->ghost = (struct entry){ .used = true, .pid_fd = -1, .kill_fd = -1, .events_fd = -1, .procs_dir_fd = -1, .freezer_fd = -1, .stat_fd = -1,
                             .usage_dir_fd = -1, .ledger_fd = -1 };
  memcpy (g->ghost.id, i->record.id, sizeof g->ghost.id);
  return &g->ghost;
}

void
guard_resume (struct guard *g, const struct intent *i)
{
  struct entry *victim = find_victim (g, i);

  if (i->state == INTENT_NONE)
    return;
  if (i->state == INTENT_DECIDED && victim != NULL)
    {
      uint64_t now_ns = clock_boot_ns ();
      bool stands = now_ns >= i->aftermath.killed_ns && now_ns - i->aftermath.killed_ns < DECISION_STANDS_NS;
      /* Whoever was killed in the middle of the blow may have left it frozen. */
      if (!stands)
        kill_thaw (victim);
      if (!stands || (kill_entry (victim) != 0 && entry_alive (victim)))
        {
          intent_state (g->intent_fd, INTENT_NONE);
          return;
        }
    }
  intent_state (g->intent_fd, INTENT_STRUCK);
  g->victim = victim != NULL ? victim : make_ghost (g, i);
  g->victim->dying = true;
  g->record = i->record;
  g->aftermath = i->aftermath;
  if (!intent_told (g->intent_fd, INTENT_EVENT_AT, g->record.killed_ns))
    report_kill_again (&g->scribe, &g->record);
  /* The one before knew the samples, which this one does not. */
  g->keep_tombstone = intent_told (g->intent_fd, INTENT_STONE_AT, g->record.killed_ns);
  if (!g->keep_tombstone)
    report_tombstone (&g->scribe, &g->record, &g->samples);
}

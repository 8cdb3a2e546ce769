/* In place of a guard that was killed: the kill that was under way. */
#include "guard/guard.h"

#include "guard/clock.h"
#include "guard/kill.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* A decision whose blow may not have come stands for so long; later everything may be different. */
#define DECISION_STANDS_NS (10 * NS_PER_SECOND)
/* The memory of one that is gone came back within this, or it does not come. */
#define WAIT_IS_OVER_NS (60 * NS_PER_SECOND)

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

/* One that is in no registry any more: what lives of it, by its cgroup if that is still the same, so that nothing of it stays behind
   frozen; else only its memory is waited for. Returns true if something lives. */
static bool
make_ghost (struct guard *g, const struct intent *i)
{
  struct spark_container c = { .pid = i->pid, .pid_start = i->pid_start, .created_ns = i->created_ns };
  struct spark_error unsaid;
  struct stat status;

  memcpy (c.id, i->record.id, sizeof c.id);
  memcpy (i->cgroup_is_v2 ? c.cgroup_v2 : c.cgroup_freezer, i->cgroup, sizeof c.cgroup_v2);
  if (i->cgroup[0] == '/' && entry_open (&g->ghost, &c, &g->table.place, &unsaid) == 0)
    {
      if (g->ghost.procs_dir_fd >= 0 && fstat (g->ghost.procs_dir_fd, &status) == 0 && status.st_ino == i->cgroup_inode)
        return true;
      entry_close (&g->ghost);
    }
  g->ghost = (struct entry){ .used = true, ENTRY_NOTHING_OPEN };
  memcpy (g->ghost.id, i->record.id, sizeof g->ghost.id);
  return false;
}

static void
tell_what_is_missing (struct guard *g, const struct intent *i)
{
  g->record = i->record;
  if (!intent_told (g->intent_fd, INTENT_EVENT_AT, g->record.killed_ns))
    report_kill_again (&g->scribe, &g->record);
  /* The one before knew the samples, which this one does not. */
  g->keep_tombstone = intent_told (g->intent_fd, INTENT_STONE_AT, g->record.killed_ns);
  if (!g->keep_tombstone)
    report_tombstone (&g->scribe, &g->record, &g->samples);
}

/* When the guard before was surely there, last. */
static uint64_t
last_seen_ns (const struct aftermath *a)
{
  uint64_t latest_ns = a->killed_ns;

  latest_ns = a->empty_ns > latest_ns ? a->empty_ns : latest_ns;
  latest_ns = a->shrunk_ns > latest_ns ? a->shrunk_ns : latest_ns;
  return a->risen_ns > latest_ns ? a->risen_ns : latest_ns;
}

void
guard_resume (struct guard *g, const struct intent *i)
{
  struct entry *victim = find_victim (g, i);
  uint64_t now_ns = clock_boot_ns ();

  if (i->state == INTENT_NONE)
    return;
  bool lives = victim != NULL || (i->state != INTENT_OVER && make_ghost (g, i));
  if (victim == NULL)
    victim = &g->ghost;
  if (i->state == INTENT_DECIDED && lives)
    {
      bool stands = now_ns >= i->aftermath.killed_ns && now_ns - i->aftermath.killed_ns < DECISION_STANDS_NS;
      /* Whoever was killed in the middle of the blow may have left it frozen. */
      if (!stands)
        kill_thaw (victim);
      if (!stands || (kill_entry (victim) != 0 && entry_alive (victim)))
        {
          intent_state (g->intent_fd, INTENT_NONE);
          if (victim == &g->ghost)
            entry_close (victim);
          return;
        }
    }
  if (i->state == INTENT_DECIDED)
    intent_state (g->intent_fd, INTENT_STRUCK);
  tell_what_is_missing (g, i);
  if (i->state == INTENT_OVER)
    return;
  if (!lives && now_ns - i->record.killed_ns > WAIT_IS_OVER_NS)
    {
      intent_state (g->intent_fd, INTENT_OVER);
      entry_close (victim);
      return;
    }
  g->victim = victim;
  g->victim->dying = true;
  g->aftermath = i->aftermath;
  /* The time between the two guards is not time in which it would not die. */
  g->followed_ns = last_seen_ns (&g->aftermath);
}

#include "guard/guard.h"

#include "common/sum.h"
#include "guard/calm.h"
#include "guard/clock.h"
#include "guard/usage.h"

/* Stock-taking may take this long; the rest is counted at the next housekeeping. */
#define STOCKTAKING_NS (2 * NS_PER_MS)
#define MARK_NS (1 * NS_PER_SECOND)
#define MARK_OLD_NS (15 * NS_PER_SECOND)
/* Less than this share of the reserve within seconds is what programs take and give back all the time. */
#define FALL_SHARE_OF_RESERVE 8

/* meminfo tells what is free of the default size alone, so pages of other sizes count as used. */
static uint64_t
huge_in_use_bytes (const struct spark_meminfo *m)
{
  uint64_t default_bytes = m->huge_total * m->huge_page_bytes, free_bytes = m->huge_free * m->huge_page_bytes;
  uint64_t pool_bytes = m->hugetlb_bytes > default_bytes ? m->hugetlb_bytes : default_bytes;

  return pool_bytes > free_bytes ? pool_bytes - free_bytes : 0;
}

bool
guard_read_use (struct guard *g, uint64_t deadline_ns)
{
  const struct usage_host host = { g->memory.total_bytes, huge_in_use_bytes (&g->memory) };

  return usage_refresh (g->table.entries, g->table.count, &g->usage_turn, g->options.proc_dir, &host, deadline_ns);
}

uint64_t
guard_ledger_bytes (const struct guard *g)
{
  uint64_t sum = 0;

  for (unsigned i = 0; i < g->table.count; i++)
    if (g->table.entries[i].used)
      sum = spark_sum (sum, g->table.entries[i].ledger_bytes);
  return sum;
}

struct stock
guard_stock_now (const struct guard *g, uint64_t now_ns)
{
  const struct usage_books books = { g->meminfo_fd, g->vmstat_fd, g->zoneinfo_fd };

  return (struct stock){ now_ns, g->memory.available_bytes, usage_hidden_bytes (&books), guard_ledger_bytes (g) };
}

/* What is known of now is what a loss will be measured against. */
static void
call_calm (struct guard *g, uint64_t now_ns)
{
  g->calm = guard_stock_now (g, now_ns);
  for (unsigned i = 0; i < g->table.count; i++)
    g->table.entries[i].calm_use_bytes = entry_use_bytes (&g->table.entries[i]);
}

void
guard_take_stock (struct guard *g, uint64_t now_ns)
{
  bool whole = guard_read_use (g, now_ns + STOCKTAKING_NS);
  call_calm (g, now_ns);
  g->refreshed_ns = now_ns;
  g->calm_known = true;
  g->calm_ns = whole ? now_ns : 0; /* what is left is read at the next housekeeping */
  calm_keep (g);
}

void
guard_start_short (struct guard *g, uint64_t now_ns)
{
  guard_mark (g, now_ns);
  g->calm_known = calm_recall (g);
  if (g->calm_known)
    return;
  call_calm (g, now_ns);
}

/* More than what programs take and give back all the time. */
static bool
is_fall (const struct guard *g, const struct stock *then)
{
  return then->available_bytes > g->memory.available_bytes
         && then->available_bytes - g->memory.available_bytes >= g->reserve_bytes / FALL_SHARE_OF_RESERVE;
}

bool
guard_calm_tells (const struct guard *g)
{
  return g->calm_known || is_fall (g, &g->calm);
}

void
guard_mark (struct guard *g, uint64_t now_ns)
{
  if (now_ns - g->marks[g->last_mark].at_ns < MARK_NS)
    return;
  g->last_mark = (g->last_mark + 1) % STOCK_MARKS;
  g->marks[g->last_mark] = guard_stock_now (g, now_ns);
  for (unsigned i = 0; i < g->table.count; i++)
    g->table.entries[i].mark_use_bytes[g->last_mark] = entry_use_bytes (&g->table.entries[i]);
}

int
guard_recent_mark (const struct guard *g, uint64_t now_ns)
{
  int highest = -1;

  for (int i = 0; i < STOCK_MARKS; i++)
    if (g->marks[i].at_ns != 0 && now_ns - g->marks[i].at_ns <= MARK_OLD_NS
        && (highest < 0 || g->marks[i].available_bytes > g->marks[highest].available_bytes))
      highest = i;
  return highest >= 0 && is_fall (g, &g->marks[highest]) ? highest : -1;
}

#include "guard/victim.h"

#include "common/sum.h"

/* Registered containers answer for a loss when at least this share of it is theirs. Low on purpose: a growing host process
   beside a growing container must not talk the guard out of saving the host. */
#define OWN_SHARE 4

static uint64_t
over_budget (const struct candidate *c)
{
  return c->use_bytes > c->budget_bytes ? c->use_bytes - c->budget_bytes : 0;
}

/* True if `a` dies before `b`. */
static bool
dies_before (const struct candidate *a, const struct candidate *b)
{
  if (a->priority != b->priority)
    return a->priority < b->priority;
  if (over_budget (a) != over_budget (b))
    return over_budget (a) > over_budget (b);
  if (a->use_bytes != b->use_bytes)
    return a->use_bytes > b->use_bytes;
  return a->created_ns > b->created_ns;
}

static bool
judged (const struct candidate *c, enum guilt guilt)
{
  switch (guilt)
    {
    case GUILT_OVER_BUDGET:
      return c->killable && over_budget (c) > 0;
    case GUILT_GROWTH:
    case GUILT_LARGEST:
      return c->killable && c->use_bytes > 0;
    case GUILT_HIDDEN:
      return c->killable && c->uses_gpu;
    case GUILT_NOBODY:
    case GUILT_FOREIGN:
      break;
    }
  return false;
}

static enum guilt
find_guilt (const struct candidate *candidates, size_t count, const struct loss *loss)
{
  bool any = false;
  uint64_t growth = 0;

  for (size_t i = 0; i < count; i++)
    {
      const struct candidate *c = &candidates[i];
      if (!c->killable)
        continue;
      any = true;
      if (over_budget (c) > 0)
        return GUILT_OVER_BUDGET;
      if (c->use_bytes > c->then_use_bytes)
        growth = spark_sum (growth, c->use_bytes - c->then_use_bytes);
    }
  if (!any)
    return GUILT_NOBODY;
  if (growth > 0 && growth >= loss->fall_bytes / OWN_SHARE)
    return GUILT_GROWTH;
  if (loss->hidden_bytes > 0 && loss->hidden_bytes >= loss->fall_bytes / OWN_SHARE)
    return GUILT_HIDDEN;
  return GUILT_FOREIGN;
}

static int
first_in_line (const struct candidate *candidates, size_t count, enum guilt guilt)
{
  int victim = -1;

  for (size_t i = 0; i < count; i++)
    if (judged (&candidates[i], guilt) && (victim < 0 || dies_before (&candidates[i], &candidates[victim])))
      victim = (int) i;
  return victim;
}

int
victim_choose (const struct candidate *candidates, size_t count, const struct loss *loss, enum guilt *guilt)
{
  *guilt = find_guilt (candidates, count, loss);
  int victim = first_in_line (candidates, count, *guilt);
  if (victim < 0 && loss->on_foreign_largest && *guilt != GUILT_NOBODY)
    {
      victim = first_in_line (candidates, count, GUILT_LARGEST);
      if (victim >= 0)
        *guilt = GUILT_LARGEST;
    }
  return victim;
}

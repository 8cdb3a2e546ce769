#include "guard/decide.h"

#include "guard/clock.h"

#define FASTEST_FILL_BYTES_PER_SECOND (UINT64_C (50) << 30)
#define SLEEP_MIN_NS (1 * NS_PER_MS)
#define SLEEP_MAX_NS (100 * NS_PER_MS)

/* A fall is looked at over this long, and must reach zero within that long. */
#define SLOPE_WINDOW_NS (100 * NS_PER_MS)
#define ZERO_WITHIN_NS (150 * NS_PER_MS)
/* Readings further apart than this (a sleep at rest and its overshoot) say nothing about a fall that lasts. */
#define STALE_NS (250 * NS_PER_MS)
/* The guard's own reaction: one sleep, its overshoot, the choice, the kill and the signal's way into a task that is
   zeroing a page. Measured: 1.2 to 5 ms, and up to 2 ms for the herald; twice that, since late is worse than 15 ms of a fall early. */
#define LEAD_NS (15 * NS_PER_MS)
/* However fast the fall, further above the reserve than this nobody is killed for crossing it soon: an engine may stop there. */
#define LEAD_SHARE_OF_RESERVE 8
/* Steps further apart than this are no staircase; a standstill shorter than that is no pause, only a busy processor. */
#define STEPS_WINDOW_NS (250 * NS_PER_MS)
#define STEP_PAUSE_NS (2 * NS_PER_MS)
/* PSI's full avg10: short of memory from here on, and no longer below there. */
enum { PSI_SHORT_PERMILLE = 100, PSI_OVER_PERMILLE = 50 };
/* The kernel clears a page of 2 MiB in less; measured: 0.2 ms, and 2.7 ms where a hypervisor has to find the memory first. */
#define PAGE_NS (4 * NS_PER_MS)
/* A fall lasts when it was seen this many times in a row. */
enum { FALLS_IN_A_ROW = 3 };

/* Two kinds of patience with a dead container: for its processes to be gone, for its memory to come back (measured on a real
   driver: nothing for 1.1 s, all after 1.9 s), and after the shrinkers ran. */
#define DEATH_NS (10 * NS_PER_SECOND)
#define RETURN_NS (2 * NS_PER_SECOND)
#define SHRINK_NS (1 * NS_PER_SECOND)
#define RETURN_MIN_BYTES (UINT64_C (16) << 20)
/* Memory that comes back piece by piece has stopped coming when nothing more came for so long, or when so much went again. */
#define STANDSTILL_NS (500 * NS_PER_MS)
#define GONE_AGAIN_BYTES RETURN_MIN_BYTES

static uint64_t
fall_between (const struct sample *older, const struct sample *newer)
{
  return older->available_bytes > newer->available_bytes ? older->available_bytes - newer->available_bytes : 0;
}

static int64_t
slope_between (const struct sample *older, const struct sample *newer)
{
  if (newer->at_ns <= older->at_ns)
    return 0;
  double change = (double) newer->available_bytes - (double) older->available_bytes;
  return (int64_t) (change * (double) NS_PER_SECOND / (double) (newer->at_ns - older->at_ns));
}

/* The oldest reading of the window that ends with the newest one; at least the one before it. NULL if that one is stale. */
static const struct sample *
window_start (const struct samples *samples, const struct sample *newest)
{
  const struct sample *start = NULL;

  for (unsigned age = 1;; age++)
    {
      const struct sample *sample = samples_recent (samples, age);
      if (sample == NULL || newest->at_ns - sample->at_ns > (start == NULL ? STALE_NS : SLOPE_WINDOW_NS))
        return start;
      start = sample;
    }
}

/* The slope over the last spells of at least `spell_ns` (0: of one reading each) if memory fell in each of them, and in the last
   at no less than half of their pace: a fall that lasts, not a step that is over and not one that runs out. 0 otherwise. */
static int64_t
lasting_fall (const struct samples *samples, uint64_t spell_ns)
{
  const struct sample *newest = samples_recent (samples, 0), *end = newest, *last = NULL, *start;
  unsigned falls = 0;

  for (unsigned age = 1; falls < FALLS_IN_A_ROW; age++)
    {
      start = samples_recent (samples, age);
      if (start == NULL || newest->at_ns - start->at_ns > FALLS_IN_A_ROW * STALE_NS)
        return 0;
      if (end->at_ns - start->at_ns < spell_ns)
        continue;
      if (fall_between (start, end) == 0)
        return 0;
      falls++;
      last = last == NULL ? start : last;
      end = start;
    }
  int64_t slope = slope_between (end, newest);
  return slope_between (last, newest) <= slope / 2 ? slope : 0;
}

/* The same for memory that goes page by page, with readings between two pages that see nothing go. Asked only at one that does. */
static int64_t
lasting_fall_by_pages (const struct samples *samples)
{
  const struct sample *newest = samples_recent (samples, 0), *before = samples_recent (samples, 1);

  return before != NULL && fall_between (before, newest) > 0 ? lasting_fall (samples, PAGE_NS) : 0;
}

struct steps {
  uint64_t largest, second;
};

static void
steps_add (struct steps *steps, uint64_t step_bytes)
{
  if (step_bytes > steps->largest)
    {
      steps->second = steps->largest;
      steps->largest = step_bytes;
    }
  else if (step_bytes > steps->second)
    steps->second = step_bytes;
}

/* Memory that goes in short steps, one allocation at a time, never falls for several readings in a row. Returns the largest
   step of the last moments if there were two of about that size with a pause between them and no return since, else 0: one
   step may have been the last, and a fall without pauses is no staircase. */
static uint64_t
next_step (const struct samples *samples, const struct sample *newest)
{
  struct steps steps = { 0, 0 };
  uint64_t step = 0, pause_ns = 0;
  const struct sample *newer = newest, *older;

  for (unsigned age = 1; (older = samples_recent (samples, age)) != NULL; age++, newer = older)
    {
      if (newest->at_ns - older->at_ns > STEPS_WINDOW_NS)
        break;
      uint64_t fall = fall_between (older, newer);
      pause_ns = fall > 0 ? 0 : pause_ns + (newer->at_ns - older->at_ns);
      step += fall;
      if (pause_ns >= STEP_PAUSE_NS)
        {
          steps_add (&steps, step);
          step = 0;
        }
    }
  steps_add (&steps, step);
  bool lost = fall_between (newer, newest) >= steps.largest + steps.second / 2;
  return lost && steps.second >= steps.largest / 2 ? steps.largest : 0;
}

/* How far a fall of this slope goes in `ns`. */
static uint64_t
fall_within (int64_t slope, uint64_t ns)
{
  return slope < 0 ? (uint64_t) (-(double) slope * (double) ns / (double) NS_PER_SECOND) : 0;
}

struct judgement
decide (const struct samples *samples, uint64_t reserve_bytes)
{
  struct judgement judgement = { VERDICT_CALM, 0 };
  const struct sample *newest = samples_recent (samples, 0), *before = samples_recent (samples, 1);

  if (newest == NULL || before == NULL)
    return judgement;
  const struct sample *start = window_start (samples, newest);
  if (start != NULL)
    judgement.slope_bytes_per_second = slope_between (start, newest);

  if (newest->available_bytes < reserve_bytes)
    {
      if (before->available_bytes < reserve_bytes)
        judgement.verdict = VERDICT_UNDER_RESERVE;
      return judgement;
    }

  int64_t lasting = lasting_fall (samples, 0);
  if (lasting < 0 && newest->available_bytes <= fall_within (judgement.slope_bytes_per_second, ZERO_WITHIN_NS))
    {
      judgement.verdict = VERDICT_FALLING;
      return judgement;
    }
  /* Down a staircase the next step may come at once, and more of them within the guard's reaction. */
  uint64_t step = next_step (samples, newest);
  int64_t steepest = lasting < 0 ? lasting : step > 0 ? judgement.slope_bytes_per_second : lasting_fall_by_pages (samples);
  uint64_t lead = fall_within (steepest, LEAD_NS) + step;
  if (lead > reserve_bytes / LEAD_SHARE_OF_RESERVE)
    lead = reserve_bytes / LEAD_SHARE_OF_RESERVE;
  if (newest->available_bytes - reserve_bytes < lead)
    judgement.verdict = VERDICT_CROSSING;
  return judgement;
}

uint64_t
decide_sleep_ns (uint64_t available_bytes, uint64_t reserve_bytes)
{
  uint64_t above = available_bytes > reserve_bytes ? available_bytes - reserve_bytes : 0;
  double ns = (double) above / (double) FASTEST_FILL_BYTES_PER_SECOND / 2 * (double) NS_PER_SECOND;

  return ns < (double) SLEEP_MIN_NS ? SLEEP_MIN_NS : ns > (double) SLEEP_MAX_NS ? SLEEP_MAX_NS : (uint64_t) ns;
}

bool
decide_soft (bool soft_now, uint64_t available_bytes, uint64_t reserve_bytes, int psi_permille)
{
  /* In halves, because twice a reserve may not fit. */
  uint64_t half = available_bytes / 2;

  if (psi_permille >= (soft_now ? PSI_OVER_PERMILLE : PSI_SHORT_PERMILLE) && half / 2 < reserve_bytes)
    return true;
  return soft_now ? half < reserve_bytes + reserve_bytes / 16 : half < reserve_bytes;
}

void
aftermath_follow (struct aftermath *a, uint64_t now_ns, uint64_t available_bytes)
{
  if (available_bytes < a->lowest_bytes)
    a->lowest_bytes = a->highest_bytes = available_bytes;
  if (available_bytes > a->highest_bytes)
    {
      a->highest_bytes = available_bytes;
      a->risen_ns = now_ns;
    }
}

/* The host recovers: what is still under the reserve is on its way. */
static bool
still_rises (const struct aftermath *a, uint64_t now_ns, uint64_t available_bytes)
{
  return a->risen_ns != 0 && now_ns - a->risen_ns <= STANDSTILL_NS && available_bytes + GONE_AGAIN_BYTES > a->highest_bytes;
}

enum after
decide_after (const struct aftermath *a, uint64_t now_ns, uint64_t available_bytes, uint64_t reserve_bytes)
{
  if (a->empty_ns == 0)
    return now_ns - a->killed_ns > DEATH_NS ? AFTER_STUCK : AFTER_WAIT;

  /* Memory "moves" when a quarter of what the victim was known to hold is back; never asked to be more than the reserve,
     because its known use may be wrong. */
  uint64_t move = a->use_bytes / 4;
  if (move > reserve_bytes)
    move = reserve_bytes;
  if (move < RETURN_MIN_BYTES)
    move = RETURN_MIN_BYTES;
  if (available_bytes >= a->lowest_bytes && available_bytes - a->lowest_bytes >= move)
    return available_bytes < reserve_bytes && still_rises (a, now_ns, available_bytes) ? AFTER_WAIT : AFTER_RETURNED;

  if (a->shrunk_ns != 0)
    return now_ns - a->shrunk_ns > SHRINK_NS ? AFTER_NOTHING : AFTER_WAIT;
  if (now_ns - a->empty_ns <= RETURN_NS)
    return AFTER_WAIT;
  /* Where the reserve is whole again there is nothing to shrink for. */
  return available_bytes >= reserve_bytes ? AFTER_RETURNED : AFTER_SHRINK;
}

#include "guard/samples.h"

#include <stddef.h>

void
samples_add (struct samples *s, uint64_t at_ns, uint64_t available_bytes)
{
  struct sample sample = { at_ns, available_bytes };

  s->recent[s->recent_count++ % SAMPLES_RECENT] = sample;
  if (s->history_count > 0)
    {
      struct sample *last = &s->history[(s->history_count - 1) % SAMPLES_HISTORY];
      if (at_ns < last->at_ns + SAMPLES_HISTORY_STEP_NS)
        {
          if (available_bytes < last->available_bytes)
            last->available_bytes = available_bytes;
          return;
        }
    }
  s->history[s->history_count++ % SAMPLES_HISTORY] = sample;
}

const struct sample *
samples_recent (const struct samples *s, unsigned age)
{
  if (age >= SAMPLES_RECENT || age >= s->recent_count)
    return NULL;
  return &s->recent[(s->recent_count - 1 - age) % SAMPLES_RECENT];
}

void
samples_history (const struct samples *s, uint64_t until_ns, void (*each) (const struct sample *sample, void *data), void *data)
{
  uint64_t first = s->history_count > SAMPLES_HISTORY ? s->history_count - SAMPLES_HISTORY : 0;

  for (uint64_t i = first; i < s->history_count; i++)
    {
      const struct sample *sample = &s->history[i % SAMPLES_HISTORY];
      if (sample->at_ns <= until_ns && until_ns - sample->at_ns <= SAMPLES_HISTORY_SPAN_NS)
        each (sample, data);
    }
}

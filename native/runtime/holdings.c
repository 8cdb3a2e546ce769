#include "holdings.h"

#include "common/process.h"
#include "common/size.h"

#include <stdio.h>
#include <string.h>

static void
holdings_add (struct spark_holdings *sum, const struct spark_container *container)
{
  char size[16], one[SPARK_ID_MAX + 32];
  sum->budget_bytes += container->budget_bytes;
  if (container->reserve_bytes > sum->reserve_bytes)
    sum->reserve_bytes = container->reserve_bytes;
  if (container->name[0] != '\0')
    snprintf (one, sizeof one, "%s %s", container->name, spark_size_format (container->budget_bytes, size, sizeof size));
  else
    snprintf (one, sizeof one, "%.12s %s", container->id, spark_size_format (container->budget_bytes, size, sizeof size));
  size_t used = strlen (sum->text);
  if (used + strlen (one) + 3 < sizeof sum->text)
    {
      snprintf (sum->text + used, sizeof sum->text - used, "%s%s", used > 0 ? ", " : "", one);
      sum->named++;
    }
  sum->count++;
}

static bool
holdings_skip (const struct spark_holdings *sum, const struct spark_container *container)
{
  return strcmp (container->id, sum->except_id) == 0
         || (sum->except_ledger != NULL && sum->except_ledger[0] != '\0'
             && strcmp (container->ledger, sum->except_ledger) == 0);
}

static int
add_registered (const struct spark_container *container, void *data)
{
  struct spark_holdings *sum = data;
  if (!holdings_skip (sum, container) && spark_container_live (container, sum->proc_dir))
    holdings_add (sum, container);
  return 0;
}

bool
spark_pending_old (const struct spark_container *container)
{
  return spark_boottime_ns () - container->created_ns >= (uint64_t) SPARK_PENDING_MAX_SECONDS * 1000 * 1000 * 1000;
}

bool
spark_pending_live (const struct spark_container *container, const char *proc_dir)
{
  return !spark_pending_old (container) && spark_container_live (container, proc_dir);
}

/* A dead entry may lie there still when its container is started a second time. */
static bool
is_registered (const struct spark_holdings *sum, const char *id)
{
  struct spark_container registered;
  return spark_registry_read (sum->registry_fd, id, &registered, NULL) == 0 && spark_container_live (&registered, sum->proc_dir);
}

static int
add_pending (const struct spark_container *container, void *data)
{
  struct spark_holdings *sum = data;
  if (!holdings_skip (sum, container) && !is_registered (sum, container->id) && spark_pending_live (container, sum->proc_dir))
    holdings_add (sum, container);
  return 0;
}

void
spark_holdings_sum (struct spark_holdings *sum, int registry_fd, int admitted_fd)
{
  sum->registry_fd = registry_fd;
  spark_registry_each (registry_fd, add_registered, sum);
  spark_registry_each (admitted_fd, add_pending, sum);
}

void
spark_holdings_explain (uint64_t left, uint64_t total, const char *reserve, const struct spark_holdings *sum, char *text, size_t size)
{
  char left_text[16], total_text[16], more[48] = "";
  if (sum->count > sum->named)
    snprintf (more, sizeof more, " and %u more", sum->count - sum->named);
  snprintf (text, size, "%s is left of %s, less %s%s%s%s",
            left > 0 ? spark_size_format (left, left_text, sizeof left_text) : "nothing",
            spark_size_format (total, total_text, sizeof total_text), reserve, sum->count > 0 ? " and what is held by " : "",
            sum->text, more);
}

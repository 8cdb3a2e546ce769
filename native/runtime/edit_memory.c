#include "edits.h"

#include "common/cgroup_path.h"
#include "common/size.h"

#include <stdio.h>
#include <string.h>

/* True where the user set a number there; absent, null and 0 are "not set". */
static bool
number_set (json_object *object, const char *key)
{
  return json_object_get_int64 (spark_json_at (object, key, NULL)) != 0;
}

/* Both the budget and a limit of the user's are the most that may be held, so the smaller one holds. */
static void
limit_lower (json_object *memory, const struct spark_grant *grant, const struct spark_plan *plan,
             const struct spark_subject *subject)
{
  char asked[16], budget[16], sentence[160];
  int64_t limit = json_object_get_int64 (spark_json_at (memory, "limit", NULL));
  if (limit <= 0 || (uint64_t) limit <= grant->budget_bytes)
    return;
  snprintf (sentence, sizeof sentence, "its memory limit of %s is more than its budget of %s, so the budget is its limit",
            spark_size_format ((uint64_t) limit, asked, sizeof asked),
            spark_size_format (grant->budget_bytes, budget, sizeof budget));
  spark_report_event (plan->log_dir, "warning", subject, sentence);
  json_object_object_add (memory, "limit", json_object_new_int64 ((int64_t) grant->budget_bytes));
  /* `swap` is memory + swap together: what was above the old limit would now be swap. */
  if (json_object_get_int64 (spark_json_at (memory, "swap", NULL)) != 0)
    json_object_object_add (memory, "swap", json_object_new_int64 ((int64_t) grant->budget_bytes));
}

static int
limit_memory (json_object *resources, const struct spark_grant *grant, enum spark_memory_controller controller,
              bool swap_accounting, const struct spark_plan *plan, const struct spark_subject *subject,
              struct spark_error *error)
{
  json_object *memory = spark_json_object_member (resources, "memory");
  if (memory == NULL)
    return spark_fail (error, 0, "config.json: linux.resources.memory is not an object");
  limit_lower (memory, grant, plan, subject);
  bool swap_set = number_set (memory, "swap");
  int64_t swap = json_object_get_int64 (spark_json_at (memory, "swap", NULL));
  int64_t limit = json_object_get_int64 (spark_json_at (memory, "limit", NULL));
  if (limit <= 0)
    {
      limit = (int64_t) grant->budget_bytes;
      /* `swap` is memory + swap together; the kernel refuses a limit above it. */
      if (swap > 0 && swap < limit)
        limit = swap;
      json_object_object_add (memory, "limit", json_object_new_int64 (limit));
    }
  if (swap_set || !swap_accounting)
    return 0;
  json_object_object_add (memory, "swap", json_object_new_int64 (limit));
  if (controller != SPARK_MEMORY_V2)
    return 0;
  /* systemd forgets swap == limit on daemon-reload; memory.swap.max it keeps (facts: opencontainers/cgroups#74). */
  json_object *unified = spark_json_object_member (resources, "unified");
  if (unified == NULL)
    return spark_fail (error, 0, "config.json: linux.resources.unified is not an object");
  if (spark_json_at (unified, "memory.swap.max", NULL) == NULL)
    json_object_object_add (unified, "memory.swap.max", json_object_new_string ("0"));
  return 0;
}

int
spark_edit_memory (const struct spark_plan *plan, json_object *config, const struct spark_grant *grant,
                   const struct spark_subject *subject, struct spark_error *error)
{
  json_object *process = spark_json_at (config, "process", NULL);
  if (plan->oom_score_adj != 0 && json_object_is_type (process, json_type_object) && !number_set (process, "oomScoreAdj"))
    json_object_object_add (process, "oomScoreAdj", json_object_new_int (plan->oom_score_adj));
  if (!plan->limit_memory)
    return 0;
  bool swap_accounting;
  enum spark_memory_controller controller = spark_memory_controller (plan->proc_dir, &swap_accounting);
  if (controller == SPARK_MEMORY_NONE)
    {
      spark_report_event (plan->log_dir, "warning", subject,
                          "this kernel has no memory cgroup, so the container's host-side memory is not limited; boot with "
                          "cgroup_enable=memory to have that fence too");
      return 0;
    }
  json_object *linux_part = spark_json_object_member (config, "linux");
  json_object *resources = linux_part != NULL ? spark_json_object_member (linux_part, "resources") : NULL;
  if (resources == NULL)
    return spark_fail (error, 0, "config.json: linux.resources is not an object");
  return limit_memory (resources, grant, controller, swap_accounting, plan, subject, error);
}

#include "apply.h"

#include "container.h"
#include "edits.h"
#include "preload.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct spark_subject
spark_apply_subject (const struct spark_application *application)
{
  return (struct spark_subject){ application->id, application->wish.name, application->wish.request };
}

/* A bundle that is started a second time asks for what it got the first time, unless it asks anew. */
static void
wish_from_last_time (json_object *config, struct spark_wish *wish)
{
  static const char key[] = "io.spark-run.budget-bytes";
  const char *budget = spark_container_annotation (config, key);
  char *end = NULL;
  if (wish->budget_bytes != 0 || budget == NULL || budget[0] < '1' || budget[0] > '9')
    return;
  uint64_t bytes = strtoull (budget, &end, 10);
  if (*end != '\0')
    return;
  wish->budget_bytes = bytes;
  snprintf (wish->source, sizeof wish->source, "the annotation %s", key);
}

static int
edit (const struct spark_application *application, const struct spark_grant *grant, const char *engine,
      struct spark_error *error)
{
  const struct spark_plan *plan = application->plan;
  json_object *config = application->config;
  struct spark_subject subject = spark_apply_subject (application);
  if (spark_edit_env (plan, config, grant, error) != 0 || spark_edit_mounts (plan, config, grant, error) != 0
      || spark_preload_edit (plan, config, application->bundle, &subject, error) != 0
      || spark_edit_memory (plan, config, grant, &subject, error) != 0
      || spark_edit_hooks (plan, config, grant, error) != 0)
    return -1;
  return spark_edit_annotations (config, grant, engine, &subject, error);
}

enum spark_applied
spark_apply (struct spark_application *application, struct spark_error *error)
{
  const struct spark_plan *plan = application->plan;
  json_object *config = application->config;
  memset (&application->wish, 0, sizeof application->wish);
  if (spark_container_check_version (config, error) != 0)
    return SPARK_APPLY_FAILED;
  if (spark_container_is_sandbox (config))
    return SPARK_APPLY_NOTHING;
  /* The annotation alone proves nothing, since users can write annotations: it counts only beside an admission. */
  bool annotated = spark_container_annotation (config, "io.spark-run.applied") != NULL;
  pid_t holder;
  if (annotated && spark_admission_pending (plan, application->id, &holder))
    return holder == getpid () ? SPARK_APPLY_LOOP : SPARK_APPLY_NOTHING;

  uint64_t share_bytes;
  bool guard_missing;
  if (spark_host_share (plan, &share_bytes, error) != 0
      || spark_wish_read (plan, config, share_bytes, &application->wish, error) != 0
      || spark_admission_guarded (plan, application->id, &guard_missing, error) != 0)
    return SPARK_APPLY_FAILED;
  struct spark_subject subject = spark_apply_subject (application);
  if (guard_missing)
    spark_report_event (plan->log_dir, "warning", &subject,
                        "the container starts although the guard is not running: nobody protects this host");
  if (annotated)
    wish_from_last_time (config, &application->wish);

  struct spark_grant grant;
  const char *engine = spark_container_engine (config, application->bundle);
  if (spark_admit (plan, application->id, engine, &application->wish, application->holder, &grant, error) != 0)
    return SPARK_APPLY_FAILED;
  if (edit (application, &grant, engine, error) != 0)
    {
      spark_admission_undo (plan, application->id);
      return SPARK_APPLY_FAILED;
    }
  return SPARK_APPLY_EDITED;
}

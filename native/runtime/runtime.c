#include "runtime.h"

#include "apply.h"
#include "argv.h"
#include "bundle.h"
#include "common/cleanup.h"
#include "next_runtime.h"

#include <limits.h>
#include <string.h>

static int
refuse (const struct spark_invocation *invocation, const char *log_dir, const struct spark_subject *subject,
        const char *sentence)
{
  char line[1100];
  snprintf (line, sizeof line, "spark-run: %s", sentence);
  spark_report_to_engine (invocation->log_file, invocation->log_json, line);
  fprintf (stderr, "%s\n", line);
  if (subject != NULL)
    spark_report_event (log_dir, "refused", subject, sentence);
  return 1;
}

/* A verb that must not depend on the plan being good: what runs has to be listed, killed and deleted. */
static int
pass_without_plan (const struct spark_invocation *invocation, const struct spark_error *plan_error)
{
  char next[PATH_MAX];
  struct spark_error error = *plan_error;
  if (spark_next_runtime_fallback (invocation->plan_file, next, sizeof next) == 0)
    spark_next_runtime_exec (next, invocation->next_argv, &error);
  return refuse (invocation, NULL, NULL, error.text);
}

/* create and run: returns 0 where the next runtime may go on. `*edited` tells that there is something to undo. */
static int
prepare (const struct spark_invocation *invocation, const struct spark_plan *plan, struct spark_application *application,
         struct spark_bundle *bundle, bool *edited, struct spark_error *error)
{
  if (spark_bundle_open (invocation->bundle, invocation->config, bundle, error) != 0)
    return -1;
  *application = (struct spark_application){ .plan = plan,
                                             .config = bundle->config,
                                             .id = invocation->id,
                                             .bundle = invocation->bundle,
                                             .holder = getpid () };
  switch (spark_apply (application, error))
    {
    case SPARK_APPLY_NOTHING:
      return 0;
    case SPARK_APPLY_LOOP:
      spark_admission_undo (plan, invocation->id);
      return spark_fail (error, 0, "the next runtime %s leads back to spark-runtime; take spark out of its list of low-level "
                                   "runtimes, or set nextRuntime in spark-run's config.json to runc", plan->next_runtime);
    case SPARK_APPLY_EDITED:
      break;
    case SPARK_APPLY_FAILED:
    default:
      return -1;
    }
  if (spark_bundle_write (bundle, error) != 0)
    {
      spark_admission_undo (plan, invocation->id);
      return -1;
    }
  *edited = true;
  return 0;
}

/* The engine calls from the bundle's directory; a relative path is made absolute for the sake of names in sentences and of
   telling the engine by its directory. */
static int
create (struct spark_invocation *invocation, const struct spark_plan *plan)
{
  struct spark_error error = { 0 };
  struct spark_application application = { .id = invocation->id };
  struct spark_subject subject = { invocation->id, NULL, NULL };
  cleanup_bundle struct spark_bundle bundle = { .directory_fd = -1 };
  bool edited = false;
  char directory[PATH_MAX];
  if (realpath (invocation->bundle, directory) != NULL)
    invocation->bundle = directory;
  if (prepare (invocation, plan, &application, &bundle, &edited, &error) != 0)
    {
      subject = spark_apply_subject (&application);
      return refuse (invocation, plan->log_dir, &subject, error.text);
    }
  spark_next_runtime_remember (plan->run_dir, plan->next_runtime);
  spark_next_runtime_exec (plan->next_runtime, invocation->next_argv, &error);
  if (edited)
    {
      spark_bundle_restore (&bundle, NULL);
      spark_admission_undo (plan, invocation->id);
    }
  subject = spark_apply_subject (&application);
  return refuse (invocation, plan->log_dir, &subject, error.text);
}

int
spark_runtime_main (int argc, char **argv)
{
  struct spark_error error = { 0 };
  struct spark_invocation invocation;
  int parsed = spark_invocation_parse (argc, argv, &invocation, &error);
  cleanup_free char **next_argv = invocation.next_argv;
  if (parsed != 0)
    return refuse (&invocation, NULL, NULL, error.text);
  cleanup_plan struct spark_plan plan;
  int loaded = spark_plan_load (invocation.plan_file, &plan, &error);
  /* Without an id the next runtime's own usage error is the best answer. */
  bool creates = spark_invocation_creates (&invocation) && invocation.id != NULL
                 && !spark_plan_disabled (invocation.plan_file);
  struct spark_subject subject = { invocation.id, NULL, NULL };
  if (loaded != 0 && creates)
    return refuse (&invocation, plan.log_dir, &subject, error.text);
  if (loaded != 0)
    return pass_without_plan (&invocation, &error);
  if (spark_next_runtime_check (plan.next_runtime, &error) != 0)
    return creates ? refuse (&invocation, plan.log_dir, &subject, error.text) : pass_without_plan (&invocation, &error);
  if (creates)
    return create (&invocation, &plan);
  if (spark_invocation_restores (&invocation) && invocation.id != NULL && !spark_plan_disabled (invocation.plan_file))
    spark_report_event (plan.log_dir, "warning", &subject,
                        "the container is restored from a checkpoint: that is no admission, so it has no budget that was "
                        "checked and no ledger, and only the guard stands between it and the host");
  spark_next_runtime_exec (plan.next_runtime, invocation.next_argv, &error);
  return refuse (&invocation, NULL, NULL, error.text);
}

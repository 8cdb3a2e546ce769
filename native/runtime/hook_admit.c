/* Admission outside `spark-runtime create`: Podman's precreate, and `admit` for carriers without a bundle. */
#include "apply.h"
#include "common/cleanup.h"
#include "container.h"
#include "hook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int
stdout_write (const char *text, size_t length, struct spark_error *error)
{
  if (fwrite (text, 1, length, stdout) != length || fflush (stdout) != 0)
    return spark_fail (error, errno, "the answer cannot be written to stdout");
  return 0;
}

/* Applies the plan and prints what came out; `text` is the configuration as it was given. */
static int
precreate_apply (const struct spark_plan *plan, json_object *config, const char *text, size_t length,
                 struct spark_error *error)
{
  char id[SPARK_ID_MAX + 1];
  if (spark_container_id (config, id, error) != 0)
    return -1;
  /* Podman itself runs this hook and lives until the container is made; this process does not. */
  struct spark_application application
    = { .plan = plan, .config = config, .id = id, .bundle = ".", .holder = getppid () };
  enum spark_applied applied = spark_apply (&application, error);
  if (applied == SPARK_APPLY_NOTHING)
    return stdout_write (text, length, error);
  if (applied != SPARK_APPLY_EDITED)
    {
      struct spark_subject subject = spark_apply_subject (&application);
      spark_report_event (plan->log_dir, "refused", &subject, error->text);
      return -1;
    }
  size_t edited_length;
  const char *edited = spark_json_text (config, &edited_length);
  if (stdout_write (edited, edited_length, error) == 0)
    return 0;
  spark_admission_undo (plan, id);
  return -1;
}

int
spark_hook_precreate (const char *plan_file, bool gpu_only, struct spark_error *error)
{
  static const char what[] = "the configuration on stdin";
  size_t length;
  cleanup_free char *text = spark_read_all (STDIN_FILENO, SPARK_JSON_FILE_MAX, what, &length, error);
  if (text == NULL)
    return -1;
  if (spark_plan_disabled (plan_file))
    return stdout_write (text, length, error);
  cleanup_json json_object *config = spark_json_parse (text, length, what, error);
  if (config == NULL)
    return -1;
  cleanup_plan struct spark_plan plan;
  int loaded = spark_plan_load (plan_file, &plan, error);
  if (gpu_only && !spark_container_wants_gpu (config, loaded == 0 ? plan.wishes : NULL))
    return stdout_write (text, length, error);
  return loaded == 0 ? precreate_apply (&plan, config, text, length, error) : -1;
}

/* A configuration that holds nothing but the variables given with --env and --request. */
static json_object *
config_of_options (const struct spark_hook_options *options)
{
  json_object *config = json_object_new_object (), *process = json_object_new_object (), *env = json_object_new_array ();
  json_object_object_add (config, "process", process);
  json_object_object_add (process, "env", env);
  for (size_t i = 0; options->env[i] != NULL; i++)
    json_object_array_add (env, json_object_new_string (options->env[i]));
  if (options->request != NULL)
    {
      cleanup_free char *assignment = NULL;
      if (asprintf (&assignment, "SPARK_RUN_REQUEST=%s", options->request) > 0)
        json_object_array_add (env, json_object_new_string (assignment));
    }
  return config;
}

static int
grant_print (const struct spark_plan *plan, const struct spark_grant *grant, struct spark_error *error)
{
  cleanup_json json_object *answer = json_object_new_object ();
  uint64_t reserve_bytes = grant->reserve_bytes > 0 ? grant->reserve_bytes : plan->reserve_bytes;
  json_object_object_add (answer, "id", json_object_new_string (grant->id));
  json_object_object_add (answer, "budgetBytes", json_object_new_uint64 (grant->budget_bytes));
  json_object_object_add (answer, "reserveBytes", json_object_new_uint64 (reserve_bytes));
  json_object_object_add (answer, "engineBytes", json_object_new_uint64 (grant->engine_bytes));
  json_object_object_add (answer, "priority", json_object_new_int (grant->priority));
  json_object_object_add (answer, "ledger", json_object_new_string (grant->ledger));
  size_t length;
  const char *text = spark_json_text (answer, &length);
  return stdout_write (text, length, error) != 0 ? -1 : stdout_write ("\n", 1, error);
}

int
spark_hook_admit (const struct spark_plan *plan, const struct spark_hook_options *options, struct spark_error *error)
{
  if (options->id == NULL)
    return spark_fail (error, 0, "admit needs --id ID");
  cleanup_json json_object *config = config_of_options (options);
  struct spark_wish wish = { 0 };
  struct spark_subject subject = { options->id, wish.name, wish.request };
  struct spark_grant grant;
  uint64_t share_bytes;
  bool guard_missing = false;
  if (spark_host_share (plan, &share_bytes, error) != 0
      || spark_wish_read (plan, config, share_bytes, &wish, error) != 0
      || spark_admission_guarded (plan, options->id, &guard_missing, error) != 0
      || spark_admit (plan, options->id, "unknown", &wish, getppid (), &grant, error) != 0)
    {
      spark_report_event (plan->log_dir, "refused", &subject, error->text);
      return -1;
    }
  if (guard_missing)
    spark_report_event (plan->log_dir, "warning", &subject,
                        "the container starts although the guard is not running: nobody protects this host");
  if (grant_print (plan, &grant, error) == 0)
    return 0;
  spark_admission_undo (plan, options->id);
  return -1;
}

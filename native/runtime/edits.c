#include "edits.h"

#include "common/cleanup.h"
#include "container.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int
type_fail (struct spark_error *error, const char *where, const char *type)
{
  return spark_fail (error, 0, "config.json: %s is not %s", where, type);
}

/* --- placeholders --------------------------------------------------------------------------------------------------- */

/* The value of the placeholder at the start of `text` ("${name}…"), or NULL. */
static const char *
placeholder_value (const char *text, const struct spark_grant *grant, char *number, size_t number_size, size_t *length)
{
  const struct {
    const char *name;
    const char *value; /* NULL = `bytes` */
    uint64_t bytes;
  } known[] = {
    { "${budget_bytes}", NULL, grant->budget_bytes },   { "${budget_mib}", NULL, grant->budget_bytes >> 20 },
    { "${engine_bytes}", NULL, grant->engine_bytes },   { "${ledger}", grant->ledger, 0 },
    { "${id}", grant->id, 0 },
  };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strncmp (text, known[i].name, strlen (known[i].name)) == 0)
      {
        *length = strlen (known[i].name);
        snprintf (number, number_size, "%llu", (unsigned long long) known[i].bytes);
        return known[i].value != NULL ? known[i].value : number;
      }
  return NULL;
}

char *
spark_edit_expand (const char *text, const struct spark_grant *grant)
{
  char *expanded = NULL;
  size_t size;
  FILE *stream = open_memstream (&expanded, &size);
  if (stream == NULL)
    return NULL;
  while (*text != '\0')
    {
      char number[24];
      size_t length;
      const char *value = *text == '$' ? placeholder_value (text, grant, number, sizeof number, &length) : NULL;
      if (value != NULL)
        {
          fputs (value, stream);
          text += length;
        }
      else
        fputc (*text++, stream);
    }
  fclose (stream);
  return expanded;
}

/* A new JSON string, expanded. */
static json_object *
expanded_string (const char *text, const struct spark_grant *grant)
{
  cleanup_free char *expanded = spark_edit_expand (text != NULL ? text : "", grant);
  return json_object_new_string (expanded != NULL ? expanded : "");
}

/* A deep copy of plan data with every string expanded. */
static json_object *
expanded_copy (json_object *data, const struct spark_grant *grant)
{
  if (json_object_is_type (data, json_type_string))
    return expanded_string (json_object_get_string (data), grant);
  if (json_object_is_type (data, json_type_array))
    {
      json_object *copy = json_object_new_array ();
      for (size_t i = 0; i < json_object_array_length (data); i++)
        json_object_array_add (copy, expanded_copy (json_object_array_get_idx (data, i), grant));
      return copy;
    }
  return json_object_get (data);
}

static size_t
array_length (json_object *array)
{
  return json_object_is_type (array, json_type_array) ? json_object_array_length (array) : 0;
}

/* --- environment ---------------------------------------------------------------------------------------------------- */

static bool
any_set (json_object *config, json_object *names)
{
  for (size_t i = 0; i < array_length (names); i++)
    {
      const char *name = json_object_get_string (json_object_array_get_idx (names, i));
      if (name != NULL && spark_container_env (config, name) != NULL)
        return true;
    }
  return false;
}

static void
env_add (json_object *config, json_object *env, const char *assignment, const struct spark_grant *grant)
{
  char name[256];
  size_t length = assignment != NULL ? strcspn (assignment, "=") : 0;
  if (length == 0 || length >= sizeof name)
    return;
  memcpy (name, assignment, length);
  name[length] = '\0';
  if (spark_container_env (config, name) == NULL)
    json_object_array_add (env, expanded_string (assignment, grant));
}

int
spark_edit_env (const struct spark_plan *plan, json_object *config, const struct spark_grant *grant,
                struct spark_error *error)
{
  json_object *process = spark_json_at (config, "process", NULL);
  if (process == NULL || array_length (plan->env) == 0)
    return 0;
  json_object *env = json_object_is_type (process, json_type_object) ? spark_json_array_member (process, "env") : NULL;
  if (env == NULL)
    return type_fail (error, "process.env", "an array");
  /* Which groups apply is a question about the user's environment, so it is answered before the first variable is added. */
  size_t count = array_length (plan->env);
  cleanup_free bool *left_out = calloc (count, sizeof *left_out);
  if (left_out == NULL)
    return spark_fail (error, errno, "%zu groups of variables", count);
  for (size_t i = 0; i < count; i++)
    left_out[i] = any_set (config, spark_json_at (json_object_array_get_idx (plan->env, i), "unlessEnv", NULL));
  for (size_t i = 0; i < count; i++)
    {
      json_object *assignments = spark_json_at (json_object_array_get_idx (plan->env, i), "env", NULL);
      if (left_out[i])
        continue;
      for (size_t j = 0; j < array_length (assignments); j++)
        env_add (config, env, json_object_get_string (json_object_array_get_idx (assignments, j)), grant);
    }
  return 0;
}

/* --- mounts --------------------------------------------------------------------------------------------------------- */

/* True for the ledger of an earlier container in the same bundle: its mount is ours to change. */
static bool
is_old_ledger (const struct spark_plan *plan, json_object *mount)
{
  const char *source = spark_json_string (mount, "source");
  size_t length = strlen (plan->run_dir);
  return source != NULL && strncmp (source, plan->run_dir, length) == 0
         && strncmp (source + length, "/ledgers/", 9) == 0;
}

int
spark_edit_mounts (const struct spark_plan *plan, json_object *config, const struct spark_grant *grant,
                   struct spark_error *error)
{
  if (array_length (plan->mounts) == 0)
    return 0;
  json_object *mounts = spark_json_array_member (config, "mounts");
  if (mounts == NULL)
    return type_fail (error, "mounts", "an array");
  for (size_t i = 0; i < array_length (plan->mounts); i++)
    {
      json_object *edit = json_object_array_get_idx (plan->mounts, i);
      cleanup_json json_object *source = expanded_copy (spark_json_at (edit, "hostPath", NULL), grant);
      cleanup_json json_object *destination = expanded_copy (spark_json_at (edit, "containerPath", NULL), grant);
      json_object *options = spark_json_at (edit, "options", NULL);
      if (!json_object_is_type (source, json_type_string) || !json_object_is_type (destination, json_type_string))
        return spark_fail (error, 0, "the plan's mount %zu has no hostPath or containerPath; write the plan anew with: "
                                     "spark-run install docker (or podman)", i);
      json_object *there = spark_container_mount_at (config, json_object_get_string (destination));
      if (there != NULL && is_old_ledger (plan, there))
        json_object_object_add (there, "source", json_object_get (source));
      if (there != NULL)
        continue;
      if (access (json_object_get_string (source), F_OK) != 0)
        return spark_fail (error, 0, "%s, which every container gets, is missing on this host; put it back with: spark-run "
                                     "install", json_object_get_string (source));
      json_object *mount = json_object_new_object ();
      json_object_object_add (mount, "destination", json_object_get (destination));
      json_object_object_add (mount, "type", json_object_new_string ("bind"));
      json_object_object_add (mount, "source", json_object_get (source));
      json_object_object_add (mount, "options", options != NULL ? expanded_copy (options, grant) : json_object_new_array ());
      json_object_array_add (mounts, mount);
    }
  return 0;
}

/* --- hooks ---------------------------------------------------------------------------------------------------------- */

/* The same program with the same arguments is the same hook. */
static bool
hook_is_there (json_object *list, json_object *hook)
{
  for (size_t i = 0; i < array_length (list); i++)
    {
      json_object *other = json_object_array_get_idx (list, i);
      if (json_object_equal (spark_json_at (other, "path", NULL), spark_json_at (hook, "path", NULL))
          && json_object_equal (spark_json_at (other, "args", NULL), spark_json_at (hook, "args", NULL)))
        return true;
    }
  return false;
}

int
spark_edit_hooks (const struct spark_plan *plan, json_object *config, const struct spark_grant *grant,
                  struct spark_error *error)
{
  static const char *const keys[] = { "path", "args", "env", "timeout" };
  if (array_length (plan->hooks) == 0)
    return 0;
  json_object *hooks = spark_json_object_member (config, "hooks");
  if (hooks == NULL)
    return type_fail (error, "hooks", "an object");
  for (size_t i = 0; i < array_length (plan->hooks); i++)
    {
      json_object *edit = json_object_array_get_idx (plan->hooks, i);
      const char *kind = spark_json_string (edit, "hookName");
      json_object *list = kind != NULL ? spark_json_array_member (hooks, kind) : NULL;
      if (list == NULL)
        return spark_fail (error, 0, "config.json: hooks.%s is not an array", kind != NULL ? kind : "(no hookName)");
      cleanup_json json_object *hook = json_object_new_object ();
      for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        {
          json_object *value = spark_json_at (edit, keys[k], NULL);
          if (value != NULL)
            json_object_object_add (hook, keys[k], expanded_copy (value, grant));
        }
      if (!hook_is_there (list, hook))
        json_object_array_add (list, json_object_get (hook));
    }
  return 0;
}

/* --- annotations ---------------------------------------------------------------------------------------------------- */

int
spark_edit_annotations (json_object *config, const struct spark_grant *grant, const char *engine,
                        const struct spark_subject *subject, struct spark_error *error)
{
  json_object *annotations = spark_json_object_member (config, "annotations");
  if (annotations == NULL)
    return type_fail (error, "annotations", "an object");
  char budget[24], reserve[24], priority[24], version[24];
  snprintf (version, sizeof version, "%d", SPARK_PLAN_VERSION);
  snprintf (budget, sizeof budget, "%llu", (unsigned long long) grant->budget_bytes);
  snprintf (reserve, sizeof reserve, "%llu", (unsigned long long) grant->reserve_bytes);
  snprintf (priority, sizeof priority, "%d", grant->priority);
  const struct {
    const char *key, *value;
  } lines[] = {
    { "io.spark-run.applied", version },        { "io.spark-run.budget-bytes", budget },
    { "io.spark-run.reserve-bytes", reserve },  { "io.spark-run.priority", priority },
    { "io.spark-run.ledger", grant->ledger },   { "io.spark-run.engine", engine },
    { "io.spark-run.request", subject->request }, { "io.spark-run.name", subject->name },
  };
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
    if (lines[i].value != NULL && lines[i].value[0] != '\0')
      json_object_object_add (annotations, lines[i].key, json_object_new_string (lines[i].value));
    else
      json_object_object_del (annotations, lines[i].key);
  return 0;
}

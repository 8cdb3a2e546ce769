/* Registering and forgetting containers: the OCI hooks and the verb of the same name. */
#include "admission.h"
#include "common/cgroup_path.h"
#include "common/cleanup.h"
#include "common/process.h"
#include "hook.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

/* The OCI state on stdin, as large as a config.json may be because it carries all annotations; runc and crun differ in status and extra members, which nothing here reads. */
static json_object *
state_read (struct spark_error *error)
{
  static const char what[] = "the OCI state on stdin";
  size_t length;
  cleanup_free char *text = spark_read_all (STDIN_FILENO, SPARK_JSON_FILE_MAX, what, &length, error);
  return text != NULL ? spark_json_parse (text, length, what, error) : NULL;
}

/* Copies a text that the registry holds; one that is cut would be another one. `what` names it. */
static int
text_take (char *target, size_t size, const char *text, const char *what, struct spark_error *error)
{
  size_t length = text != NULL ? strlen (text) : 0;
  if (length >= size)
    return spark_fail (error, 0, "%s is %zu characters long, the most is %zu: \"%.60s…\"", what, length, size - 1, text);
  memcpy (target, text != NULL ? text : "", length + 1);
  return 0;
}

#define TAKE(member, text, what) text_take (container->member, sizeof container->member, text, what, error)

/* Users can write annotations too, so what the carrier never writes is refused here. */
static int
annotation_refuse (const char *key, const char *text, const char *allowed, struct spark_error *error)
{
  return spark_fail (error, 0, "the annotation %s is \"%.40s\", allowed: %s", key, text, allowed);
}

static int
number_annotation (json_object *annotations, const char *key, uint64_t *number, struct spark_error *error)
{
  static const char allowed[] = "whole bytes below 2^53";
  const char *text = spark_json_string (annotations, key);
  *number = 0;
  if (text == NULL)
    return 0;
  if (text[0] == '\0' || text[strspn (text, "0123456789")] != '\0' || strlen (text) > 16)
    return annotation_refuse (key, text, allowed, error);
  *number = strtoull (text, NULL, 10);
  return *number < UINT64_C (1) << 53 ? 0 : annotation_refuse (key, text, allowed, error);
}

static int
from_annotations (json_object *annotations, struct spark_container *container, struct spark_error *error)
{
  static const char name[] = "io.spark-run.name", request[] = "io.spark-run.request", ledger[] = "io.spark-run.ledger",
                    engine[] = "io.spark-run.engine", priority[] = "io.spark-run.priority";
  const char *engine_text = spark_json_string (annotations, engine);
  const char *priority_text = spark_json_string (annotations, priority);
  if (TAKE (name, spark_json_string (annotations, name), name) != 0
      || TAKE (request, spark_json_string (annotations, request), request) != 0
      || TAKE (ledger, spark_json_string (annotations, ledger), ledger) != 0
      || TAKE (engine, engine_text != NULL && engine_text[0] != '\0' ? engine_text : "unknown", engine) != 0
      || number_annotation (annotations, "io.spark-run.budget-bytes", &container->budget_bytes, error) != 0
      || number_annotation (annotations, "io.spark-run.reserve-bytes", &container->reserve_bytes, error) != 0)
    return -1;
  if (priority_text != NULL && !spark_priority_parse (priority_text, &container->priority))
    return annotation_refuse (priority, priority_text, "a whole number from -1000 to 1000", error);
  return 0;
}

/* Fills in where the container's processes are; fails where it has no cgroup of its own, since then nobody could be killed
   without killing strangers. */
static int
place_take (const struct spark_plan *plan, struct spark_container *container, struct spark_error *error)
{
  struct spark_cgroup_paths paths;
  if (spark_process_start (plan->proc_dir, container->pid, &container->pid_start) != 0)
    return spark_fail (error, 0, "container %s is gone already (its process %d has ended), so it is not registered",
                       container->id, (int) container->pid);
  if (spark_cgroup_paths (plan->proc_dir, container->pid, &paths, error) != 0)
    return -1;
  spark_cgroup_paths_without (plan->proc_dir, getpid (), &paths);
  if (paths.v2[0] == '\0' && paths.memory[0] == '\0' && paths.freezer[0] == '\0')
    return spark_fail (error, 0, "container %s has no cgroup of its own, so it could not be stopped without stopping others; "
                                 "run it with a cgroup (not --cgroups=disabled)", container->id);
  if (TAKE (cgroup_v2, paths.v2, "the cgroup's path") != 0 || TAKE (cgroup_memory, paths.memory, "the cgroup's path") != 0
      || TAKE (cgroup_freezer, paths.freezer, "the cgroup's path") != 0)
    return -1;
  return 0;
}

static int
register_and_report (const struct spark_plan *plan, struct spark_container *container, struct spark_error *error)
{
  if (spark_register (plan, container, error) == 0)
    return 0;
  struct spark_subject subject = { container->id, container->name, container->request };
  spark_report_event (plan->log_dir, "refused", &subject, error->text);
  return -1;
}

int
spark_hook_register_state (const struct spark_plan *plan, struct spark_error *error)
{
  cleanup_json json_object *state = state_read (error);
  if (state == NULL)
    return -1;
  json_object *annotations = spark_json_at (state, "annotations", NULL);
  struct spark_container registered = { 0 }, *container = &registered;
  uint64_t pid = 0;
  const char *id = spark_json_string (state, "id");
  /* Hooks can be set for every container of an engine; one that no carrier prepared has no budget to register. */
  if (spark_json_string (annotations, "io.spark-run.applied") == NULL)
    return 0;
  if (id == NULL || !spark_id_valid (id))
    return spark_fail (error, 0, "the OCI state on stdin has no usable id");
  if (!spark_json_uint64 (state, "pid", &pid) || pid == 0 || pid > INT32_MAX)
    return spark_fail (error, 0, "the OCI state of container %s has no pid", id);
  container->pid = (pid_t) pid;
  if (TAKE (id, id, "the id") != 0 || from_annotations (annotations, container, error) != 0
      || place_take (plan, container, error) != 0)
    return -1;
  return register_and_report (plan, container, error);
}

int
spark_hook_poststop (const struct spark_plan *plan, struct spark_error *error)
{
  cleanup_json json_object *state = state_read (error);
  const char *id = state != NULL ? spark_json_string (state, "id") : NULL;
  if (id == NULL)
    return state != NULL ? spark_fail (error, 0, "the OCI state on stdin has no id") : -1;
  spark_unregister (plan, id);
  return 0;
}

int
spark_hook_register (const struct spark_plan *plan, const struct spark_hook_options *options, struct spark_error *error)
{
  struct spark_container registered = { .pid = (pid_t) options->pid,
                                        .pgid = (pid_t) options->pgid,
                                        .budget_bytes = options->budget_bytes,
                                        .reserve_bytes = options->reserve_bytes,
                                        .priority = options->priority };
  struct spark_container *container = &registered;
  if (options->id == NULL || !spark_id_valid (options->id) || options->pid == 0)
    return spark_fail (error, 0, "register needs --id ID (1 to %d of A-Z a-z 0-9 _ . -) and --pid N", SPARK_ID_MAX);
  if (options->name != NULL && !spark_id_valid (options->name))
    return spark_fail (error, 0, "--name is \"%.60s\", allowed: 1 to %d of A-Z a-z 0-9 _ . -", options->name, SPARK_ID_MAX);
  if (TAKE (id, options->id, "--id") != 0 || TAKE (name, options->name, "--name") != 0
      || TAKE (request, options->request, "--request") != 0 || TAKE (ledger, options->ledger, "--ledger") != 0
      || TAKE (engine, options->engine != NULL ? options->engine : "unknown", "--engine") != 0)
    return -1;
  /* A process group is a rehearsal without an engine: there is no cgroup to look for. */
  if (container->pgid == 0 && place_take (plan, container, error) != 0)
    return -1;
  if (container->pgid != 0 && spark_process_start (plan->proc_dir, container->pid, &container->pid_start) != 0)
    return spark_fail (error, 0, "process %d is gone already, so %s is not registered", (int) container->pid, container->id);
  return register_and_report (plan, container, error);
}

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

static uint64_t
number_annotation (json_object *annotations, const char *key)
{
  const char *text = spark_json_string (annotations, key);
  return text != NULL && text[0] >= '0' && text[0] <= '9' ? strtoull (text, NULL, 10) : 0;
}

static void
text_take (char *target, size_t size, const char *text)
{
  snprintf (target, size, "%s", text != NULL ? text : "");
}

static void
from_annotations (json_object *annotations, struct spark_container *container)
{
  const char *priority = spark_json_string (annotations, "io.spark-run.priority");
  text_take (container->name, sizeof container->name, spark_json_string (annotations, "io.spark-run.name"));
  text_take (container->request, sizeof container->request, spark_json_string (annotations, "io.spark-run.request"));
  text_take (container->ledger, sizeof container->ledger, spark_json_string (annotations, "io.spark-run.ledger"));
  text_take (container->engine, sizeof container->engine, spark_json_string (annotations, "io.spark-run.engine"));
  if (container->engine[0] == '\0')
    text_take (container->engine, sizeof container->engine, "unknown");
  container->budget_bytes = number_annotation (annotations, "io.spark-run.budget-bytes");
  container->reserve_bytes = number_annotation (annotations, "io.spark-run.reserve-bytes");
  container->priority = priority != NULL ? (int) strtol (priority, NULL, 10) : 0;
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
  text_take (container->cgroup_v2, sizeof container->cgroup_v2, paths.v2);
  text_take (container->cgroup_memory, sizeof container->cgroup_memory, paths.memory);
  text_take (container->cgroup_freezer, sizeof container->cgroup_freezer, paths.freezer);
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
  struct spark_container container = { 0 };
  uint64_t pid = 0;
  const char *id = spark_json_string (state, "id");
  /* Hooks can be set for every container of an engine; one that no carrier prepared has no budget to register. */
  if (spark_json_string (annotations, "io.spark-run.applied") == NULL)
    return 0;
  if (id == NULL || !spark_id_valid (id))
    return spark_fail (error, 0, "the OCI state on stdin has no usable id");
  if (!spark_json_uint64 (state, "pid", &pid) || pid == 0 || pid > INT32_MAX)
    return spark_fail (error, 0, "the OCI state of container %s has no pid", id);
  text_take (container.id, sizeof container.id, id);
  container.pid = (pid_t) pid;
  from_annotations (annotations, &container);
  if (place_take (plan, &container, error) != 0)
    return -1;
  return register_and_report (plan, &container, error);
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
  struct spark_container container = { .pid = (pid_t) options->pid,
                                       .pgid = (pid_t) options->pgid,
                                       .budget_bytes = options->budget_bytes,
                                       .reserve_bytes = options->reserve_bytes,
                                       .priority = options->priority };
  if (options->id == NULL || !spark_id_valid (options->id) || options->pid == 0)
    return spark_fail (error, 0, "register needs --id ID (1 to %d of A-Z a-z 0-9 _ . -) and --pid N", SPARK_ID_MAX);
  if (options->name != NULL && !spark_id_valid (options->name))
    return spark_fail (error, 0, "--name is \"%.60s\", allowed: 1 to %d of A-Z a-z 0-9 _ . -", options->name, SPARK_ID_MAX);
  text_take (container.id, sizeof container.id, options->id);
  text_take (container.name, sizeof container.name, options->name);
  text_take (container.request, sizeof container.request, options->request);
  text_take (container.ledger, sizeof container.ledger, options->ledger);
  text_take (container.engine, sizeof container.engine, options->engine != NULL ? options->engine : "unknown");
  /* A process group is a rehearsal without an engine: there is no cgroup to look for. */
  if (container.pgid == 0 && place_take (plan, &container, error) != 0)
    return -1;
  if (container.pgid != 0 && spark_process_start (plan->proc_dir, container.pid, &container.pid_start) != 0)
    return spark_fail (error, 0, "process %d is gone already, so %s is not registered", (int) container.pid, container.id);
  return register_and_report (plan, &container, error);
}

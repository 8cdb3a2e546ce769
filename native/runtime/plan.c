#include "plan.h"

#include "common/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

static const char cure[] = "write it anew with: spark-run install docker (or podman)";

static json_object *
plan_read (const char *file, struct spark_error *error)
{
  cleanup_close int fd = open (file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT)
    {
      spark_fail (error, 0, "there is no plan at %s; %s", file, cure);
      return NULL;
    }
  char what[PATH_MAX];
  snprintf (what, sizeof what, "the plan %s", file);
  if (fd < 0)
    {
      spark_fail (error, errno, "%s cannot be opened", what);
      return NULL;
    }
  size_t length;
  cleanup_free char *text = spark_read_all (fd, SPARK_PLAN_FILE_MAX, what, &length, error);
  if (text == NULL)
    return NULL;
  struct spark_error problem;
  json_object *root = spark_json_parse (text, length, what, &problem);
  if (root == NULL)
    spark_fail (error, 0, "%s; %s", problem.text, cure);
  return root;
}

/* A member that may be null or missing (then `fallback`), else must be a whole number of bytes. */
static bool
bytes_or (json_object *object, const char *key, uint64_t fallback, uint64_t *value)
{
  *value = fallback;
  return spark_json_at (object, key, NULL) == NULL || spark_json_uint64 (object, key, value);
}

static bool
array_or_absent (json_object *object, const char *key, json_object **array)
{
  *array = spark_json_at (object, key, NULL);
  return *array == NULL || json_object_is_type (*array, json_type_array);
}

/* Returns the dotted name of the first key that is missing or of the wrong type, or NULL. */
static const char *
plan_take (struct spark_plan *plan)
{
  json_object *paths = spark_json_at (plan->root, "paths", NULL);
  json_object *host = spark_json_at (plan->root, "host", NULL);
  json_object *budget = spark_json_at (plan->root, "budget", NULL);
  json_object *cgroup = spark_json_at (plan->root, "cgroup", NULL);
  json_object *edits = spark_json_at (plan->root, "containerEdits", NULL);
  plan->next_runtime = spark_json_string (plan->root, "nextRuntime");
  if (plan->next_runtime == NULL)
    return "nextRuntime";
  plan->lib_dir = spark_json_string (paths, "libDir");
  if (plan->lib_dir == NULL || plan->lib_dir[0] != '/')
    return "paths.libDir";
  plan->run_dir = spark_json_string (paths, "runDir");
  if (plan->run_dir == NULL || plan->run_dir[0] != '/')
    return "paths.runDir";
  plan->log_dir = spark_json_string (paths, "logDir");
  plan->proc_dir = spark_json_string (paths, "procDir");
  if (plan->proc_dir == NULL)
    plan->proc_dir = "/proc";
  if (!spark_json_uint64 (host, "reserveBytes", &plan->reserve_bytes))
    return "host.reserveBytes";
  if (!bytes_or (host, "withholdBytes", 0, &plan->withhold_bytes))
    return "host.withholdBytes";
  if (!bytes_or (budget, "defaultBytes", 0, &plan->default_bytes))
    return "budget.defaultBytes";
  if (!bytes_or (budget, "maxBytes", UINT64_MAX, &plan->max_bytes))
    return "budget.maxBytes";
  if (!bytes_or (budget, "minBytes", 1, &plan->min_bytes))
    return "budget.minBytes";
  if (!array_or_absent (budget, "wishes", &plan->wishes))
    return "budget.wishes";
  const char *missing = spark_json_string (plan->root, "onGuardMissing");
  if (missing != NULL && strcmp (missing, "warn") != 0 && strcmp (missing, "refuse") != 0)
    return "onGuardMissing";
  plan->start_without_guard = missing != NULL && strcmp (missing, "warn") == 0;
  plan->limit_memory = json_object_get_boolean (spark_json_at (cgroup, "limitMemory", NULL));
  json_object *score = spark_json_at (cgroup, "oomScoreAdj", NULL);
  plan->oom_score_adj = json_object_get_int (score);
  if (score != NULL && (!json_object_is_type (score, json_type_int) || plan->oom_score_adj < 0 || plan->oom_score_adj > 1000))
    return "cgroup.oomScoreAdj";
  if (!json_object_is_type (edits, json_type_object))
    return "containerEdits";
  if (!array_or_absent (edits, "env", &plan->env))
    return "containerEdits.env";
  if (!array_or_absent (edits, "mounts", &plan->mounts))
    return "containerEdits.mounts";
  if (!array_or_absent (edits, "hooks", &plan->hooks))
    return "containerEdits.hooks";
  plan->preload = spark_json_string (edits, "preload");
  return NULL;
}

int
spark_plan_load (const char *file, struct spark_plan *plan, struct spark_error *error)
{
  memset (plan, 0, sizeof *plan);
  plan->root = plan_read (file, error);
  if (plan->root == NULL)
    return -1;
  uint64_t version = 0;
  json_object *given = spark_json_at (plan->root, "planVersion", NULL);
  if (!spark_json_uint64 (plan->root, "planVersion", &version) || version != SPARK_PLAN_VERSION)
    return spark_fail (error, 0, "the plan %s has version %.40s, this spark-runtime understands version %d; %s", file,
                       given != NULL ? json_object_to_json_string (given) : "none", SPARK_PLAN_VERSION, cure);
  const char *problem = plan_take (plan);
  if (problem != NULL)
    return spark_fail (error, 0, "the plan %s has no usable %s; %s", file, problem, cure);
  return 0;
}

void
spark_plan_free (struct spark_plan *plan)
{
  json_object_put (plan->root);
  plan->root = NULL;
}

bool
spark_plan_disabled (const char *file)
{
  char path[PATH_MAX];
  const char *slash = strrchr (file, '/');
  int directory_length = slash != NULL ? (int) (slash - file) + 1 : 0;
  snprintf (path, sizeof path, "%.*sdisabled", directory_length, file);
  return access (path, F_OK) == 0;
}

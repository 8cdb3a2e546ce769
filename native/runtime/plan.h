/* The plan: everything a carrier applies, compiled by TypeScript. docs/formats.md section 3. */
#ifndef SPARK_RUNTIME_PLAN_H
#define SPARK_RUNTIME_PLAN_H

#include "json.h"

#define SPARK_PLAN_DEFAULT_FILE "/etc/spark-run/plan.json"
enum { SPARK_PLAN_VERSION = 1, SPARK_PLAN_FILE_MAX = 1024 * 1024 };

/* Texts and arrays belong to `root`; absent parts are NULL. */
struct spark_plan {
  json_object *root;
  const char *next_runtime;
  const char *lib_dir, *run_dir;
  const char *log_dir;  /* NULL = no event log */
  const char *proc_dir; /* "/proc" unless a test says otherwise */
  uint64_t reserve_bytes, withhold_bytes;
  uint64_t default_bytes; /* 0 = what is left */
  uint64_t max_bytes;     /* UINT64_MAX = no limit of its own */
  uint64_t min_bytes;
  json_object *wishes; /* array */
  bool start_without_guard;
  bool limit_memory;
  int oom_score_adj; /* 0 = leave */
  json_object *env, *mounts, *hooks;
  const char *preload;
};

/* Reads and checks the plan. Errors name the file, what was found, what is understood and the cure. */
int spark_plan_load (const char *file, struct spark_plan *plan, struct spark_error *error);

void spark_plan_free (struct spark_plan *plan);

/* True while the kill switch lies beside the plan: a file named `disabled`. */
bool spark_plan_disabled (const char *file);

#define cleanup_plan __attribute__ ((cleanup (spark_plan_free)))

#endif

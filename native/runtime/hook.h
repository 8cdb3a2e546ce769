/* spark-hook: OCI and Podman hooks, and admission for carriers without a bundle. docs/formats.md section 9. */
#ifndef SPARK_RUNTIME_HOOK_H
#define SPARK_RUNTIME_HOOK_H

#include "common/registry.h"
#include "plan.h"

int spark_hook_main (int argc, char **argv);

/* What a verb was given on its command line; NULL or 0 where an option is missing. */
struct spark_hook_options {
  const char *plan_file;
  const char *id, *request, *name, *ledger, *file, *engine;
  const char *env[64]; /* NAME=VALUE, ends with NULL */
  uint64_t pid, pgid, budget_bytes, reserve_bytes, withhold_bytes;
  int priority;
  bool gpu_only;
};

/* The verbs; each returns 0 or -1 with a sentence. precreate reads the plan itself, because with --gpu-only a container that
   asks for no GPU passes even where the plan cannot be used. */
int spark_hook_register_state (const struct spark_plan *plan, struct spark_error *error);
int spark_hook_poststop (const struct spark_plan *plan, struct spark_error *error);
int spark_hook_precreate (const char *plan_file, bool gpu_only, struct spark_error *error);
int spark_hook_admit (const struct spark_plan *plan, const struct spark_hook_options *options, struct spark_error *error);
int spark_hook_register (const struct spark_plan *plan, const struct spark_hook_options *options,
                         struct spark_error *error);

#endif

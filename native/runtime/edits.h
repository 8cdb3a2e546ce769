/* The plan's edits on one OCI configuration, as data: nothing here decides. docs/formats.md sections 3 and 5. */
#ifndef SPARK_RUNTIME_EDITS_H
#define SPARK_RUNTIME_EDITS_H

#include "admission.h"
#include "report.h"

/* `text` with the placeholders of formats.md filled in; unknown ones stay. New memory, NULL without memory. */
char *spark_edit_expand (const char *text, const struct spark_grant *grant);

/* Adds the plan's variables, never over one that is set. */
int spark_edit_env (const struct spark_plan *plan, json_object *config, const struct spark_grant *grant,
                    struct spark_error *error);

/* Adds the plan's mounts, never where something is mounted already; fails where a source is missing on the host. */
int spark_edit_mounts (const struct spark_plan *plan, json_object *config, const struct spark_grant *grant,
                       struct spark_error *error);

/* Appends the plan's hooks to those that are there. */
int spark_edit_hooks (const struct spark_plan *plan, json_object *config, const struct spark_grant *grant,
                      struct spark_error *error);

/* Memory limit, no swap, OOM score: each only where the user set none. A kernel without the controller gets a warning event
   in place of limits that its runtime would refuse. */
int spark_edit_memory (const struct spark_plan *plan, json_object *config, const struct spark_grant *grant,
                       const struct spark_subject *subject, struct spark_error *error);

/* Writes down what was granted, for the hook. */
int spark_edit_annotations (json_object *config, const struct spark_grant *grant, const char *engine,
                            const struct spark_subject *subject, struct spark_error *error);

#endif

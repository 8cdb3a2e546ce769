/* One plan applied to one OCI configuration: admission, then every edit. Used by `spark-runtime create` and by Podman's
   precreate hook. */
#ifndef SPARK_RUNTIME_APPLY_H
#define SPARK_RUNTIME_APPLY_H

#include "admission.h"
#include "report.h"

struct spark_application {
  const struct spark_plan *plan;
  json_object *config;
  const char *id;
  const char *bundle; /* directory of the configuration; a relative root.path starts there */
  pid_t holder;       /* process that lives while the container is made */
  struct spark_wish wish; /* filled: what was asked for */
};

enum spark_applied {
  SPARK_APPLY_FAILED = -1,
  SPARK_APPLY_NOTHING, /* a sandbox, or done already: the configuration is as it was */
  SPARK_APPLY_EDITED,  /* undo with spark_admission_undo */
  SPARK_APPLY_LOOP,    /* this very process did it already: the next runtime leads back to us */
};

/* Leaves no admission and no ledger behind where it fails; the configuration in memory is then useless. */
enum spark_applied spark_apply (struct spark_application *application, struct spark_error *error);

/* Who the application is about, for events. */
struct spark_subject spark_apply_subject (const struct spark_application *application);

#endif

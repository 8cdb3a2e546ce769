/* The container's /etc/ld.so.preload: our shim first, then what the image has there. */
#ifndef SPARK_RUNTIME_PRELOAD_H
#define SPARK_RUNTIME_PRELOAD_H

#include "plan.h"
#include "report.h"

/* Adds the mount over /etc/ld.so.preload to the configuration: of <libDir>/ld.so.preload, or, where the image has lines of
   its own, of a merged file named by its content in <runDir>/preload/. A mount that the user put there is left alone, with a
   warning event. `bundle` is what a relative root.path starts from. */
int spark_preload_edit (const struct spark_plan *plan, json_object *config, const char *bundle,
                        const struct spark_subject *subject, struct spark_error *error);

#endif

/* What a container asks for. docs/formats.md section 4. */
#ifndef SPARK_RUNTIME_WISH_H
#define SPARK_RUNTIME_WISH_H

#include "common/registry.h"
#include "plan.h"

struct spark_wish {
  uint64_t budget_bytes; /* 0 = nothing asked for */
  char source[64];       /* who asked, for sentences: "--budget", "MAX_MEMORY_LIMIT_GB", … */
  uint64_t reserve_bytes; /* 0 = the host's */
  int priority;
  char name[SPARK_ID_MAX + 1];
  char request[64];
};

/* Reads the value of SPARK_RUN_REQUEST into `wish`, strictly: an unknown field is an error, since a typo must not unguard. */
int spark_wish_request (const char *text, struct spark_wish *wish, struct spark_error *error);

/* Reads everything the configuration asks for, by precedence: request, annotations, the plan's wishes in their order.
   `percent_of_bytes`: what 100 % is. Errors name the variable or annotation and its value. */
int spark_wish_read (const struct spark_plan *plan, json_object *config, uint64_t percent_of_bytes,
                     struct spark_wish *wish, struct spark_error *error);

#endif

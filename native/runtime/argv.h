/* The command line of an OCI runtime, as runc, crun and their callers write it. */
#ifndef SPARK_RUNTIME_ARGV_H
#define SPARK_RUNTIME_ARGV_H

#include "common/error.h"
#include <stdbool.h>

struct spark_invocation {
  char **next_argv; /* for the next runtime: argv without our own option; [0] is free to be set */
  const char *plan_file;
  const char *verb; /* NULL = none given */
  const char *log_file;
  bool log_json;
  const char *bundle; /* "." unless given; the last one wins */
  const char *config; /* crun's --config: relative to the bundle; "config.json" unless given */
  const char *id;     /* NULL = none given */
};

/* Splits `argv` (which it points into). Fails only on an option of ours without a value, or without memory. Free with
   `free (invocation->next_argv)`. */
int spark_invocation_parse (int argc, char **argv, struct spark_invocation *invocation, struct spark_error *error);

/* True for the verbs that bring a container into being from a bundle: create and run. */
bool spark_invocation_creates (const struct spark_invocation *invocation);

/* True for the verb that brings a container back from a checkpoint. */
bool spark_invocation_restores (const struct spark_invocation *invocation);

#endif

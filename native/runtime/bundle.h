/* The bundle's configuration file: read whole, replaced atomically. */
#ifndef SPARK_RUNTIME_BUNDLE_H
#define SPARK_RUNTIME_BUNDLE_H

#include "json.h"
#include <sys/stat.h>

struct spark_bundle {
  int directory_fd;
  const char *config_name; /* relative to the directory, or absolute */
  char *text;              /* as it was found */
  size_t length;
  struct stat status;
  json_object *config;
};

/* Opens the bundle and parses its configuration. Close with spark_bundle_close, also after a failure. */
int spark_bundle_open (const char *directory, const char *config_name, struct spark_bundle *bundle,
                       struct spark_error *error);

/* Replaces the file by temp + rename, keeping mode and owner: with the edited configuration, or with the text it had. */
int spark_bundle_write (const struct spark_bundle *bundle, struct spark_error *error);
int spark_bundle_restore (const struct spark_bundle *bundle, struct spark_error *error);

void spark_bundle_close (struct spark_bundle *bundle);
#define cleanup_bundle __attribute__ ((cleanup (spark_bundle_close)))

#endif

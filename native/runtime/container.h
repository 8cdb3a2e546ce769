/* What an OCI configuration says about its container: read-only questions. */
#ifndef SPARK_RUNTIME_CONTAINER_H
#define SPARK_RUNTIME_CONTAINER_H

#include "json.h"

/* Fails where the configuration is no OCI runtime configuration of major version 1. */
int spark_container_check_version (json_object *config, struct spark_error *error);

/* True for the pause container of a Kubernetes pod, which holds no program of the user. */
bool spark_container_is_sandbox (json_object *config);

/* True where anything in it asks for a GPU, or for us: NVIDIA's devices, mounts, hooks, variables, CDI annotations, our
   request, one of the plan's wishes, one of our annotations. */
bool spark_container_wants_gpu (json_object *config, json_object *wishes);

/* The value of a variable of the container, the last one where it is set twice; NULL where it is not set. */
const char *spark_container_env (json_object *config, const char *name);

/* An annotation's text, or NULL. */
const char *spark_container_annotation (json_object *config, const char *key);

/* docker, podman, containerd, cri-o or unknown; `bundle` may be NULL. */
const char *spark_container_engine (json_object *config, const char *bundle);

/* The name people know it by, as far as the configuration has it; else "". Only names that a registry entry can hold. */
const char *spark_container_name (json_object *config);

/* The id in a configuration that comes without one (Podman's precreate): from the cgroup's path or the mounts' sources.
   Fills `id` (SPARK_ID_MAX + 1 bytes). */
int spark_container_id (json_object *config, char *id, struct spark_error *error);

/* True where something is mounted exactly at `destination` (trailing slashes do not matter). */
json_object *spark_container_mount_at (json_object *config, const char *destination);

#endif

#include "container.h"

#include "common/registry.h"

#include <string.h>

int
spark_container_check_version (json_object *config, struct spark_error *error)
{
  const char *version = spark_json_string (config, "ociVersion");
  if (version == NULL)
    return spark_fail (error, 0, "config.json has no ociVersion; this spark-runtime understands OCI runtime configurations 1.x");
  if (strncmp (version, "1.", 2) != 0)
    return spark_fail (error, 0, "config.json has OCI version %.40s, this spark-runtime understands 1.x; update spark-run", version);
  return 0;
}

const char *
spark_container_annotation (json_object *config, const char *key)
{
  return spark_json_string (spark_json_at (config, "annotations", NULL), key);
}

static bool
annotation_is (json_object *config, const char *key, const char *value)
{
  const char *found = spark_container_annotation (config, key);
  return found != NULL && strcmp (found, value) == 0;
}

bool
spark_container_is_sandbox (json_object *config)
{
  return annotation_is (config, "io.kubernetes.cri.container-type", "sandbox")
         || annotation_is (config, "io.kubernetes.cri-o.ContainerType", "sandbox");
}

const char *
spark_container_env (json_object *config, const char *name)
{
  json_object *env = spark_json_at (config, "process", "env", NULL);
  size_t length = strlen (name);
  if (!json_object_is_type (env, json_type_array))
    return NULL;
  for (size_t i = json_object_array_length (env); i-- > 0;)
    {
      const char *entry = json_object_get_string (json_object_array_get_idx (env, i));
      if (entry != NULL && strncmp (entry, name, length) == 0 && entry[length] == '=')
        return entry + length + 1;
    }
  return NULL;
}

static bool
same_path (const char *a, const char *b)
{
  size_t a_length = strlen (a), b_length = strlen (b);
  while (a_length > 1 && a[a_length - 1] == '/')
    a_length--;
  while (b_length > 1 && b[b_length - 1] == '/')
    b_length--;
  return a_length == b_length && memcmp (a, b, a_length) == 0;
}

json_object *
spark_container_mount_at (json_object *config, const char *destination)
{
  json_object *mounts = spark_json_at (config, "mounts", NULL);
  size_t count = json_object_is_type (mounts, json_type_array) ? json_object_array_length (mounts) : 0;
  for (size_t i = 0; i < count; i++)
    {
      json_object *mount = json_object_array_get_idx (mounts, i);
      const char *at = spark_json_string (mount, "destination");
      if (at != NULL && same_path (at, destination))
        return mount;
    }
  return NULL;
}

/* --- GPU? ----------------------------------------------------------------------------------------------------------- */

/* True where `member` of any element of the array holds `part`. */
static bool
any_holds (json_object *array, const char *member, const char *part)
{
  size_t count = json_object_is_type (array, json_type_array) ? json_object_array_length (array) : 0;
  for (size_t i = 0; i < count; i++)
    {
      const char *text = spark_json_string (json_object_array_get_idx (array, i), member);
      if (text != NULL && strstr (text, part) != NULL)
        return true;
    }
  return false;
}

static bool
any_hook_of_nvidia (json_object *config)
{
  json_object *hooks = spark_json_at (config, "hooks", NULL);
  if (!json_object_is_type (hooks, json_type_object))
    return false;
  json_object_object_foreach (hooks, kind, list)
  {
    (void) kind;
    if (any_holds (list, "path", "nvidia"))
      return true;
  }
  return false;
}

static bool
any_annotation_asks (json_object *config)
{
  json_object *annotations = spark_json_at (config, "annotations", NULL);
  if (!json_object_is_type (annotations, json_type_object))
    return false;
  json_object_object_foreach (annotations, key, value)
  {
    (void) value;
    if (strncmp (key, "io.spark-run.", 13) == 0 || strncmp (key, "cdi.k8s.io/", 11) == 0)
      return true;
  }
  return false;
}

static bool
any_variable_asks (json_object *config, json_object *wishes)
{
  const char *devices = spark_container_env (config, "NVIDIA_VISIBLE_DEVICES");
  if (devices != NULL && devices[0] != '\0' && strcmp (devices, "void") != 0 && strcmp (devices, "none") != 0)
    return true;
  json_object *env = spark_json_at (config, "process", "env", NULL);
  size_t count = json_object_is_type (env, json_type_array) ? json_object_array_length (env) : 0;
  for (size_t i = 0; i < count; i++)
    {
      const char *entry = json_object_get_string (json_object_array_get_idx (env, i));
      if (entry != NULL && strncmp (entry, "SPARK_RUN_", 10) == 0)
        return true;
    }
  count = wishes != NULL ? json_object_array_length (wishes) : 0;
  for (size_t i = 0; i < count; i++)
    {
      const char *name = spark_json_string (json_object_array_get_idx (wishes, i), "env");
      if (name != NULL && spark_container_env (config, name) != NULL)
        return true;
    }
  return false;
}

bool
spark_container_wants_gpu (json_object *config, json_object *wishes)
{
  return any_holds (spark_json_at (config, "linux", "devices", NULL), "path", "/dev/nvidia")
         || any_holds (spark_json_at (config, "mounts", NULL), "destination", "nvidia")
         || any_holds (spark_json_at (config, "mounts", NULL), "destination", "libcuda")
         || any_hook_of_nvidia (config) || any_annotation_asks (config) || any_variable_asks (config, wishes);
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

const char *
spark_container_engine (json_object *config, const char *bundle)
{
  const char *manager = spark_container_annotation (config, "io.container.manager");
  if (manager != NULL && strcmp (manager, "libpod") == 0)
    return "podman";
  if ((manager != NULL && strcmp (manager, "cri-o") == 0)
      || spark_container_annotation (config, "io.kubernetes.cri-o.ContainerType") != NULL)
    return "cri-o";
  if (spark_container_annotation (config, "io.kubernetes.cri.container-type") != NULL
      || spark_container_annotation (config, "nerdctl/namespace") != NULL)
    return "containerd";
  const char *cgroup = spark_json_string (spark_json_at (config, "linux", NULL), "cgroupsPath");
  if (cgroup != NULL && strstr (cgroup, "libpod") != NULL)
    return "podman";
  /* dockerd's namespace in containerd is "moby". */
  if ((bundle != NULL && strstr (bundle, "/moby/") != NULL) || (cgroup != NULL && strstr (cgroup, "docker") != NULL)
      || any_holds (spark_json_at (config, "hooks", "prestart", NULL), "path", "dockerd"))
    return "docker";
  if (bundle != NULL && strstr (bundle, "io.containerd.") != NULL)
    return "containerd";
  return "unknown";
}

const char *
spark_container_name (json_object *config)
{
  static const char *const keys[] = { "io.kubernetes.cri.container-name", "io.kubernetes.container.name",
                                      "io.kubernetes.cri-o.ContainerName", "nerdctl/name" };
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    {
      const char *name = spark_container_annotation (config, keys[i]);
      if (name != NULL && spark_id_valid (name))
        return name;
    }
  return "";
}

static bool
id_take (const char *start, size_t length, char *id)
{
  if (length < 1 || length > SPARK_ID_MAX)
    return false;
  memcpy (id, start, length);
  id[length] = '\0';
  return spark_id_valid (id);
}

int
spark_container_id (json_object *config, char *id, struct spark_error *error)
{
  /* Podman: /libpod_parent/libpod-<id> with cgroupfs, machine.slice:libpod:<id> with systemd. */
  const char *cgroup = spark_json_string (spark_json_at (config, "linux", NULL), "cgroupsPath");
  if (cgroup != NULL)
    {
      const char *colon = strrchr (cgroup, ':'), *slash = strrchr (cgroup, '/');
      const char *start = colon != NULL ? colon + 1 : slash != NULL ? slash + 1 : cgroup;
      if (strncmp (start, "libpod-", 7) == 0)
        start += 7;
      size_t length = strlen (start);
      if (length > 6 && strcmp (start + length - 6, ".scope") == 0)
        length -= 6;
      if (id_take (start, length, id))
        return 0;
    }
  static const char marker[] = "-containers/"; /* …/overlay-containers/<id>/userdata/… */
  json_object *mounts = spark_json_at (config, "mounts", NULL);
  size_t count = json_object_is_type (mounts, json_type_array) ? json_object_array_length (mounts) : 0;
  for (size_t i = 0; i < count; i++)
    {
      const char *source = spark_json_string (json_object_array_get_idx (mounts, i), "source");
      const char *found = source != NULL ? strstr (source, marker) : NULL;
      if (found != NULL && id_take (found + sizeof marker - 1, strcspn (found + sizeof marker - 1, "/"), id))
        return 0;
    }
  return spark_fail (error, 0, "the configuration does not say which container it is for: it has no linux.cgroupsPath; "
                               "run the container with spark-runtime as its runtime instead");
}

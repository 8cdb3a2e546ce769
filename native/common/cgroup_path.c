#include "cgroup_path.h"

#include "cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

/* --- /proc/self/mountinfo ------------------------------------------------------------------------------------------- */

/* One cgroup mount. `controllers` is the super options of a v1 mount ("rw,memory"), NULL for v2. */
struct cgroup_mount {
  const char *root;
  const char *mount_point;
  const char *controllers;
};

/* mountinfo writes space, tab, newline and backslash as \040 and the like. */
static void
octal_unescape (char *text)
{
  char *to = text;
  for (const char *from = text; *from != '\0';)
    if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0'
        && from[3] <= '7')
      {
        *to++ = (char) ((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
        from += 4;
      }
    else
      *to++ = *from++;
  *to = '\0';
}

/* Fields: id parent major:minor root mount-point options [optional fields] - type source super-options (proc(5)). */
static bool
mountinfo_line_parse (char *line, struct cgroup_mount *mount)
{
  char *separator = strstr (line, " - ");
  if (separator == NULL)
    return false;
  *separator = '\0';
  char *save = NULL, *root = NULL, *mount_point = NULL;
  int field = 0;
  for (char *word = strtok_r (line, " ", &save); word != NULL; word = strtok_r (NULL, " ", &save))
    {
      field++;
      if (field == 4)
        root = word;
      if (field == 5)
        mount_point = word;
    }
  char *type = strtok_r (separator + 3, " ", &save);
  strtok_r (NULL, " ", &save);
  char *options = strtok_r (NULL, " \n", &save);
  if (mount_point == NULL || type == NULL || options == NULL)
    return false;
  if (strcmp (type, "cgroup2") == 0)
    mount->controllers = NULL;
  else if (strcmp (type, "cgroup") == 0)
    mount->controllers = options;
  else
    return false;
  octal_unescape (root);
  octal_unescape (mount_point);
  mount->root = root;
  mount->mount_point = mount_point;
  return true;
}

/* Calls `each` for every cgroup mount until it returns true. */
static void
cgroup_mounts_each (const char *proc_path, bool (*each) (const struct cgroup_mount *mount, void *data), void *data)
{
  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/self/mountinfo", proc_path);
  cleanup_file FILE *file = fopen (path, "re");
  cleanup_free char *line = NULL;
  size_t line_size = 0;
  while (file != NULL && getline (&line, &line_size, file) > 0)
    {
      struct cgroup_mount mount;
      if (mountinfo_line_parse (line, &mount) && each (&mount, data))
        return;
    }
}

static bool
list_holds (const char *comma_list, const char *word)
{
  size_t length = strlen (word);
  for (const char *at = comma_list; at != NULL; at = strchr (at, ','), at = at != NULL ? at + 1 : NULL)
    if (strncmp (at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
      return true;
  return false;
}

/* --- a process's place ---------------------------------------------------------------------------------------------- */

/* What /proc/<pid>/cgroup calls one hierarchy, and the directory found for it. */
struct place {
  const char *controller; /* NULL = v2 */
  char *cgroup;
  char *directory; /* SPARK_CGROUP_PATH_MAX */
};

static bool
place_under_mount (const struct cgroup_mount *mount, void *data)
{
  struct place *place = data;
  if (place->controller == NULL ? mount->controllers != NULL
                                : mount->controllers == NULL || !list_holds (mount->controllers, place->controller))
    return false;
  size_t root_length = strcmp (mount->root, "/") == 0 ? 0 : strlen (mount->root);
  if (strncmp (place->cgroup, mount->root, root_length) != 0)
    return false;
  const char *rest = place->cgroup + root_length;
  /* The root of a mount is never one container's own; a step upwards is outside what is mounted here. */
  if (rest[0] != '/' || rest[1] == '\0' || strstr (rest, "/..") != NULL)
    return false;
  char directory[PATH_MAX * 2], procs[PATH_MAX * 2 + 16];
  int length = snprintf (directory, sizeof directory, "%s%s", mount->mount_point, rest);
  snprintf (procs, sizeof procs, "%s/cgroup.procs", directory);
  if (length >= SPARK_CGROUP_PATH_MAX || access (procs, F_OK) != 0)
    return false;
  memcpy (place->directory, directory, (size_t) length + 1);
  return true;
}

int
spark_cgroup_paths (const char *proc_path, pid_t pid, struct spark_cgroup_paths *paths, struct spark_error *error)
{
  memset (paths, 0, sizeof *paths);
  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/%d/cgroup", proc_path, (int) pid);
  cleanup_file FILE *file = fopen (path, "re");
  if (file == NULL)
    return spark_fail (error, errno, "cannot read the cgroups of process %d (%s)", (int) pid, path);
  cleanup_free char *line = NULL;
  size_t line_size = 0;
  /* Lines: hierarchy-id:controller-list:path; the list is empty for v2 (cgroups(7)). */
  while (getline (&line, &line_size, file) > 0)
    {
      line[strcspn (line, "\n")] = '\0';
      char *controllers = strchr (line, ':');
      char *cgroup = controllers != NULL ? strchr (controllers + 1, ':') : NULL;
      if (cgroup == NULL)
        continue;
      *cgroup++ = '\0';
      controllers++;
      struct place place = { .cgroup = cgroup };
      if (controllers[0] == '\0')
        place.directory = paths->v2;
      else if (list_holds (controllers, "memory"))
        place.controller = "memory", place.directory = paths->memory;
      else if (list_holds (controllers, "freezer"))
        place.controller = "freezer", place.directory = paths->freezer;
      else
        continue;
      cgroup_mounts_each (proc_path, place_under_mount, &place);
      /* memory and freezer can be mounted together. */
      if (place.directory == paths->memory && list_holds (controllers, "freezer"))
        memcpy (paths->freezer, paths->memory, sizeof paths->freezer);
    }
  return 0;
}

/* True where `inner` is `outer` or lies under it. */
static bool
path_within (const char *inner, const char *outer)
{
  size_t length = strlen (outer);
  return strncmp (inner, outer, length) == 0 && (inner[length] == '\0' || inner[length] == '/');
}

void
spark_cgroup_paths_without (const char *proc_path, pid_t other, struct spark_cgroup_paths *paths)
{
  struct spark_cgroup_paths others;
  if (spark_cgroup_paths (proc_path, other, &others, NULL) != 0)
    return;
  if (path_within (others.v2, paths->v2))
    paths->v2[0] = '\0';
  if (path_within (others.memory, paths->memory))
    paths->memory[0] = '\0';
  if (path_within (others.freezer, paths->freezer))
    paths->freezer[0] = '\0';
}

/* --- controllers ---------------------------------------------------------------------------------------------------- */

struct controller_search {
  enum spark_memory_controller found;
  bool swap;
};

static bool
file_holds_word (const char *directory, const char *name, const char *word)
{
  char path[PATH_MAX], text[512];
  snprintf (path, sizeof path, "%s/%s", directory, name);
  cleanup_file FILE *file = fopen (path, "re");
  if (file == NULL || fgets (text, sizeof text, file) == NULL)
    return false;
  char *save = NULL;
  for (char *at = strtok_r (text, " \n", &save); at != NULL; at = strtok_r (NULL, " \n", &save))
    if (strcmp (at, word) == 0)
      return true;
  return false;
}

/* The root group of v2 has no memory.swap.max, so its children are asked, and the mount itself, which in a container is no
   root. src/host/cgroup.ts goes by the same rule. */
static bool
has_swap_limit (const char *mount_point)
{
  cleanup_dir DIR *directory = opendir (mount_point);
  const struct dirent *child;
  while (directory != NULL && (child = readdir (directory)) != NULL)
    {
      char path[PATH_MAX];
      int length = snprintf (path, sizeof path, "%s/%s/memory.swap.max", mount_point, child->d_name);
      if (strcmp (child->d_name, "..") != 0 && length < (int) sizeof path && access (path, F_OK) == 0)
        return true;
    }
  return false;
}

static bool
memory_controller_at (const struct cgroup_mount *mount, void *data)
{
  struct controller_search *search = data;
  if (mount->controllers != NULL && list_holds (mount->controllers, "memory"))
    {
      char path[PATH_MAX];
      snprintf (path, sizeof path, "%s/memory.memsw.limit_in_bytes", mount->mount_point);
      search->found = SPARK_MEMORY_V1;
      search->swap = access (path, F_OK) == 0;
      return true; /* a controller bound to v1 cannot be used in v2 */
    }
  if (mount->controllers == NULL && file_holds_word (mount->mount_point, "cgroup.controllers", "memory"))
    {
      search->found = SPARK_MEMORY_V2;
      search->swap = has_swap_limit (mount->mount_point);
    }
  return false;
}

enum spark_memory_controller
spark_memory_controller (const char *proc_path, bool *swap)
{
  struct controller_search search = { SPARK_MEMORY_NONE, false };
  cgroup_mounts_each (proc_path, memory_controller_at, &search);
  if (swap != NULL)
    *swap = search.swap;
  return search.found;
}

/* Where cgroups are, on machines described by a made-up /proc: v1, v2, both, bind-mounted and namespaced roots. */
#include "common/cgroup_path.h"

#include "check.h"

#include <limits.h>
#include <sys/stat.h>

static char root[] = "/tmp/spark-cgroup-XXXXXX";
static char proc[64];

static void
put (const char *name, const char *text)
{
  char path[PATH_MAX], command[PATH_MAX + 64];
  snprintf (path, sizeof path, "%s/%s", root, name);
  snprintf (command, sizeof command, "mkdir -p \"$(dirname '%s')\"", path);
  CHECK (system (command) == 0);
  FILE *file = fopen (path, "w");
  CHECK (file != NULL);
  for (; *text != '\0'; text++) /* @ stands for the made-up root */
    if (*text == '@')
      fputs (root, file);
    else
      fputc (*text, file);
  fclose (file);
}

static const char *
under (const char *name)
{
  static char path[4][PATH_MAX];
  static int turn;
  turn = (turn + 1) % 4;
  snprintf (path[turn], sizeof path[turn], "%s/%s", root, name);
  return path[turn];
}

static void
test_hybrid (void)
{
  put ("proc/self/mountinfo", "24 1 0:21 / @/cg rw - tmpfs tmpfs rw\n"
                              "25 24 0:22 / @/cg/unified rw shared:1 - cgroup2 cgroup2 rw\n"
                              "26 24 0:23 / @/cg/memory rw shared:2 - cgroup cgroup rw,memory\n"
                              "27 24 0:24 / @/cg/freezer rw - cgroup cgroup rw,freezer\n"
                              "28 24 0:25 / @/cg/cpu\\040acct rw - cgroup cgroup rw,cpu,cpuacct\n");
  put ("proc/7/cgroup", "5:memory:/docker/abc\n4:freezer:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n");
  put ("cg/unified/docker/abc/cgroup.procs", "7\n");
  put ("cg/memory/docker/abc/cgroup.procs", "7\n");
  put ("cg/freezer/docker/abc/cgroup.procs", "7\n");
  put ("cg/memory/memory.memsw.limit_in_bytes", "9\n");
  struct spark_cgroup_paths paths;
  CHECK (spark_cgroup_paths (proc, 7, &paths, NULL) == 0);
  CHECK_TEXT (paths.v2, under ("cg/unified/docker/abc"));
  CHECK_TEXT (paths.memory, under ("cg/memory/docker/abc"));
  CHECK_TEXT (paths.freezer, under ("cg/freezer/docker/abc"));
  bool swap;
  CHECK (spark_memory_controller (proc, &swap) == SPARK_MEMORY_V1 && swap);
  CHECK (remove (under ("cg/memory/memory.memsw.limit_in_bytes")) == 0);
  CHECK (spark_memory_controller (proc, &swap) == SPARK_MEMORY_V1 && !swap);
  test_done ("hybrid: three hierarchies, memory on v1, with and without swap accounting");

  put ("proc/8/cgroup", "5:memory:/docker/abc\n4:freezer:/\n0::/system.slice/engine\n");
  put ("proc/9/cgroup", "5:memory:/docker/abc/inner\n4:freezer:/docker/abcdef\n0::/docker/abc\n");
  put ("cg/memory/docker/abc/inner/cgroup.procs", "9\n");
  put ("cg/freezer/docker/abcdef/cgroup.procs", "9\n");
  spark_cgroup_paths_without (proc, 8, &paths);
  CHECK_TEXT (paths.memory, "");
  CHECK_TEXT (paths.freezer, under ("cg/freezer/docker/abc"));
  spark_cgroup_paths_without (proc, 9, &paths);
  CHECK_TEXT (paths.freezer, under ("cg/freezer/docker/abc"));
  CHECK_TEXT (paths.v2, "");
  CHECK (spark_cgroup_paths (proc, 8, &paths, NULL) == 0);
  CHECK_TEXT (paths.freezer, "");
  CHECK_TEXT (paths.v2, "");
  test_done ("a cgroup that holds somebody else, too, is left out; so are the root and one that is not mounted here");
}

static void
test_unified (void)
{
  put ("proc/self/mountinfo", "30 1 0:22 / @/cg2 rw,nosuid shared:4 master:1 - cgroup2 cgroup rw,nsdelegate\n");
  put ("proc/7/cgroup", "0::/machine.slice/libpod-ab:c.scope\n");
  put ("cg2/machine.slice/libpod-ab:c.scope/cgroup.procs", "7\n");
  put ("cg2/cgroup.controllers", "cpuset cpu io memory pids\n");
  struct spark_cgroup_paths paths;
  CHECK (spark_cgroup_paths (proc, 7, &paths, NULL) == 0);
  CHECK_TEXT (paths.v2, under ("cg2/machine.slice/libpod-ab:c.scope"));
  CHECK_TEXT (paths.memory, "");
  bool swap;
  CHECK (spark_memory_controller (proc, &swap) == SPARK_MEMORY_V2 && !swap);
  put ("cg2/machine.slice/memory.swap.max", "max\n");
  CHECK (spark_memory_controller (proc, &swap) == SPARK_MEMORY_V2 && swap);
  put ("cg2/cgroup.controllers", "cpuset cpu\n");
  CHECK (spark_memory_controller (proc, &swap) == SPARK_MEMORY_NONE);
  test_done ("unified: one hierarchy; a colon in the path; a kernel without the memory controller");

  put ("proc/self/mountinfo", "30 1 0:22 /docker/outer @/cg2 rw - cgroup2 cgroup rw\n");
  put ("proc/7/cgroup", "0::/docker/outer/docker/inner\n");
  put ("proc/8/cgroup", "0::/docker/outer-else/inner\n");
  put ("cg2/docker/inner/cgroup.procs", "7\n");
  CHECK (spark_cgroup_paths (proc, 7, &paths, NULL) == 0);
  CHECK_TEXT (paths.v2, under ("cg2/docker/inner"));
  CHECK (spark_cgroup_paths (proc, 8, &paths, NULL) == 0);
  CHECK_TEXT (paths.v2, "");
  put ("proc/self/mountinfo", "30 1 0:22 /../../.. @/cg2 rw - cgroup2 cgroup rw\n");
  put ("proc/7/cgroup", "0::/../../../docker/inner\n");
  CHECK (spark_cgroup_paths (proc, 7, &paths, NULL) == 0);
  CHECK_TEXT (paths.v2, under ("cg2/docker/inner"));
  put ("proc/7/cgroup", "0::/../../../../elsewhere\n");
  CHECK (spark_cgroup_paths (proc, 7, &paths, NULL) == 0);
  CHECK_TEXT (paths.v2, "");
  test_done ("an engine in a container: the mount's root is taken off; what lies above it is not guessed");
}

static void
test_odd (void)
{
  struct spark_cgroup_paths paths;
  struct spark_error error;
  put ("proc/self/mountinfo", "\n - \nx - cgroup2\n1 2 3 - cgroup2 a b\n1 2 3 4 5 6 - cgroup2 a\n\\04 - cgroup cgroup rw,memory\n");
  put ("proc/7/cgroup", "nothing\n::\n0:\n0::\n1:memory\n");
  CHECK (spark_cgroup_paths (proc, 7, &paths, &error) == 0);
  CHECK_TEXT (paths.v2, "");
  CHECK (spark_cgroup_paths (proc, 99, &paths, &error) != 0);
  CHECK (strstr (error.text, "process 99") != NULL);
  CHECK (spark_memory_controller ("/nowhere", NULL) == SPARK_MEMORY_NONE);
  test_done ("torn lines and missing files give empty answers");
}

int
main (void)
{
  CHECK (mkdtemp (root) != NULL);
  snprintf (proc, sizeof proc, "%s/proc", root);
  test_hybrid ();
  test_unified ();
  test_odd ();
  char command[PATH_MAX];
  snprintf (command, sizeof command, "rm -rf '%s'", root);
  CHECK (system (command) == 0);
  return check_done ();
}

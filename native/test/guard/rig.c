#include "test/guard/rig.h"
#include "test/guard/rig_place.h"

#include "common/cleanup.h"
#include "guard/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first digit of MemAvailable is all that ever changes, so that no reading can be half old and half new. The reserve lies between:
   4,000,000 kB, so near that the guard looks every 6 ms. */
static const char meminfo_text[] = "MemTotal: 8388608 kB\nMemFree: 0 kB\nMemAvailable: 4600000 kB\n";
#define RESERVE_BYTES "4096000000"
enum { DIGIT_AT = 49 };

static const char *const hierarchies[RIG_HIERARCHIES] = { "freezer", "memory", "unified" };
bool rig_have[RIG_HIERARCHIES];
int rig_registry_fd = -1;
unsigned rig_left_over;
static char base[64], run_dir[96], log_dir[96], meminfo_path[96], cgroup_name[40];
static const char *program;
static int meminfo_fd = -1;
static pid_t guard_pid;

void
rig_must (bool holds, const char *what)
{
  if (holds)
    return;
  printf ("Bail out! %s: %s\n", what, strerror (errno));
  fflush (stdout);
  exit (1);
}

/* --- chance -------------------------------------------------------------------------------------------------------- */

static uint64_t chance_state = 1;

void
rig_seed (uint64_t seed)
{
  chance_state = seed * UINT64_C (0x9e3779b97f4a7c15) + 1;
}

uint64_t
rig_chance (uint64_t below)
{
  chance_state ^= chance_state << 13;
  chance_state ^= chance_state >> 7;
  chance_state ^= chance_state << 17;
  return below > 0 ? chance_state % below : 0;
}

uint64_t
rig_now_us (void)
{
  return clock_boot_ns () / 1000;
}

/* --- the place ----------------------------------------------------------------------------------------------------- */

static bool
only_v2 (void)
{
  return access ("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
}

void
rig_cgroup_path (char path[256], unsigned hierarchy, const char *name, const char *file)
{
  /* Where v2 is all there is, it is mounted without a directory of its own. */
  const char *mount = hierarchies[hierarchy], *slash = "/";

  if (hierarchy == 2 && only_v2 ())
    mount = slash = "";
  snprintf (path, 256, "/sys/fs/cgroup/%s%s%s%s%s%s", mount, slash, cgroup_name, name, file[0] != '\0' ? "/" : "", file);
}

const char *
rig_base (void)
{
  return base;
}

static void
make_directories (void)
{
  char path[256];

  snprintf (base, sizeof base, "/dev/shm/%s", cgroup_name);
  snprintf (run_dir, sizeof run_dir, "%s/run", base);
  snprintf (log_dir, sizeof log_dir, "%s/log", base);
  snprintf (meminfo_path, sizeof meminfo_path, "%s/meminfo", base);
  rig_must (mkdir (base, 0755) == 0 && mkdir (run_dir, 0755) == 0 && mkdir (log_dir, 0755) == 0, base);
  meminfo_fd = open (meminfo_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  rig_must (write (meminfo_fd, meminfo_text, sizeof meminfo_text - 1) == sizeof meminfo_text - 1 && meminfo_text[DIGIT_AT] == '4', "meminfo");
  for (unsigned h = 0; h < RIG_HIERARCHIES; h++)
    {
      rig_cgroup_path (path, h, "", "");
      rig_have[h] = mkdir (path, 0755) == 0;
    }
  /* Where it cannot be had, processes are asked for their use. */
  rig_cgroup_path (path, 2, "", "cgroup.subtree_control");
  cleanup_close int control_fd = only_v2 () ? open (path, O_WRONLY | O_CLOEXEC) : -1;
  if (control_fd >= 0 && write (control_fd, "+memory", 7) != 7)
    printf ("# no memory controller here\n");
}

bool
rig_enter (const char *guard_program, const char **reason)
{
  program = guard_program;
  snprintf (cgroup_name, sizeof cgroup_name, "spark-kills-%d", (int) getpid ());
  if (geteuid () != 0 || (!only_v2 () && access ("/sys/fs/cgroup/freezer/cgroup.procs", W_OK) != 0))
    {
      *reason = "it needs root and, at /sys/fs/cgroup, cgroup v2 or the freezer hierarchy of v1";
      return false;
    }
  if (unshare (CLONE_NEWPID | CLONE_NEWNS) != 0)
    {
      *reason = "namespaces are not allowed here";
      return false;
    }
  fflush (stdout);
  pid_t pid = fork ();
  if (pid != 0)
    {
      int status = 0;
      char command[256];
      waitpid (pid, &status, 0);
      /* Nothing is left here but after a bail-out. */
      snprintf (command, sizeof command, "find /sys/fs/cgroup/%s /sys/fs/cgroup/*/%s -depth -type d -exec rmdir {} + 2>/dev/null; rm -rf /dev/shm/%s",
                cgroup_name, cgroup_name, cgroup_name);
      if (system (command) < 0)
        exit (1);
      exit (WIFEXITED (status) ? WEXITSTATUS (status) : 1);
    }
  rig_must (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount ("proc", "/proc", "proc", 0, NULL) == 0, "mount");
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  make_directories ();
  return true;
}

unsigned
rig_leave (void)
{
  char path[256], command[160];

  for (unsigned h = 0; h < RIG_HIERARCHIES; h++)
    {
      rig_cgroup_path (path, h, "", "");
      if (rig_have[h] && rmdir (path) != 0)
        {
          printf ("# %s is left: %s\n", path, strerror (errno));
          rig_left_over++;
        }
    }
  snprintf (command, sizeof command, "rm -r %s", base);
  if (system (command) != 0)
    rig_left_over++;
  return rig_left_over;
}

void
rig_plenty (void)
{
  rig_must (pwrite (meminfo_fd, "4", 1, DIGIT_AT) == 1, "meminfo");
}

void
rig_short (void)
{
  rig_must (pwrite (meminfo_fd, "3", 1, DIGIT_AT) == 1, "meminfo");
}

/* --- the guard ----------------------------------------------------------------------------------------------------- */

int
rig_guard_spawn (void)
{
  int ready[2];
  char ready_fd[16], log_path[128];

  rig_must (pipe (ready) == 0, "pipe");
  snprintf (ready_fd, sizeof ready_fd, "%d", ready[1]);
  snprintf (log_path, sizeof log_path, "%s/stderr", base);
  guard_pid = fork ();
  if (guard_pid == 0)
    {
      int log_fd = open (log_path, O_WRONLY | O_CREAT | O_APPEND, 0644);
      dup2 (log_fd, STDERR_FILENO);
      close (ready[0]);
      execl (program, "spark-guard", "--run-dir", run_dir, "--log-dir", log_dir, "--reserve-bytes", RESERVE_BYTES, "--meminfo",
             meminfo_path, "--drop-caches", "/dev/null", "--ready-fd", ready_fd, NULL);
      _exit (127);
    }
  close (ready[1]);
  return ready[0];
}

bool
rig_guard_ready (int ready_fd)
{
  char byte;
  bool ready = read (ready_fd, &byte, 1) == 1;

  close (ready_fd);
  return ready;
}

void
rig_guard_start (void)
{
  char command[160], path[128];

  if (!rig_guard_ready (rig_guard_spawn ()))
    {
      snprintf (command, sizeof command, "tail -n 3 %s/stderr | sed 's/^/# /'", base);
      rig_must (system (command) < 0, "the guard did not start");
    }
  if (rig_registry_fd < 0)
    {
      snprintf (path, sizeof path, "%s/containers", run_dir);
      rig_registry_fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
}

pid_t
rig_guard_pid (void)
{
  return guard_pid;
}

void
rig_guard_kill (bool helpers_too)
{
  char path[64], text[256] = "";

  if (helpers_too)
    {
      snprintf (path, sizeof path, "/proc/%d/task/%d/children", (int) guard_pid, (int) guard_pid);
      cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
      if (fd >= 0 && read (fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    }
  kill (guard_pid, SIGKILL);
  for (char *at = text, *end; strtol (at, &end, 10) > 0; at = end)
    kill ((pid_t) strtol (at, NULL, 10), SIGKILL);
  waitpid (guard_pid, NULL, 0);
}

bool
rig_guard_stop (void)
{
  int status = -1;

  kill (guard_pid, SIGTERM);
  waitpid (guard_pid, &status, 0);
  return status == 0;
}

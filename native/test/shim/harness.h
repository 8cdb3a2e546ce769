/* What the tests of the preloaded shim share: a program that runs itself again under the shim, the fake driver and a ledger. */
#ifndef SPARK_TEST_SHIM_HARNESS_H
#define SPARK_TEST_SHIM_HARNESS_H

#include "common/ledger.h"
#include "shim/cuda_abi.h"
#include "shim/nvml_abi.h"
#include "test/check.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((uint64_t) 1 << 20)
#define GIB ((uint64_t) 1 << 30)

static char build_directory[PATH_MAX]; /* native/build/<arch> */
static char scratch[PATH_MAX];         /* this run's own directory */
static char ledger_path[PATH_MAX + 16];

__attribute__ ((unused)) static const char *
in_build (const char *name)
{
  static char paths[4][PATH_MAX + 64];
  static int next;
  char *path = paths[next++ % 4];
  snprintf (path, sizeof paths[0], "%s/%s", build_directory, name);
  return path;
}

__attribute__ ((unused)) static void
make_ledger (uint64_t budget_bytes)
{
  struct spark_error error = { 0 };
  if (spark_ledger_create (ledger_path, budget_bytes, 0, 0, &error) < 0)
    {
      printf ("# %s\n", error.text);
      exit (1);
    }
}

__attribute__ ((unused)) static struct spark_ledger_view
look (void)
{
  struct spark_ledger_view view = { 0 };
  int fd = open (ledger_path, O_RDONLY);
  CHECK (spark_ledger_peek (fd, &view) == 0);
  close (fd);
  return view;
}

static void
remove_scratch (void)
{
  unlink (ledger_path);
  rmdir (scratch);
}

/* Runs the program again with the shim preloaded (unless its starter did that: under an emulator it cannot), then makes a ledger. */
__attribute__ ((unused)) static void
begin_under_shim (char **argv, uint64_t budget_bytes)
{
  ssize_t length = readlink ("/proc/self/exe", build_directory, sizeof build_directory - 1);
  build_directory[length > 0 ? length : 0] = '\0';
  for (int up = 0; up < 3; up++) /* …/test/shim/<program> */
    *strrchr (build_directory, '/') = '\0';
  if (getenv ("LD_PRELOAD") == NULL || strstr (getenv ("LD_PRELOAD"), "libspark-shim.so") == NULL)
    {
      setenv ("LD_PRELOAD", in_build ("libspark-shim.so"), 1);
      setenv ("LD_LIBRARY_PATH", in_build ("test/shim/fake"), 1);
      execv ("/proc/self/exe", argv);
      exit (1);
    }
  snprintf (scratch, sizeof scratch, "/tmp/spark-shim-XXXXXX");
  if (mkdtemp (scratch) == NULL)
    exit (1);
  snprintf (ledger_path, sizeof ledger_path, "%s/ledger", scratch);
  atexit (remove_scratch);
  setenv ("SPARK_RUN_LEDGER", ledger_path, 1);
  make_ledger (budget_bytes);
}

/* Opens the simulated driver in this process and starts it, with a machine of `total` in ordinary memory; NULL where it does not. Before
   any other driver: a process has one. */
__attribute__ ((unused)) static void *
start_simulator (const char *total)
{
  setenv ("SPARK_SIM_TOTAL", total, 1);
  setenv ("SPARK_SIM_PAGES", "anonymous", 1);
  void *cuda = dlopen (in_build ("sim/libcuda.so.1"), RTLD_NOW);
  CUresult (*init) (unsigned) = cuda != NULL ? (__typeof__ (init)) dlsym (cuda, "cuInit") : NULL;
  return init != NULL && init (0) == 0 ? cuda : NULL;
}

/* A new context of its device, current in this thread; NULL where there is none to be had. */
__attribute__ ((unused)) static CUcontext
simulated_context (void *cuda)
{
  CUresult (*create) (CUcontext *, unsigned, CUdevice) = (__typeof__ (create)) dlsym (cuda, "cuCtxCreate_v2");
  CUcontext context = NULL;
  return create != NULL && create (&context, 0, 0) == 0 ? context : NULL;
}

/* Is this function one of the shim's? */
__attribute__ ((unused)) static int
is_ours (void *function)
{
  Dl_info info;
  return function != NULL && dladdr (function, &info) != 0 && strstr (info.dli_fname, "libspark-shim.so") != NULL;
}

/* Runs `body` in a child; true if it returned 0. */
__attribute__ ((unused)) static int
child_agrees (int (*body) (void))
{
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    _exit (body ());
  int status = -1;
  waitpid (pid, &status, 0);
  return WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

/* Runs a program with exactly these environment variables; its exit code, or -1. stderr goes to the file `errors` if not NULL. */
__attribute__ ((unused)) static int
run_program (char *const argv[], char *const envp[], const char *errors)
{
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    {
      int fd = errors != NULL ? open (errors, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
      if (fd >= 0)
        dup2 (fd, 2);
      execve (argv[0], argv, envp);
      _exit (127);
    }
  int status = -1;
  waitpid (pid, &status, 0);
  return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

#endif

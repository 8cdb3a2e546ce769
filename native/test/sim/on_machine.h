/* Runs a piece of a test in a process of its own, on a simulated machine of its own. */
#ifndef SPARK_TEST_ON_MACHINE_H
#define SPARK_TEST_ON_MACHINE_H

#include "test/check.h"

#include "sim/cuda_api.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (UINT64_C (1) << 20)

/* Exit code of `piece` in a fresh process: 0 if every CHECK in it held, -1 if a signal ended it. */
static inline int
on_machine (const char *total, const char *pages, void (*piece) (void))
{
  fflush (stdout);
  pid_t child = fork ();
  if (child == 0)
    {
      alarm (60); /* a piece that hangs fails */
      setenv ("SPARK_SIM_TOTAL", total, 1);
      setenv ("SPARK_SIM_PAGES", pages, 1);
      piece ();
      fflush (stdout);
      _exit (check_failed_here);
    }
  int status = 0;
  waitpid (child, &status, 0);
  return WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

/* What every engine does first. */
static inline CUcontext
driver_up (void)
{
  CUcontext context = NULL;
  CHECK (cuInit (0) == CUDA_SUCCESS);
  CHECK (cuDevicePrimaryCtxRetain (&context, 0) == CUDA_SUCCESS);
  CHECK (cuCtxSetCurrent (context) == CUDA_SUCCESS);
  return context;
}

static inline uint64_t
free_bytes (void)
{
  size_t free_now = 0, total = 0;
  CHECK (cuMemGetInfo_v2 (&free_now, &total) == CUDA_SUCCESS);
  return free_now;
}

/* NVML's list of processes, its newest layout and its oldest. */
struct nvml_process {
  unsigned pid;
  unsigned long long used_bytes;
  unsigned gpu_instance, compute_instance;
};
struct nvml_process_v1 {
  unsigned pid;
  unsigned long long used_bytes;
};
int nvmlInit_v2 (void);
int nvmlDeviceGetHandleByIndex_v2 (unsigned index, void **device);
int nvmlDeviceGetComputeRunningProcesses (void *device, unsigned *count, struct nvml_process_v1 *processes);
int nvmlDeviceGetComputeRunningProcesses_v3 (void *device, unsigned *count, struct nvml_process *processes);

/* What NVML says that `pid` holds; UINT64_MAX if it does not list it. */
__attribute__ ((unused)) static inline uint64_t
nvml_bytes_of (void *device, pid_t pid)
{
  struct nvml_process processes[256];
  unsigned count = 256;
  CHECK (nvmlDeviceGetComputeRunningProcesses_v3 (device, &count, processes) == 0);
  for (unsigned i = 0; i < count && i < 256; i++)
    if (processes[i].pid == (unsigned) pid)
      return processes[i].used_bytes;
  return UINT64_MAX;
}

#endif

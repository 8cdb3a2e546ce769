/* Which processes hold memory of the device, and how much: each holds it in files without a name, which the kernel shows under /proc.
   Only what the caller's PID namespace shows can be listed, as with the real library; without huge pages each process stands on
   a machine of its own and is alone there. */
#include "nvml.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_PROCESSES = 256, MOST_FILES = 1024, OF_DEVICE = -1 };

/* The layout of CUDA 7.5's list, and the one of _v2 and _v3. */
typedef struct {
  unsigned int pid;
  unsigned long long usedGpuMemory;
} nvmlProcessInfo_v1_t;

typedef struct {
  unsigned int pid;
  unsigned long long usedGpuMemory;
  unsigned int gpuInstanceId;
  unsigned int computeInstanceId;
} nvmlProcessInfo_t;

EXPORT nvmlDeviceGetComputeRunningProcesses (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *processes);
EXPORT nvmlDeviceGetComputeRunningProcesses_v2 (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes);
EXPORT nvmlDeviceGetComputeRunningProcesses_v3 (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes);
EXPORT nvmlDeviceGetGraphicsRunningProcesses (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *processes);
EXPORT nvmlDeviceGetGraphicsRunningProcesses_v2 (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes);
EXPORT nvmlDeviceGetGraphicsRunningProcesses_v3 (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes);
EXPORT nvmlDeviceGetMPSComputeRunningProcesses (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *processes);
EXPORT nvmlDeviceGetMPSComputeRunningProcesses_v2 (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes);
EXPORT nvmlDeviceGetMPSComputeRunningProcesses_v3 (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes);

/* Everything found so far; a file that two processes share is the first one's. */
struct found {
  nvmlProcessInfo_t processes[MOST_PROCESSES];
  unsigned int count;
  ino_t shared[MOST_FILES];
  unsigned int shared_count;
};

static bool
is_number (const char *text)
{
  return text[0] != '\0' && text[strspn (text, "0123456789")] == '\0';
}

/* Bytes of the device that are in this file, if it is one of the simulated driver's. */
static bool
look_at_file (struct found *found, const char *path, uint64_t *bytes)
{
  static const char OWN[] = "/memfd:spark-sim-pages", SHARED[] = "/memfd:spark-sim-shared";
  char target[64];
  struct stat file;
  ssize_t length = readlink (path, target, sizeof target - 1);
  if (length < 0)
    return false;
  target[length] = '\0';
  bool shared = strncmp (target, SHARED, sizeof SHARED - 1) == 0;
  if ((!shared && strncmp (target, OWN, sizeof OWN - 1) != 0) || stat (path, &file) != 0)
    return false;
  for (unsigned int i = 0; shared && i < found->shared_count; i++)
    if (found->shared[i] == file.st_ino)
      return true;
  if (shared && found->shared_count < MOST_FILES)
    found->shared[found->shared_count++] = file.st_ino;
  *bytes += (uint64_t) file.st_blocks * 512;
  return true;
}

static void
look_at_process (struct found *found, const char *pid)
{
  char path[sizeof "/proc//fd/" + 32];
  snprintf (path, sizeof path, "/proc/%.11s/fd", pid);
  DIR *files = opendir (path);
  uint64_t bytes = 0;
  bool uses_device = false;
  if (files == NULL)
    return; /* ended, or not ours to look into */
  for (const struct dirent *file = readdir (files); file != NULL; file = readdir (files))
    if (is_number (file->d_name))
      {
        snprintf (path, sizeof path, "/proc/%.11s/fd/%.11s", pid, file->d_name);
        uses_device |= look_at_file (found, path, &bytes);
      }
  closedir (files);
  if (uses_device && found->count < MOST_PROCESSES)
    found->processes[found->count++] = (nvmlProcessInfo_t){ .pid = (unsigned int) strtoul (pid, NULL, 10),
                                                            .usedGpuMemory = bytes,
                                                            .gpuInstanceId = (unsigned int) OF_DEVICE,
                                                            .computeInstanceId = (unsigned int) OF_DEVICE };
}

static void
look (struct found *found)
{
  char self[16];
  if (!sim_machine ()->hugetlb)
    {
      snprintf (self, sizeof self, "%d", (int) getpid ());
      look_at_process (found, self);
      return;
    }
  DIR *processes = opendir ("/proc");
  if (processes == NULL)
    return;
  for (const struct dirent *process = readdir (processes); process != NULL; process = readdir (processes))
    if (is_number (process->d_name))
      look_at_process (found, process->d_name);
  closedir (processes);
}

/* `*count` is how many places the caller has, and becomes how many there are. */
static nvmlReturn_t
list (nvmlDevice_t device, unsigned int *count, const void *processes, struct found *found)
{
  ENTER_DEVICE (device);
  if (count == NULL || (*count > 0 && processes == NULL))
    return NVML_ERROR_INVALID_ARGUMENT;
  look (found);
  unsigned int room = *count;
  *count = found->count;
  return room < found->count ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

EXPORT
nvmlDeviceGetComputeRunningProcesses_v3 (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes)
{
  struct found found = { .count = 0 };
  nvmlReturn_t result = list (device, count, processes, &found);
  if (result == NVML_SUCCESS && found.count > 0)
    memcpy (processes, found.processes, found.count * sizeof *processes);
  return result;
}

EXPORT
nvmlDeviceGetComputeRunningProcesses_v2 (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *processes)
{
  return nvmlDeviceGetComputeRunningProcesses_v3 (device, count, processes);
}

EXPORT
nvmlDeviceGetComputeRunningProcesses (nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_v1_t *processes)
{
  struct found found = { .count = 0 };
  nvmlReturn_t result = list (device, count, processes, &found);
  for (unsigned int i = 0; result == NVML_SUCCESS && i < found.count; i++)
    processes[i] = (nvmlProcessInfo_v1_t){ .pid = found.processes[i].pid, .usedGpuMemory = found.processes[i].usedGpuMemory };
  return result;
}

/* Nothing here draws, and there is no MPS server. */
static nvmlReturn_t
nobody (nvmlDevice_t device, unsigned int *count)
{
  ENTER_DEVICE (device);
  if (count == NULL)
    return NVML_ERROR_INVALID_ARGUMENT;
  *count = 0;
  return NVML_SUCCESS;
}

#define NOBODY(name, type)                                                                                             \
  EXPORT name (nvmlDevice_t device, unsigned int *count, type *processes)                                              \
  {                                                                                                                    \
    (void) processes;                                                                                                  \
    return nobody (device, count);                                                                                     \
  }
NOBODY (nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t)
NOBODY (nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_t)
NOBODY (nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_t)
NOBODY (nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t)
NOBODY (nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_t)
NOBODY (nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_t)

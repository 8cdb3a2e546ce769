/* The machine that processes share: huge pages, counted by the kernel for all of them, and so for other programs on this host too. A
   piece that fails shows something only if nobody else took or gave huge pages meanwhile: two such failures are a failure. Where the
   others never rest it is skipped. */
#include "on_machine.h"

#include "common/meminfo.h"

#include <fcntl.h>
#include <signal.h>

enum { TRIES = 20, FAILURES = 2, READINGS = 10, NEEDED_PAGES = 128 };

int nvmlDeviceGetBAR1MemoryInfo (void *device, void *memory);
int nvmlDeviceGetMemoryInfo (void *device, void *memory);
int nvmlDeviceGetMemoryInfo_v2 (void *device, void *memory);

static uint64_t
huge_bytes_in_use (void)
{
  struct spark_meminfo meminfo = { 0 };
  int fd = open ("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  CHECK (spark_meminfo_read (fd, 0, &meminfo) == 0);
  close (fd);
  return (meminfo.huge_total - meminfo.huge_free) * meminfo.huge_page_bytes;
}

static void
start_from_here (void)
{
  char text[32];
  snprintf (text, sizeof text, "%llu", (unsigned long long) huge_bytes_in_use ());
  setenv ("SPARK_SIM_BASELINE", text, 1);
}

static unsigned long long
setting (const char *path)
{
  unsigned long long pages = 0;
  FILE *file = fopen (path, "re");
  if (file != NULL && fscanf (file, "%llu", &pages) != 1)
    pages = 0;
  if (file != NULL)
    fclose (file);
  return pages;
}

/* Are there, beside what the others hold, as many pages as a piece takes at most? */
static bool
room_for_a_piece (uint64_t in_use)
{
  struct spark_meminfo meminfo = { 0 };
  int fd = open ("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  CHECK (spark_meminfo_read (fd, 0, &meminfo) == 0);
  close (fd);
  uint64_t pages = setting ("/proc/sys/vm/nr_overcommit_hugepages") + setting ("/proc/sys/vm/nr_hugepages");
  return pages * meminfo.huge_page_bytes >= in_use + NEEDED_PAGES * meminfo.huge_page_bytes;
}

/* What is in use, read again and again over a fifth of a second; false if it moved. */
static bool
still (uint64_t *in_use)
{
  *in_use = huge_bytes_in_use ();
  for (int i = 0; i < READINGS; i++)
    {
      nanosleep (&(struct timespec){ .tv_nsec = 20000000 }, NULL);
      if (huge_bytes_in_use () != *in_use)
        return false;
    }
  return true;
}

/* 0 passed, 1 failed, -1 nothing to say: `*reason` tells why. */
static int
tried (void (*piece) (void), const char **reason)
{
  int failures = 0;
  *reason = "other programs take and give huge pages all the time here";
  for (int i = 0; i < TRIES && failures < FAILURES; i++)
    {
      uint64_t before, after;
      if (!still (&before))
        continue;
      if (!room_for_a_piece (before))
        {
          *reason = "other programs hold the huge pages that this needs";
          continue;
        }
      start_from_here ();
      if (on_machine ("64m", "hugetlb", piece) == 0)
        return 0;
      if (still (&after) && after == before)
        failures++;
      else
        printf ("# somebody else's huge pages came or went meanwhile: tried again\n");
    }
  return failures == FAILURES ? 1 : -1;
}

/* A process that takes `bytes`, says so, and holds them until it is told to end. */
struct holder {
  pid_t pid;
  int tell;
  int told;
};

static struct holder
hold (uint64_t bytes)
{
  int to[2], from[2];
  CHECK (pipe (to) == 0 && pipe (from) == 0);
  fflush (stdout);
  struct holder holder = { .pid = fork (), .tell = to[1], .told = from[0] };
  if (holder.pid == 0)
    {
      char result, end;
      CUdeviceptr pointer = 0;
      close (to[1]);
      driver_up ();
      result = (char) cuMemAlloc_v2 (&pointer, bytes);
      if (write (from[1], &result, 1) == 1 && read (to[0], &end, 1) == 1)
        _exit (check_failed_here);
      _exit (1);
    }
  close (to[0]);
  close (from[1]);
  return holder;
}

static int
result_of (const struct holder *holder)
{
  char result = -1;
  return read (holder->told, &result, 1) == 1 ? result : -1;
}

static void
end (const struct holder *holder, int signal_number)
{
  /* A byte, not the end of file: later holders have inherited this pipe, too. */
  if (signal_number != 0)
    kill (holder->pid, signal_number);
  else
    CHECK (write (holder->tell, "", 1) == 1);
  close (holder->tell);
  waitpid (holder->pid, NULL, 0);
  close (holder->told);
}

static void
others_count (void)
{
  struct holder other = hold (40 * MIB);
  CHECK (result_of (&other) == CUDA_SUCCESS);
  driver_up ();
  CUdeviceptr pointer = 42;
  CHECK (free_bytes () == 24 * MIB);
  CHECK (cuMemAlloc_v2 (&pointer, 26 * MIB) == CUDA_ERROR_OUT_OF_MEMORY && pointer == 42);
  CHECK (cuMemAlloc_v2 (&pointer, 24 * MIB) == CUDA_SUCCESS);
  CHECK (free_bytes () == 0);
  end (&other, 0);
  CHECK (free_bytes () == 40 * MIB);
}

static void
death_gives_back (void)
{
  struct holder other = hold (40 * MIB);
  CHECK (result_of (&other) == CUDA_SUCCESS);
  driver_up ();
  CHECK (free_bytes () == 24 * MIB);
  end (&other, SIGKILL);
  CHECK (free_bytes () == 64 * MIB);
}

static void
a_race (void)
{
  struct holder holders[3];
  int winners = 0;
  for (int i = 0; i < 3; i++)
    holders[i] = hold (40 * MIB);
  for (int i = 0; i < 3; i++)
    winners += result_of (&holders[i]) == CUDA_SUCCESS;
  CHECK (winners == 1);
  for (int i = 0; i < 3; i++)
    end (&holders[i], 0);
}

static void
freed_pages (void)
{
  driver_up ();
  uint64_t before = huge_bytes_in_use ();
  for (int i = 0; i < 20; i++)
    {
      CUdeviceptr pointer = 0;
      CHECK (cuMemAlloc_v2 (&pointer, 40 * MIB) == CUDA_SUCCESS);
      CHECK (huge_bytes_in_use () == before + 40 * MIB);
      CHECK (cuMemsetD8_v2 (pointer, 1, 40 * MIB) == CUDA_SUCCESS);
      CHECK (huge_bytes_in_use () == before + 40 * MIB);
      CHECK (cuMemFree_v2 (pointer) == CUDA_SUCCESS);
    }
  CHECK (huge_bytes_in_use () == before);
}

static void
nvml_agrees (void)
{
  struct {
    unsigned long long total, free, used;
  } memory = { 0 };
  struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
  } memory_v2 = { .version = sizeof memory_v2 | 2U << 24 };
  void *device = NULL;
  setenv ("SPARK_SIM_CONTEXT", "4m", 1);
  driver_up ();
  CUdeviceptr pointer = 0;
  CHECK (nvmlDeviceGetHandleByIndex_v2 (0, &device) == 1);
  CHECK (nvmlInit_v2 () == 0);
  CHECK (nvmlDeviceGetHandleByIndex_v2 (0, &device) == 0);
  CHECK (cuMemAlloc_v2 (&pointer, 10 * MIB) == CUDA_SUCCESS);
  CHECK (nvmlDeviceGetMemoryInfo (device, &memory) == 0);
  CHECK (memory.total == 64 * MIB && memory.free == 50 * MIB && memory.used == 14 * MIB);
  CHECK (nvmlDeviceGetMemoryInfo_v2 (device, &memory_v2) == 0);
  CHECK (memory_v2.total == 64 * MIB && memory_v2.free == 50 * MIB && memory_v2.used == 14 * MIB);
  CHECK (nvmlDeviceGetBAR1MemoryInfo (device, &memory) == 0 && memory.total == 64 * MIB && memory.free == 50 * MIB);
  memory_v2.version = 1;
  CHECK (nvmlDeviceGetMemoryInfo_v2 (device, &memory_v2) == 25);
  setenv ("SPARK_SIM_NVML", "not-supported", 1);
  CHECK (nvmlDeviceGetMemoryInfo (device, &memory) == 3);
  CHECK (nvmlDeviceGetBAR1MemoryInfo (device, &memory) == 3);
}

static void
nvml_lists (void)
{
  void *device = NULL;
  CUdeviceptr pointer = 0;
  CUmemGenericAllocationHandle shared = 0;
  const CUmemAllocationProp properties
      = { .type = CU_MEM_ALLOCATION_TYPE_PINNED, .requestedHandleTypes = 1, .location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 } };
  setenv ("SPARK_SIM_CONTEXT", "4m", 1);
  struct holder other = hold (20 * MIB);
  CHECK (result_of (&other) == CUDA_SUCCESS);
  driver_up ();
  CHECK (nvmlInit_v2 () == 0 && nvmlDeviceGetHandleByIndex_v2 (0, &device) == 0);
  setenv ("SPARK_SIM_NVML", "not-supported", 1); /* it is for memory; processes are listed on a GB10, too */
  CHECK (cuMemAlloc_v2 (&pointer, 5 * MIB) == CUDA_SUCCESS && cuMemCreate (&shared, 4 * MIB, &properties, 0) == CUDA_SUCCESS);
  CHECK (nvml_bytes_of (device, getpid ()) == 14 * MIB);
  CHECK (nvml_bytes_of (device, other.pid) == 24 * MIB);
  struct nvml_process_v1 old[256];
  unsigned count = 1, all = 256;
  CHECK (nvmlDeviceGetComputeRunningProcesses (device, &count, old) == 7 && count >= 2);
  CHECK (nvmlDeviceGetComputeRunningProcesses (device, &all, old) == 0 && all >= 2 && old[0].used_bytes > 0);
  end (&other, SIGKILL);
  CHECK (nvml_bytes_of (device, other.pid) == UINT64_MAX);
}

int
main (void)
{
  static const struct {
    void (*piece) (void);
    const char *sentence;
  } pieces[] = {
    { others_count, "what another process holds is not free, and is when it ends" },
    { death_gives_back, "a killed process gives its pages back" },
    { a_race, "of three processes that ask at once for most of the machine exactly one gets it" },
    { freed_pages, "the kernel counts exactly what is held, touched or not" },
    { nvml_agrees, "NVML says what CUDA says, or that it does not know" },
    { nvml_lists, "NVML lists the processes of the machine and what each holds" },
  };
  bool possible = setting ("/proc/sys/vm/nr_overcommit_hugepages") >= NEEDED_PAGES;
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
    {
      if (!possible)
        {
          test_skip (pieces[i].sentence, "vm.nr_overcommit_hugepages is less than 128 here");
          continue;
        }
      const char *reason;
      int status = tried (pieces[i].piece, &reason);
      if (status < 0)
        {
          test_skip (pieces[i].sentence, reason);
          continue;
        }
      CHECK (status == 0);
      test_done (pieces[i].sentence);
    }
  return check_done ();
}

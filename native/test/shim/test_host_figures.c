/* What is told of the machine's memory under the shim: by function, by every layer at once, and in the trace. */
#include "host_views.h"

#include <sys/sysinfo.h>

static void
test_functions (void)
{
  struct sysinfo info;
  uint64_t page = (uint64_t) sysconf (_SC_PAGESIZE);
  CHECK (sysinfo (&info) == 0 && (uint64_t) info.totalram * info.mem_unit == BUDGET);
  CHECK (info.freeram > 0 && info.freeram <= info.totalram && info.totalswap == 0 && info.bufferram == 0 && info.uptime > 0);
  CHECK ((uint64_t) sysconf (_SC_PHYS_PAGES) * page == BUDGET && (uint64_t) get_phys_pages () * page == BUDGET);
  CHECK (sysconf (_SC_AVPHYS_PAGES) > 0 && (uint64_t) sysconf (_SC_AVPHYS_PAGES) * page <= BUDGET);
  CHECK (get_avphys_pages () > 0 && (uint64_t) get_avphys_pages () * page <= BUDGET);
  CHECK (sysconf (_SC_NPROCESSORS_CONF) > 0);
  errno = 0;
  CHECK (sysconf (-12345) == -1 && errno == EINVAL);
  test_done ("sysinfo, sysconf, get_phys_pages, get_avphys_pages; other names of sysconf");
}

/* Free as each layer tells it. */
struct layers {
  uint64_t cuda, nvml, meminfo, sysinfo, sysconf;
};

static struct layers
look_at_layers (int meminfo)
{
  struct layers layers = { 0 };
  size_t free_bytes = 0, total_bytes = 0;
  nvmlMemory_t memory = { 0 };
  struct sysinfo info = { 0 };
  char text[4096] = "";
  void *cuda = dlopen ("libcuda.so.1", RTLD_NOW), *nvml = dlopen ("libnvidia-ml.so.1", RTLD_NOW);
  CHECK (((__typeof__ (&cuMemGetInfo_v2)) dlsym (cuda, "cuMemGetInfo_v2")) (&free_bytes, &total_bytes) == 0);
  CHECK (((__typeof__ (&nvmlDeviceGetMemoryInfo)) dlsym (nvml, "nvmlDeviceGetMemoryInfo")) (NULL, &memory) == 0);
  CHECK (lseek (meminfo, 0, SEEK_SET) == 0 && read (meminfo, text, sizeof text - 1) > 0 && sysinfo (&info) == 0);
  layers.cuda = free_bytes;
  layers.nvml = memory.free;
  layers.meminfo = bytes_of (text, "MemAvailable");
  layers.sysinfo = (uint64_t) info.freeram * info.mem_unit;
  layers.sysconf = (uint64_t) sysconf (_SC_AVPHYS_PAGES) * (uint64_t) getpagesize ();
  CHECK (total_bytes == BUDGET && memory.total == BUDGET && bytes_of (text, "MemTotal") == BUDGET);
  return layers;
}

/* Outside a container no memory cgroup is read, so that nothing but the ledger moves the figures. */
static bool
all_tell (struct layers layers, uint64_t bytes)
{
  return layers.cuda == bytes && layers.nvml == bytes && layers.meminfo == bytes && layers.sysinfo == bytes
         && layers.sysconf == bytes;
}

static void
test_agreement (void)
{
  int meminfo = open ("/proc/meminfo", O_RDONLY);
  CHECK (all_tell (look_at_layers (meminfo), BUDGET));
  void *cuda = dlopen ("libcuda.so.1", RTLD_NOW);
  CUdeviceptr pointer = 0;
  CHECK (((__typeof__ (&cuMemAlloc_v2)) dlsym (cuda, "cuMemAlloc_v2")) (&pointer, 512 * MIB) == 0);
  CHECK (all_tell (look_at_layers (meminfo), BUDGET - 512 * MIB));
  CHECK (((__typeof__ (&cuMemFree_v2)) dlsym (cuda, "cuMemFree_v2")) (pointer) == 0);
  CHECK (all_tell (look_at_layers (meminfo), BUDGET));
  close (meminfo);
  test_done ("driver, NVML, meminfo (one descriptor, read again), sysinfo and sysconf agree, and change together");
}

/* The real total is the limit: a budget above it is told as the machine. */
static int
large_budget_body (void)
{
  struct sysinfo info;
  return sysinfo (&info) == 0 && (uint64_t) info.totalram * info.mem_unit == real_total () ? 0 : 1;
}

static void
test_trace (void)
{
  char path[PATH_MAX + 32], text[8192] = "";
  snprintf (path, sizeof path, "%s/trace", scratch);
  int fd = open (path, O_RDWR | O_CREAT, 0600);
  ssize_t length = 0;
  CHECK (getenv ("SPARK_RUN_TRACE") != NULL && tells_budget (open ("/proc/meminfo", O_RDONLY)) && get_phys_pages () > 0);
  length = pread (fd, text, sizeof text - 1, 0);
  CHECK (length > 0);
  CHECK (strstr (text, "\"layer\":\"host\",\"call\":\"open\",\"detail\":\"/proc/meminfo\",\"freeBytes\":") != NULL);
  CHECK (strstr (text, "\"call\":\"get_phys_pages\",\"freeBytes\":") != NULL && strstr (text, "\"by\":\"shim\"}") != NULL);
  CHECK (strstr (text, "trace") == NULL);
  close (fd);
  unlink (path);
  test_done ("the trace names what was asked, what was told and by whom; other files are not in it");
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  /* Read when the first line would be written; the file is made by its test. */
  char trace[PATH_MAX + 32];
  snprintf (trace, sizeof trace, "%s/trace", scratch);
  setenv ("SPARK_RUN_TRACE", trace, 1);
  test_functions ();
  test_agreement ();
  test_trace ();
  make_ledger ((uint64_t) 1 << 60);
  CHECK (child_agrees (large_budget_body));
  test_done ("a budget above the machine is told as the machine");
  return check_done ();
}

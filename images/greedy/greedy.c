/* An engine that behaves like MAX on the driver API: it opens the driver by dlopen, asks NVML and CUDA how much memory there
   is, and takes a share of that. docs: images/greedy/README.md. */
#include "common/meminfo.h"
#include "common/size.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_NO_DRIVER = 1, EXIT_BAD_OPTION = 2, EXIT_KERNEL_REFUSED = 3 };
enum { CUDA_SUCCESS = 0, CUDA_ERROR_OUT_OF_MEMORY = 2 };
enum { PIECE_BYTES = 2 << 20 }; /* all sizes are multiples of this, the driver's granularity */
enum { ARENA_PER_SHARE = 4 };   /* MAX reserves four times its share as address space */
enum { REFUSALS_ENOUGH = 3 };   /* greedy mode asks this often after it was told no */
enum { HELD_MAX = 1 << 16 };

enum mode { POLITE, GREEDY, BYPASS };

static struct {
  enum mode mode;
  unsigned percent;
  uint64_t chunk_bytes; /* 0: all at once */
  uint64_t limit_bytes; /* 0: none */
  double hold_seconds;
  bool json;
} options = { .mode = POLITE, .percent = 90 };

/* ---- telling ---------------------------------------------------------------------------------------------------- */

static const char *
size_text (uint64_t bytes)
{
  static char texts[4][24];
  static unsigned next;
  char *text = texts[next++ % 4];
  return spark_size_format (bytes, text, sizeof texts[0]);
}

__attribute__ ((noreturn, format (printf, 2, 3))) static void
give_up (int status, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  fputs ("greedy: ", stderr);
  vfprintf (stderr, format, arguments);
  fputs (".\n", stderr);
  va_end (arguments);
  exit (status);
}

static void
tell_saw (uint64_t total_bytes, uint64_t free_bytes, bool has_nvml, uint64_t nvml_total_bytes, uint64_t nvml_free_bytes)
{
  if (!options.json)
    {
      if (has_nvml)
        printf ("greedy: NVML says %s free of %s.\n", size_text (nvml_free_bytes), size_text (nvml_total_bytes));
      printf ("greedy: %s says %s free of %s.\n", options.mode == BYPASS ? "the kernel" : "CUDA", size_text (free_bytes),
              size_text (total_bytes));
      return;
    }
  printf ("{\"event\":\"saw\",\"totalBytes\":%llu,\"freeBytes\":%llu", (unsigned long long) total_bytes,
          (unsigned long long) free_bytes);
  if (has_nvml)
    printf (",\"nvmlTotalBytes\":%llu,\"nvmlFreeBytes\":%llu", (unsigned long long) nvml_total_bytes,
            (unsigned long long) nvml_free_bytes);
  puts ("}");
}

static void
tell_got (uint64_t bytes, uint64_t held_bytes)
{
  if (options.json)
    printf ("{\"event\":\"got\",\"bytes\":%llu,\"heldBytes\":%llu}\n", (unsigned long long) bytes,
            (unsigned long long) held_bytes);
  else
    printf ("greedy: got %s, holding %s.\n", size_text (bytes), size_text (held_bytes));
}

static void
tell_refused (uint64_t bytes, uint64_t held_bytes, int error, const char *name)
{
  if (options.json)
    printf ("{\"event\":\"refused\",\"bytes\":%llu,\"error\":%d,\"name\":\"%s\"}\n", (unsigned long long) bytes, error,
            name);
  else
    printf ("greedy: refused %s with %s (%d), holding %s.\n", size_text (bytes), name, error, size_text (held_bytes));
}

static void
tell_done (uint64_t held_bytes)
{
  if (options.json)
    printf ("{\"event\":\"done\",\"bytes\":%llu}\n", (unsigned long long) held_bytes);
  else
    printf ("greedy: done, held %s.\n", size_text (held_bytes));
}

/* ---- the driver, as an engine finds it: by name, through the handle ---------------------------------------------- */

struct location {
  int type;
  int id;
};

/* CUmemAllocationProp and CUmemAccessDesc, as documented. */
struct allocation_properties {
  int type;
  int handle_types;
  struct location location;
  void *unused;
  unsigned char flags[8];
};

struct access {
  struct location location;
  int flags;
};

static struct {
  int (*init) (unsigned flags);
  int (*device_get) (int *device, int ordinal);
  int (*context_retain) (void **context, int device);
  int (*context_set) (void *context);
  int (*context_release) (int device);
  int (*info) (size_t *free_bytes, size_t *total_bytes);
  int (*alloc) (unsigned long long *pointer, size_t bytes);
  int (*free) (unsigned long long pointer);
  int (*fill) (unsigned long long pointer, unsigned char value, size_t bytes);
  int (*error_name) (int error, const char **name);
  int (*reserve) (unsigned long long *pointer, size_t bytes, size_t align, unsigned long long at, unsigned long long flags);
  int (*unreserve) (unsigned long long pointer, size_t bytes);
  int (*create) (unsigned long long *handle, size_t bytes, const struct allocation_properties *, unsigned long long flags);
  int (*release) (unsigned long long handle);
  int (*map) (unsigned long long pointer, size_t bytes, size_t offset, unsigned long long handle, unsigned long long flags);
  int (*unmap) (unsigned long long pointer, size_t bytes);
  int (*set_access) (unsigned long long pointer, size_t bytes, const struct access *access, size_t count);
} cuda;

static const struct {
  const char *name;
  size_t offset;
} cuda_names[] = {
#define FIELD(field, name) { name, offsetof (__typeof__ (cuda), field) }
  FIELD (init, "cuInit"),
  FIELD (device_get, "cuDeviceGet"),
  FIELD (context_retain, "cuDevicePrimaryCtxRetain"),
  FIELD (context_set, "cuCtxSetCurrent"),
  FIELD (context_release, "cuDevicePrimaryCtxRelease_v2"),
  FIELD (info, "cuMemGetInfo_v2"),
  FIELD (alloc, "cuMemAlloc_v2"),
  FIELD (free, "cuMemFree_v2"),
  FIELD (fill, "cuMemsetD8_v2"),
  FIELD (error_name, "cuGetErrorName"),
  FIELD (reserve, "cuMemAddressReserve"),
  FIELD (unreserve, "cuMemAddressFree"),
  FIELD (create, "cuMemCreate"),
  FIELD (release, "cuMemRelease"),
  FIELD (map, "cuMemMap"),
  FIELD (unmap, "cuMemUnmap"),
  FIELD (set_access, "cuMemSetAccess"),
#undef FIELD
};

static const char *
error_name (int error)
{
  const char *name = NULL;
  return cuda.error_name (error, &name) == CUDA_SUCCESS && name != NULL ? name : "unknown";
}

static void
must (int result, const char *what)
{
  if (result != CUDA_SUCCESS)
    give_up (EXIT_NO_DRIVER, "%s failed with %s (%d): this driver cannot be used", what, error_name (result), result);
}

static void
cuda_open (void)
{
  void *library = dlopen ("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == NULL)
    give_up (EXIT_NO_DRIVER,
             "no CUDA driver: libcuda.so.1 cannot be opened (%s); give the container a GPU, or mount the simulator and "
             "set LD_LIBRARY_PATH", dlerror ());
  for (size_t i = 0; i < sizeof cuda_names / sizeof cuda_names[0]; i++)
    {
      void *function = dlsym (library, cuda_names[i].name);
      if (function == NULL)
        give_up (EXIT_NO_DRIVER, "libcuda.so.1 has no %s: this driver is too old, 11.0 or later is needed",
                 cuda_names[i].name);
      memcpy ((char *) &cuda + cuda_names[i].offset, &function, sizeof function);
    }
  int device;
  void *context;
  must (cuda.init (0), "cuInit");
  must (cuda.device_get (&device, 0), "cuDeviceGet");
  must (cuda.context_retain (&context, device), "cuDevicePrimaryCtxRetain");
  must (cuda.context_set (context), "cuCtxSetCurrent");
}

/* True with what NVML says; false where there is no NVML or it does not tell, as on the real GB10. */
static bool
nvml_memory (uint64_t *total_bytes, uint64_t *free_bytes)
{
  struct {
    unsigned long long total, free, used;
  } memory;
  void *library = dlopen ("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL), *device;
  if (library == NULL)
    return false;
  int (*init) (void), (*shutdown) (void), (*handle) (unsigned, void **), (*info) (void *, void *);
  *(void **) &init = dlsym (library, "nvmlInit_v2");
  *(void **) &shutdown = dlsym (library, "nvmlShutdown");
  *(void **) &handle = dlsym (library, "nvmlDeviceGetHandleByIndex_v2");
  *(void **) &info = dlsym (library, "nvmlDeviceGetMemoryInfo");
  if (init == NULL || shutdown == NULL || handle == NULL || info == NULL || init () != 0)
    return false;
  bool told = handle (0, &device) == 0 && info (device, &memory) == 0;
  shutdown ();
  if (told)
    {
      *total_bytes = memory.total;
      *free_bytes = memory.free;
    }
  return told;
}

/* ---- taking ------------------------------------------------------------------------------------------------------ */

static struct held {
  unsigned long long pointer;
  unsigned long long handle; /* 0: from cuMemAlloc */
  uint64_t bytes;
} held[HELD_MAX];
static size_t held_count;
static uint64_t held_bytes;

static unsigned long long arena;
static uint64_t arena_bytes, arena_used_bytes;

/* As MAX does since 2026: address space first, then pieces created and mapped into it. */
static int
take_mapped (struct held *piece)
{
  static const struct allocation_properties on_gpu = { .type = 1, .location = { .type = 1 } };
  static const struct access read_write = { .location = { .type = 1 }, .flags = 3 };
  int result = cuda.create (&piece->handle, piece->bytes, &on_gpu, 0);
  if (result != CUDA_SUCCESS)
    return result;
  piece->pointer = arena + arena_used_bytes;
  must (cuda.map (piece->pointer, piece->bytes, 0, piece->handle, 0), "cuMemMap");
  must (cuda.set_access (piece->pointer, piece->bytes, &read_write, 1), "cuMemSetAccess");
  arena_used_bytes += piece->bytes;
  return CUDA_SUCCESS;
}

/* Takes `bytes`, or says why not. True if they are ours. */
static bool
take (uint64_t bytes)
{
  struct held *piece = &held[held_count];
  if (held_count == HELD_MAX)
    give_up (EXIT_BAD_OPTION, "%d pieces are the most; use a larger --chunk", HELD_MAX);
  *piece = (struct held){ .bytes = bytes };
  int result = arena_used_bytes + bytes <= arena_bytes ? take_mapped (piece) : cuda.alloc (&piece->pointer, bytes);
  if (result != CUDA_SUCCESS)
    {
      tell_refused (bytes, held_bytes, result, error_name (result));
      if (result != CUDA_ERROR_OUT_OF_MEMORY)
        give_up (EXIT_NO_DRIVER, "an engine expects CUDA_ERROR_OUT_OF_MEMORY here, not %s", error_name (result));
      return false;
    }
  must (cuda.fill (piece->pointer, 0xa5, PIECE_BYTES), "cuMemsetD8");
  held_count++;
  held_bytes += bytes;
  tell_got (bytes, held_bytes);
  return true;
}

static void
give_back (void)
{
  for (; held_count > 0; held_count--)
    {
      const struct held *piece = &held[held_count - 1];
      if (piece->handle == 0)
        must (cuda.free (piece->pointer), "cuMemFree");
      else
        {
          must (cuda.unmap (piece->pointer, piece->bytes), "cuMemUnmap");
          must (cuda.release (piece->handle), "cuMemRelease");
        }
    }
  if (arena_bytes > 0)
    must (cuda.unreserve (arena, arena_bytes), "cuMemAddressFree");
  cuda.context_release (0);
}

static uint64_t
share_of (uint64_t bytes)
{
  return (uint64_t) ((unsigned __int128) bytes * options.percent / 100) / PIECE_BYTES * PIECE_BYTES;
}

static uint64_t
smaller (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

/* A share of what is free, chunk by chunk; the first refusal ends it. */
static void
be_polite (uint64_t free_bytes)
{
  uint64_t share = share_of (free_bytes);
  if (share > 0 && cuda.reserve (&arena, share * ARENA_PER_SHARE, 0, 0, 0) == CUDA_SUCCESS)
    arena_bytes = share * ARENA_PER_SHARE;
  uint64_t chunk = options.chunk_bytes != 0 ? options.chunk_bytes : share;
  while (held_bytes < share && take (smaller (chunk, share - held_bytes)))
    ;
}

/* A share of everything there is, at once, as older MAX did; and then more, until it has been refused often enough. */
static void
be_greedy (uint64_t total_bytes)
{
  uint64_t share = share_of (total_bytes);
  uint64_t chunk = options.chunk_bytes != 0 ? options.chunk_bytes : share;
  int refusals = 0;
  while (held_bytes < share && refusals < REFUSALS_ENOUGH)
    refusals += !take (smaller (chunk, share - held_bytes));
  uint64_t beyond = options.chunk_bytes != 0 ? options.chunk_bytes : UINT64_C (256) << 20;
  for (refusals = 0; refusals < REFUSALS_ENOUGH && (options.limit_bytes == 0 || held_bytes < options.limit_bytes);)
    refusals += !take (beyond);
}

/* No library in between: pages straight from the kernel, as fast as it gives them. Ends by --limit, or by being killed. */
static void
bypass (void)
{
  uint64_t chunk = options.chunk_bytes != 0 ? options.chunk_bytes : UINT64_C (64) << 20;
  while (options.limit_bytes == 0 || held_bytes < options.limit_bytes)
    {
      uint64_t bytes = options.limit_bytes == 0 ? chunk : smaller (chunk, options.limit_bytes - held_bytes);
      void *at = mmap (NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
      if (at == MAP_FAILED)
        {
          tell_refused (bytes, held_bytes, errno, errno == ENOMEM ? "ENOMEM" : strerror (errno));
          give_up (EXIT_KERNEL_REFUSED,
                   "the kernel gave no more huge pages before anybody stopped this; "
                   "raise vm.nr_overcommit_hugepages or give a lower --limit");
        }
      held_bytes += bytes;
      tell_got (bytes, held_bytes);
    }
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static const char USAGE[]
    = "Usage: greedy [--mode polite|greedy|bypass] [--percent 90] [--chunk 256m] [--hold SECONDS] [--limit SIZE] [--json]\n"
      "Takes memory as an inference engine does, holds it, gives it back.\n"
      "  --mode polite   a share of what is free, chunk by chunk, until refused (default)\n"
      "  --mode greedy   a share of all there is at once, and more after that\n"
      "  --mode bypass   huge pages straight from the kernel, without any driver, until killed\n"
      "  --percent N     the share, 1 to 100 (default 90)\n"
      "  --chunk SIZE    how much at once; 0 = all (default 256m; greedy 0; bypass 64m)\n"
      "  --hold SECONDS  how long to keep it (default 0)\n"
      "  --limit SIZE    greedy and bypass stop here even if nobody stops them\n"
      "  --json          one JSON object a line\n";

static uint64_t
size_option (const char *name, const char *text)
{
  uint64_t bytes = 0;
  struct spark_error error = { 0 };
  if (strcmp (text, "0") != 0 && spark_size_parse (text, 1, 0, &bytes, &error) != 0)
    give_up (EXIT_BAD_OPTION, "--%s: %s", name, error.text);
  return (bytes + PIECE_BYTES - 1) / PIECE_BYTES * PIECE_BYTES;
}

static double
number_option (const char *name, const char *text, double low, double high)
{
  char *end;
  double value = strtod (text, &end);
  if (end == text || *end != '\0' || !(value >= low && value <= high))
    give_up (EXIT_BAD_OPTION, "--%s is \"%s\"; it must be a number from %g to %g", name, text, low, high);
  return value;
}

static enum mode
mode_option (const char *text)
{
  static const char *const names[] = { "polite", "greedy", "bypass" };
  for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp (text, names[i]) == 0)
      return (enum mode) i;
  give_up (EXIT_BAD_OPTION, "--mode is \"%s\"; it must be polite, greedy or bypass", text);
}

static void
read_options (int argc, char **argv)
{
  static const struct option longs[]
      = { { "mode", required_argument, NULL, 'm' },  { "percent", required_argument, NULL, 'p' },
          { "chunk", required_argument, NULL, 'c' }, { "hold", required_argument, NULL, 's' },
          { "limit", required_argument, NULL, 'l' }, { "json", no_argument, NULL, 'j' },
          { "help", no_argument, NULL, 'h' },        { 0 } };
  const char *chunk = NULL;
  for (int option; (option = getopt_long (argc, argv, "", longs, NULL)) != -1;)
    switch (option)
      {
      case 'm':
        options.mode = mode_option (optarg);
        break;
      case 'p':
        options.percent = (unsigned) number_option ("percent", optarg, 1, 100);
        break;
      case 'c':
        chunk = optarg;
        break;
      case 's':
        options.hold_seconds = number_option ("hold", optarg, 0, 1e6);
        break;
      case 'l':
        options.limit_bytes = size_option ("limit", optarg);
        break;
      case 'j':
        options.json = true;
        break;
      case 'h':
        fputs (USAGE, stdout);
        exit (0);
      default:
        fputs (USAGE, stderr);
        exit (EXIT_BAD_OPTION);
      }
  if (optind < argc)
    give_up (EXIT_BAD_OPTION, "\"%s\" is not an option; see greedy --help", argv[optind]);
  options.chunk_bytes = chunk != NULL ? size_option ("chunk", chunk) : options.mode == POLITE ? UINT64_C (256) << 20 : 0;
}

/* Process 1 of a container has no default action for signals: it would outlive SIGTERM. */
static void
end_at_once (int number)
{
  _exit (128 + number);
}

static void
hold (void)
{
  struct timespec left = { .tv_sec = (time_t) options.hold_seconds };
  left.tv_nsec = (long) ((options.hold_seconds - (double) left.tv_sec) * 1e9);
  while (nanosleep (&left, &left) != 0 && errno == EINTR)
    ;
}

int
main (int argc, char **argv)
{
  read_options (argc, argv);
  setvbuf (stdout, NULL, _IOLBF, 0);
  signal (SIGTERM, end_at_once);
  signal (SIGINT, end_at_once);
  if (options.mode == BYPASS)
    {
      struct spark_meminfo meminfo = { 0 };
      int fd = (int) syscall (SYS_openat, AT_FDCWD, "/proc/meminfo", O_RDONLY | O_CLOEXEC, 0);
      if (fd >= 0 && spark_meminfo_read (fd, 0, &meminfo) == 0)
        tell_saw (meminfo.total_bytes, meminfo.available_bytes, false, 0, 0);
      bypass ();
      hold ();
    }
  else
    {
      uint64_t nvml_total_bytes = 0, nvml_free_bytes = 0;
      size_t free_bytes, total_bytes;
      bool has_nvml = nvml_memory (&nvml_total_bytes, &nvml_free_bytes);
      cuda_open ();
      must (cuda.info (&free_bytes, &total_bytes), "cuMemGetInfo");
      tell_saw (total_bytes, free_bytes, has_nvml, nvml_total_bytes, nvml_free_bytes);
      if (options.mode == POLITE)
        be_polite (free_bytes);
      else
        be_greedy (total_bytes);
      hold ();
      give_back ();
    }
  tell_done (held_bytes);
  return 0;
}

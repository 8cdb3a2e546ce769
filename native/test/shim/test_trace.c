/* The trace that SPARK_RUN_TRACE asks for: what each line says of a call, a refusal and a report. */
#include "harness.h"

#define BUDGET (4 * GIB)

static char trace_path[PATH_MAX + 16];
static char text[1 << 16];

static void
read_trace (void)
{
  int fd = open (trace_path, O_RDONLY);
  ssize_t got = read (fd, text, sizeof text - 1);
  text[got > 0 ? got : 0] = '\0';
  close (fd);
  CHECK (truncate (trace_path, 0) == 0);
}

/* Does some line hold all of these texts? */
static int
line_with (const char *const *pieces)
{
  for (char *line = text, *end; (end = strchr (line, '\n')) != NULL; line = end + 1)
    {
      char copy[2048];
      snprintf (copy, sizeof copy, "%.*s", (int) (end - line), line);
      int all = copy[0] == '{' && copy[strlen (copy) - 1] == '}';
      for (size_t i = 0; pieces[i] != NULL; i++)
        all &= strstr (copy, pieces[i]) != NULL;
      if (all)
        return 1;
    }
  printf ("# no line with %s in:\n# %s\n", pieces[0], text);
  return 0;
}
#define SAYS(...) CHECK (line_with ((const char *const[]){ __VA_ARGS__, NULL }))

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  snprintf (trace_path, sizeof trace_path, "%s/trace", scratch);
  setenv ("SPARK_RUN_TRACE", trace_path, 1);
  close (open (trace_path, O_CREAT | O_RDWR, 0600));
  void *cuda = dlopen ("libcuda.so.1", RTLD_NOW), *nvml = dlopen ("libnvidia-ml.so.1", RTLD_NOW);
  if (cuda == NULL || nvml == NULL)
    return 1;
  read_trace ();
  SAYS ("\"layer\":\"loader\"", "\"call\":\"dlopen\"", "\"detail\":\"libcuda.so.1\"", "\"by\":\"shim\"");
  test_done ("opening the driver is a line, with the file's name");
#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))
  CUdeviceptr pointer = 0, refused = 7;
  size_t free_bytes = 0, total_bytes = 0;
  void *function = NULL;
  int *fails = dlsym (cuda, "fake_cuda_fail");
  CHECK (CALL (cuMemAlloc_v2) (&pointer, GIB) == 0 && CALL (cuMemAlloc_v2) (&refused, 8 * GIB) == 2 && refused == 7);
  *fails = 3;
  CHECK (CALL (cuMemAllocAsync) (&refused, 12345, NULL) == 3);
  *fails = 0;
  CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0 && CALL (cuMemFree_v2) (pointer) == 0);
  CHECK (CALL (cuGetProcAddress) ("cuMemAlloc", &function, 12000, 0) == 0);
  CHECK (CALL (cuGetProcAddress) ("cuInit", &function, 12000, 0) == 0);
  nvmlMemory_t memory;
  CHECK (((__typeof__ (&nvmlDeviceGetMemoryInfo)) dlsym (nvml, "nvmlDeviceGetMemoryInfo")) (NULL, &memory) == 0);
  errno = 77;
  read_trace ();
  SAYS ("\"v\":1", "\"ns\":", "\"layer\":\"cuda\"", "\"call\":\"cuMemAlloc_v2\"", "\"bytes\":1073741824", "\"result\":0", "\"by\":\"driver\"");
  SAYS ("\"call\":\"cuMemAlloc_v2\"", "\"bytes\":8589934592", "\"result\":2", "\"by\":\"shim\"");
  /* Of 4 GiB one was taken before. */
  SAYS ("\"bytes\":8589934592", "\"budgetBytes\":4294967296,\"leftBytes\":3221225472");
  SAYS ("\"call\":\"cuMemAllocAsync\"", "\"bytes\":12345", "\"result\":3", "\"by\":\"driver\"");
  char told[64];
  snprintf (told, sizeof told, "\"freeBytes\":%zu,\"totalBytes\":%zu", free_bytes, total_bytes);
  SAYS ("\"call\":\"cuMemGetInfo_v2\"", told, "\"by\":\"shim\"");
  SAYS ("\"call\":\"cuMemFree_v2\"", "\"result\":0");
  SAYS ("\"layer\":\"loader\"", "\"call\":\"cuGetProcAddress\"", "\"detail\":\"cuMemAlloc\"", "\"by\":\"shim\"");
  SAYS ("\"call\":\"cuGetProcAddress\"", "\"detail\":\"cuInit\"", "\"by\":\"driver\"");
  SAYS ("\"layer\":\"nvml\"", "\"call\":\"nvmlDeviceGetMemoryInfo\"", "\"totalBytes\":4294967296", "\"by\":\"shim\"");
  test_done ("a line says what was asked, what came of it, what was told, and who answered");
  unlink (trace_path);
  errno = 77;
  CHECK (CALL (cuMemGetInfo_v2) (&free_bytes, &total_bytes) == 0 && errno == 77);
  CHECK (open (trace_path, O_RDONLY) == -1);
  test_done ("no file is made, and errno stays");
  return check_done ();
}

/* Whole programs under the shim: linked ones, with an empty environment, Python, and those for which there is no ledger. */
#include "harness.h"

#define BUDGET (2 * GIB)

static char preload[PATH_MAX + 64], libraries[PATH_MAX + 64], ledger[PATH_MAX + 64], expect[64];

static void
test_linked (void)
{
  char *const argv[] = { (char *) in_build ("test/shim/linked_app"), NULL };
  /* As after `env -i`: the preload is all there is (in a container /etc/ld.so.preload brings it, and the ledger lies at its place). */
  char *const bare[] = { preload, libraries, ledger, expect, NULL };
  CHECK (run_program (argv, bare, NULL) == 0);
  test_done ("a program linked against libcuda, in an otherwise empty environment");
  char *const unprotected[] = { libraries, ledger, expect, NULL };
  CHECK (run_program (argv, unprotected, NULL) == 1);
  test_done ("the same program without the shim sees the whole device (so the test above shows something)");
}

static void
test_python (void)
{
  static char script[]
    = "import ctypes, os\n"
      "c = ctypes.CDLL('libcuda.so.1')\n"
      "f, t, p = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_uint64(7)\n"
      "assert c.cuMemGetInfo_v2(ctypes.byref(f), ctypes.byref(t)) == 0\n"
      "assert t.value == int(os.environ['EXPECT_BYTES']), t.value\n"
      "assert c.cuMemAlloc_v2(ctypes.byref(p), ctypes.c_size_t(t.value + 1)) == 2 and p.value == 7\n"
      "assert c.cuInit(0) == 0\n"
      "n = ctypes.CDLL('libnvidia-ml.so.1')\n"
      "m = (ctypes.c_uint64 * 3)()\n"
      "assert n.nvmlDeviceGetMemoryInfo(None, m) == 0 and m[0] == t.value\n";
  if (access ("/usr/bin/python3", X_OK) != 0 || getenv ("SPARK_TEST_EMULATED") != NULL)
    {
      test_skip ("Python's ctypes", "no python3 of this architecture in /usr/bin");
      return;
    }
  char *const argv[] = { (char *) "/usr/bin/python3", (char *) "-c", script, NULL };
  char *const envp[] = { preload, libraries, ledger, expect, NULL };
  CHECK (run_program (argv, envp, NULL) == 0);
  test_done ("Python's ctypes");
}

/* The functions that a program without a usable ledger gets: the driver's own, by dlsym and by cuGetProcAddress. */
static int
untouched_body (void)
{
  void *cuda = dlopen ("libcuda.so.1", RTLD_NOW), *function = NULL;
  CUresult (*get) (const char *, void **, int, uint64_t, int *)
    = (__typeof__ (get)) dlsym (cuda, "cuGetProcAddress_v2");
  if (get == NULL || is_ours ((void *) get) || is_ours (dlsym (cuda, "cuMemAlloc_v2")))
    return 1;
  if (get ("cuMemAlloc", &function, 12000, 0, NULL) != 0 || is_ours (function))
    return 2;
  /* Ours is what a linked program would call; it must hand through. */
  CUresult (*linked) (size_t *, size_t *) = (__typeof__ (linked)) dlsym (RTLD_DEFAULT, "cuMemGetInfo_v2");
  size_t free_bytes, total_bytes;
  return is_ours ((void *) linked) && linked (&free_bytes, &total_bytes) == 0 && total_bytes == 128 * GIB ? 0 : 3;
}

/* Runs a part of this program ("untouched", "idle") with the ledger and debug word of the environment; what it says on stderr goes to
   `said`. */
static int
runs (const char *path, const char *part, const char *debug, char *said, size_t size)
{
  char file[PATH_MAX + 32], named[PATH_MAX + 64], word[64];
  snprintf (file, sizeof file, "%s/stderr", scratch);
  snprintf (named, sizeof named, "SPARK_RUN_LEDGER=%s", path);
  snprintf (word, sizeof word, "SPARK_RUN_DEBUG=%s", debug);
  char *const argv[] = { (char *) in_build ("test/shim/test_programs"), (char *) part, NULL };
  char *const envp[] = { preload, libraries, named, word, NULL };
  int status = run_program (argv, envp, file);
  int fd = open (file, O_RDONLY);
  ssize_t length = read (fd, said, size - 1);
  said[length > 0 ? length : 0] = '\0';
  close (fd);
  unlink (file);
  return status;
}

static int
untouched (const char *path, const char *debug, char *said, size_t size)
{
  return runs (path, "untouched", debug, said, size);
}

/* Opens libraries, as every program does, but not the driver's. */
static int
idle_body (void)
{
  return dlopen ("libm.so.6", RTLD_NOW) != NULL ? 0 : 1;
}

static void
test_untouched (void)
{
  char said[1024], path[PATH_MAX + 32], wanted[PATH_MAX + 128];
  CHECK (untouched ("/nowhere/ledger", "1", said, sizeof said) == 0);
  CHECK_TEXT (said, "");
  test_done ("without a ledger everything is the driver's own, and nothing is said");
  snprintf (path, sizeof path, "%s/broken", scratch);
  static const char *const contents[] = { "", "SPRKLDG1", "not a ledger at all" };
  for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++)
    {
      int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
      CHECK (write (fd, contents[i], strlen (contents[i])) >= 0 && (i == 0 || ftruncate (fd, 8192) == 0));
      close (fd);
      snprintf (wanted, sizeof wanted, "spark-shim: no budget is kept here, the ledger cannot be used: %s\n", path);
      CHECK (untouched (path, "0", said, sizeof said) == 0);
      CHECK_TEXT (said, wanted);
      CHECK (untouched (path, "1", said, sizeof said) == 0);
      CHECK_TEXT (said, wanted);
    }
  test_done ("with a broken ledger likewise, and one line, once, says that no budget is kept");
  CHECK (runs (path, "idle", "0", said, sizeof said) == 0);
  CHECK_TEXT (said, "");
  test_done ("a program that does not use the driver says nothing of a broken ledger");
  unlink (path);
  CHECK (mkfifo (path, 0666) == 0 && untouched (path, "0", said, sizeof said) == 0);
  unlink (path);
  CHECK (untouched ("/", "0", said, sizeof said) == 0);
  test_done ("a FIFO or a directory in the ledger's place is not opened");
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "untouched") == 0)
    return untouched_body ();
  if (argc == 2 && strcmp (argv[1], "idle") == 0)
    return idle_body ();
  begin_under_shim (argv, BUDGET);
  snprintf (preload, sizeof preload, "LD_PRELOAD=%s", in_build ("libspark-shim.so"));
  snprintf (libraries, sizeof libraries, "LD_LIBRARY_PATH=%s", in_build ("test/shim/fake"));
  snprintf (ledger, sizeof ledger, "SPARK_RUN_LEDGER=%s", ledger_path);
  snprintf (expect, sizeof expect, "EXPECT_BYTES=%llu", (unsigned long long) BUDGET);
  test_linked ();
  test_python ();
  test_untouched ();
  return check_done ();
}

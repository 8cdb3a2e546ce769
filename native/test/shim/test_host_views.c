/* /proc/meminfo under the shim: each way of opening it, and that it behaves as a file. */
#include "host_views.h"

#include <linux/openat2.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

static bool
stream_tells_budget (FILE *stream)
{
  char line[256];
  uint64_t total = 0;
  while (stream != NULL && fgets (line, sizeof line, stream) != NULL)
    if (strncmp (line, "MemTotal:", 9) == 0)
      total = bytes_of (line, "MemTotal");
  return stream != NULL && fclose (stream) == 0 && total == BUDGET;
}

/* Called by name, as another compiler's headers would have it. */
#define BY_NAME(type, name) ((type) dlsym (RTLD_DEFAULT, name))

static void
test_descriptors (void)
{
  static const char path[] = "/proc/meminfo";
  static const char *const opens[] = { "open", "open64" }, *const opens_2[] = { "__open_2", "__open64_2" };
  static const char *const openats[] = { "openat", "openat64" }, *const openats_2[] = { "__openat_2", "__openat64_2" };
  CHECK (real_total () > BUDGET);
  for (int i = 0; i < 2; i++)
    {
      CHECK (tells_budget (BY_NAME (int (*) (const char *, int, ...), opens[i]) (path, O_RDONLY)));
      CHECK (tells_budget (BY_NAME (int (*) (const char *, int), opens_2[i]) (path, O_RDONLY | O_CLOEXEC)));
      CHECK (tells_budget (BY_NAME (int (*) (int, const char *, int, ...), openats[i]) (AT_FDCWD, path, O_RDONLY)));
      CHECK (tells_budget (BY_NAME (int (*) (int, const char *, int), openats_2[i]) (AT_FDCWD, path, O_RDONLY)));
    }
  test_done ("open, openat, their 64 and fortified forms");
  struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };
  int (*openat2_here) (int, const char *, const void *, size_t) = (__typeof__ (openat2_here)) dlsym (RTLD_DEFAULT, "openat2");
  int fd = openat2_here (AT_FDCWD, path, &how, sizeof how);
  if (fd < 0 && (errno == ENOSYS || errno == EPERM))
    test_skip ("openat2", "this kernel (or emulator) has no such call");
  else
    {
      CHECK (tells_budget (fd));
      CHECK (openat2_here (AT_FDCWD, "/proc/no-such-file", &how, sizeof how) == -1 && errno == ENOENT);
      test_done ("openat2");
    }
}

static void
test_streams (void)
{
  CHECK (stream_tells_budget (fopen ("/proc/meminfo", "r")));
  CHECK (stream_tells_budget (fopen ("/proc/meminfo", "rbe")));
  CHECK (stream_tells_budget (BY_NAME (FILE * (*) (const char *, const char *), "fopen64") ("/proc/meminfo", "r")));
  CHECK (stream_tells_budget (freopen ("/proc/meminfo", "r", fopen ("/dev/null", "r"))));
  CHECK (stream_tells_budget (
    BY_NAME (FILE * (*) (const char *, const char *, FILE *), "freopen64") ("/proc/meminfo", "r", fopen ("/dev/null", "r"))));
  test_done ("fopen, freopen and their 64 forms");
  FILE *stream = fopen ("/proc/meminfo", "r");
  CHECK (freopen (NULL, "r", stream) == stream && stream_tells_budget (stream));
  test_done ("freopen without a path");
}

static void
test_other_paths (void)
{
  char link[PATH_MAX + 32];
  CHECK (tells_budget (open ("/proc/self/../meminfo", O_RDONLY)) && tells_budget (open ("//proc/./meminfo", O_RDONLY)));
  int proc = open ("/proc", O_RDONLY | O_DIRECTORY);
  CHECK (tells_budget (openat (proc, "meminfo", O_RDONLY)));
  close (proc);
  CHECK (chdir ("/proc") == 0 && tells_budget (open ("meminfo", O_RDONLY)) && chdir ("/") == 0);
  snprintf (link, sizeof link, "%s/meminfo", scratch);
  CHECK (symlink ("/proc/meminfo", link) == 0 && tells_budget (open (link, O_RDONLY)) && unlink (link) == 0);
  test_done ("the same file by other ways: .., a directory's descriptor, the working directory, a link of this name");
}

/* The file behaves as a file. */
static void
test_file (void)
{
  int blocker = open ("/dev/null", O_RDONLY);
  close (blocker);
  errno = 77;
  int fd = open ("/proc/meminfo", O_RDONLY);
  CHECK (fd == blocker && errno == 77);
  CHECK ((fcntl (fd, F_GETFD) & FD_CLOEXEC) == 0 && (fcntl (fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
  int closing = open ("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  CHECK ((fcntl (closing, F_GETFD) & FD_CLOEXEC) != 0 && close (closing) == 0);
  test_done ("the lowest free descriptor, its flags as asked, errno as it was");

  struct stat status;
  char text[64], again[64];
  CHECK (fstat (fd, &status) == 0 && S_ISREG (status.st_mode) && (status.st_mode & 0777) == 0444);
  CHECK (read (fd, text, 40) == 40 && pread (fd, again, 40, 0) == 40 && memcmp (text, again, 40) == 0);
  CHECK (lseek (fd, 0, SEEK_CUR) == 40 && lseek (fd, -10, SEEK_CUR) == 30 && read (fd, again, 10) == 10);
  CHECK (memcmp (text + 30, again, 10) == 0 && lseek (fd, 0, SEEK_SET) == 0 && read (fd, again, 40) == 40);
  CHECK (memcmp (text, again, 40) == 0);
  int copy = dup (fd);
  CHECK (lseek (copy, 5, SEEK_SET) == 5 && read (fd, again, 5) == 5 && memcmp (text + 5, again, 5) == 0);
  void *map = mmap (NULL, 4096, PROT_READ, MAP_SHARED, copy, 0);
  CHECK (map != MAP_FAILED && memcmp (map, text, 40) == 0 && munmap (map, 4096) == 0);
  CHECK (write (fd, "x", 1) == -1 && errno == EBADF && mmap (NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  CHECK (close (copy) == 0 && close (fd) == 0 && close (fd) == -1);
  test_done ("read in pieces, pread, lseek, dup, fstat, mmap, close; no writing");
}

static void
test_untouched (void)
{
  char path[PATH_MAX + 32];
  struct stat status;
  int mask = umask (0);
  CHECK (open ("/no-such-directory/meminfo", O_RDONLY) == -1 && errno == ENOENT);
  CHECK (open ("/proc/meminfo/x", O_RDONLY) == -1 && errno == ENOTDIR);
  CHECK (open ("/proc/meminfo", O_RDONLY | O_DIRECTORY) == -1 && errno == ENOTDIR);
  /* The sanitizer's own open reads the path before ours does. */
  const char *volatile nowhere[] = { NULL, (const char *) 16 };
  for (int i = 0; i < 2 && getenv ("SPARK_TEST_SANITIZED") == NULL; i++)
    CHECK (BY_NAME (int (*) (const char *, int, ...), "open") (nowhere[i], O_RDONLY) == -1 && errno == EFAULT);
  CHECK (fopen ("/no-such-directory/meminfo", "r") == NULL && errno == ENOENT);
  CHECK (openat (-1, "meminfo", O_RDONLY) == -1 && errno == EBADF);
  test_done ("failures are the system's own");
  snprintf (path, sizeof path, "%s/meminfo", scratch);
  int fd = open (path, O_RDWR | O_CREAT | O_EXCL, 0642);
  CHECK (fstat (fd, &status) == 0 && (status.st_mode & 0777) == 0642 && write (fd, "mine", 4) == 4);
  close (fd);
  char text[8] = "";
  fd = openat (AT_FDCWD, path, O_RDONLY | O_CREAT, 0600);
  CHECK (read (fd, text, sizeof text) == 4 && strcmp (text, "mine") == 0);
  close (fd);
  CHECK (unlink (path) == 0);
  fd = open (scratch, O_RDWR | O_TMPFILE, 0604);
  CHECK (fd < 0 || (fstat (fd, &status) == 0 && (status.st_mode & 0777) == 0604));
  close (fd);
  umask ((mode_t) mask);
  test_done ("another file of this name, its mode and its content are left alone");
  fd = open ("/proc/meminfo", O_PATH);
  char seen[PATH_MAX] = "", link[64];
  snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  CHECK (fd >= 0 && readlink (link, seen, sizeof seen - 1) > 0 && strcmp (seen, "/proc/meminfo") == 0);
  close (fd);
  test_done ("a descriptor for a path alone stays one");
}

static void
test_many_descriptors (void)
{
  int fds[40];
  for (int i = 0; i < 40; i++)
    fds[i] = open ("/proc/meminfo", O_RDONLY);
  for (int i = 0; i < 40; i++)
    CHECK (lseek (fds[i], 0, SEEK_SET) == 0 && tells_budget (fds[i]));
  char path[PATH_MAX + 32], text[8] = "";
  snprintf (path, sizeof path, "%s/other", scratch);
  int fd = open (path, O_RDWR | O_CREAT, 0600);
  CHECK (fd == fds[0] && write (fd, "mine", 4) == 4 && lseek (fd, 0, SEEK_SET) == 0 && read (fd, text, 8) == 4);
  CHECK (strcmp (text, "mine") == 0 && close (fd) == 0 && unlink (path) == 0);
  test_done ("many at a time, and another file under a number that was ours");
}

enum { OPENS = 200, FORKS = 40, STUCK_seconds = 60 };

static void *
open_often (void *failures)
{
  for (int i = 0; i < OPENS; i++)
    {
      struct sysinfo info;
      if (!tells_budget (open ("/proc/meminfo", O_RDONLY)) || !stream_tells_budget (fopen ("/proc/meminfo", "r"))
          || sysinfo (&info) != 0 || (uint64_t) info.totalram * info.mem_unit != BUDGET)
        __atomic_add_fetch ((int *) failures, 1, __ATOMIC_RELAXED);
    }
  return NULL;
}

static int
forked_body (void)
{
  /* A lock that another thread held at the fork would never be given back here. */
  alarm (STUCK_seconds);
  return tells_budget (open ("/proc/meminfo", O_RDONLY)) && stream_tells_budget (fopen ("/proc/meminfo", "r")) ? 0 : 1;
}

static void
test_threads_and_forks (void)
{
  pthread_t threads[8];
  int failures = 0, inherited = open ("/proc/meminfo", O_RDONLY);
  for (int i = 0; i < 8; i++)
    CHECK (pthread_create (&threads[i], NULL, open_often, &failures) == 0);
  /* qemu-user 7.2 answers 0 to MADV_WIPEONFORK and wipes nothing, and its own locks do not survive such a fork either. */
  int forks = getenv ("SPARK_TEST_EMULATED") == NULL ? FORKS : 0;
  for (int i = 0; i < forks; i++)
    CHECK (child_agrees (forked_body));
  for (int i = 0; i < 8; i++)
    pthread_join (threads[i], NULL);
  CHECK (failures == 0 && tells_budget (inherited));
  test_done ("eight threads");
  if (forks > 0)
    test_done ("forty children forked among them");
  else
    test_skip ("forty children forked among them", "the emulator cannot fork among threads");
}

/* This program again, with another ledger: nothing is told and nothing is said. */
static int
plain_body (void)
{
  struct sysinfo info;
  char text[4096] = "";
  int fd = open ("/proc/meminfo", O_RDONLY);
  bool same = read (fd, text, sizeof text - 1) > 0 && bytes_of (text, "MemTotal") == real_total ();
  return same && sysinfo (&info) == 0 && (uint64_t) info.totalram * info.mem_unit == real_total () ? 0 : 1;
}

static void
test_without_a_ledger (void)
{
  char preload[PATH_MAX + 64], libraries[PATH_MAX + 64], named[PATH_MAX + 64], path[PATH_MAX + 32], said[PATH_MAX + 32];
  snprintf (preload, sizeof preload, "LD_PRELOAD=%s", getenv ("LD_PRELOAD"));
  snprintf (libraries, sizeof libraries, "LD_LIBRARY_PATH=%s", in_build ("test/shim/fake"));
  snprintf (path, sizeof path, "%s/broken", scratch);
  snprintf (said, sizeof said, "%s/stderr", scratch);
  close (open (path, O_WRONLY | O_CREAT, 0600));
  if (getenv ("SPARK_TEST_EMULATED") != NULL)
    {
      unlink (path);
      test_skip ("without a usable ledger", "an emulator cannot start a program by itself");
      return;
    }
  char asan[] = "ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0";
  const char *const ledgers[] = { "/nowhere/ledger", path };
  for (int i = 0; i < 2; i++)
    {
      struct stat status;
      snprintf (named, sizeof named, "SPARK_RUN_LEDGER=%s", ledgers[i]);
      char *const argv[] = { (char *) in_build ("test/shim/test_host_views"), (char *) "plain", NULL };
      char *const envp[] = { preload, libraries, named, asan, NULL };
      CHECK (run_program (argv, envp, said) == 0 && stat (said, &status) == 0 && status.st_size == 0);
    }
  unlink (path);
  unlink (said);
  test_done ("without a ledger, or with a broken one, the machine itself is told and nothing is said");
}

/* Before any constructor, the shim's too: a sanitizer or an allocator linked into the program opens files then. */
static bool early_ran, early_opened;

static void
open_early (int argc, char **argv, char **envp)
{
  (void) envp;
  early_ran = argc == 2 && strcmp (argv[1], "early") == 0;
  if (!early_ran)
    return;
  int fds[] = { open ("/dev/null", O_RDONLY), open ("/proc/meminfo", O_RDONLY) };
  FILE *stream = fopen ("/proc/meminfo", "r");
  char text[16];
  early_opened = fds[0] >= 0 && fds[1] >= 0 && read (fds[1], text, 9) == 9 && memcmp (text, "MemTotal:", 9) == 0
                 && stream != NULL && fclose (stream) == 0 && sysconf (_SC_PHYS_PAGES) > 0;
}
__attribute__ ((section (".preinit_array"), used)) static void (*const early[]) (int, char **, char **) = { open_early };

static void
test_early (void)
{
  static const char sentence[] = "files opened before the shim is initialised";
  if (getenv ("SPARK_TEST_EMULATED") != NULL || getenv ("SPARK_TEST_SANITIZED") != NULL)
    {
      test_skip (sentence, "an emulator cannot start a program by itself, a sanitizer's own start comes first");
      return;
    }
  char preload[PATH_MAX + 64], named[PATH_MAX + 64];
  snprintf (preload, sizeof preload, "LD_PRELOAD=%s", getenv ("LD_PRELOAD"));
  snprintf (named, sizeof named, "SPARK_RUN_LEDGER=%s", ledger_path);
  char *const argv[] = { (char *) in_build ("test/shim/test_host_views"), (char *) "early", NULL };
  char *const envp[] = { preload, named, NULL };
  CHECK (run_program (argv, envp, NULL) == 0);
  test_done (sentence);
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "plain") == 0)
    return plain_body ();
  if (early_ran)
    return early_opened ? 0 : 1;
  begin_under_shim (argv, BUDGET);
  test_descriptors ();
  test_streams ();
  test_other_paths ();
  test_file ();
  test_untouched ();
  test_many_descriptors ();
  test_threads_and_forks ();
  test_without_a_ledger ();
  test_early ();
  return check_done ();
}

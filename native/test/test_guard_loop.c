/* The whole guard in this process: a meminfo of our own, real processes, real files. Counts allocations in every round. */
#include "common/cleanup.h"
#include "common/registry.h"
#include "guard/clock.h"
#include "guard/guard.h"
#include "guard/proc_file.h"
#include "test/check.h"
#include "test/guard/stand_in.h"
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define RESERVE (512 * MIB)

int __sanitizer_install_malloc_and_free_hooks (void (*malloc_hook) (const volatile void *, size_t),
                                               void (*free_hook) (const volatile void *));

static struct guard guard;
static char directory[] = "/tmp/spark-guard-test.XXXXXX";
static char run_dir[64], log_dir[64], meminfo_path[64];
static int meminfo_fd, registry_fd;
static uint64_t hidden_mib; /* in use, and on no line of our meminfo */
static volatile bool counting; /* volatile: the compiler knows that malloc reads no variable of ours */
static volatile unsigned long allocations;

static void
on_malloc (const volatile void *pointer, size_t size)
{
  (void) pointer;
  (void) size;
  if (counting)
    allocations++;
}

static void
on_free (const volatile void *pointer)
{
  (void) pointer;
}

static void
set_available (uint64_t mib)
{
  char text[256];
  int length = snprintf (text, sizeof text, "MemTotal: %d kB\nMemFree: %d kB\nMemAvailable: %llu kB\nAnonPages: %lld kB\n", 8 << 20, (int) mib << 10,
                         (unsigned long long) mib * 1024, (8LL << 20) - (long long) (mib + hidden_mib) * 1024);
  if (pwrite (meminfo_fd, text, (size_t) length, 0) != length || ftruncate (meminfo_fd, length) != 0)
    abort ();
}

static void
steps (unsigned count)
{
  for (unsigned i = 0; i < count; i++)
    {
      counting = true;
      uint64_t sleep_ns = guard_step (&guard);
      counting = false;
      CHECK (sleep_ns >= NS_PER_MS && sleep_ns <= 100 * NS_PER_MS);
      usleep (1200);
    }
}

/* --- containers ---------------------------------------------------------------------------------------------------- */

static void
container_write (const struct spark_container *c)
{
  struct spark_error error;
  if (spark_registry_write (registry_fd, c, &error) != 0)
    {
      printf ("# %s\n", error.text);
      abort ();
    }
}

/* Alive now, and for a moment longer. */
static bool
lives (const struct child *child)
{
  usleep (20000);
  return waitpid (child->pid, NULL, WNOHANG) == 0;
}

static void
child_end (struct child *child)
{
  kill (child->pid, SIGKILL);
  waitpid (child->pid, NULL, 0);
  close (child->stderr_fd);
}

/* --- what the guard wrote ------------------------------------------------------------------------------------------ */

static char text[1 << 20];

static const char *
file_text (const char *path)
{
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || proc_file_read (fd, text, sizeof text, 0) < 0)
    text[0] = '\0';
  return text;
}

/* Events of a type that hold `part`. */
static unsigned
events (const char *type, const char *part)
{
  char path[128], quoted[64];
  unsigned count = 0;

  wait_written (&guard.scribe);
  snprintf (path, sizeof path, "%s/events.jsonl", log_dir);
  snprintf (quoted, sizeof quoted, "\"type\":\"%s\"", type);
  file_text (path);
  for (char *line = strtok (text, "\n"); line != NULL; line = strtok (NULL, "\n"))
    {
      struct json_object *event = json_tokener_parse (line);
      CHECK (event != NULL);
      json_object_put (event);
      count += strstr (line, quoted) != NULL && strstr (line, part) != NULL;
    }
  return count;
}

/* --- tests --------------------------------------------------------------------------------------------------------- */

static void
test_at_rest (void)
{
  char path[128];

  steps (50);
  snprintf (path, sizeof path, "%s/guard.state", run_dir);
  CHECK (strstr (file_text (path), "\nready=1\nsoft=0\n") != NULL);
  CHECK (events ("start", "") == 1);
  test_done ("it starts, says so, and watches");

  set_available (900);
  steps (3);
  CHECK (strstr (file_text (path), "\nsoft=1\n") != NULL && events ("soft", "\"soft\":1") == 1);
  set_available (4000);
  steps (3);
  CHECK (strstr (file_text (path), "\nsoft=0\n") != NULL && events ("soft", "\"soft\":0") == 1);
  test_done ("the soft line is seen and left again");
}

static void
test_kill (void)
{
  struct child greedy = child_start (40), polite = child_start (10);
  struct spark_container a = container_of ("greedy", &greedy, 8 * MIB), b = container_of ("polite", &polite, 4096 * MIB);
  char line[1024] = "", path[128];

  container_write (&a);
  container_write (&b);
  steps (5);
  CHECK (events ("register", "\"killBy\":\"process-group\"") == 2);
  CHECK (lives (&greedy) && lives (&polite));
  set_available (300);
  steps (1);
  CHECK (guard.victim == NULL); /* one reading under the reserve */
  /* The second one is enough, but on a busy machine the choice may run out of its 3 ms and be made again. */
  for (int i = 0; guard.victim == NULL && i < 500; i++)
    steps (1);
  CHECK (child_was_killed (&greedy));
  for (int i = 0; i < 50; i++)
    steps (1);
  CHECK (guard.victim != NULL && guard.aftermath.empty_ns != 0); /* dead, but nothing came back: no second victim */
  CHECK (lives (&polite));
  test_done ("the one over its budget dies, and nobody else while its memory is awaited");

  CHECK (read (greedy.stderr_fd, line, sizeof line - 1) > 0);
  CHECK (strstr (line, "spark-guard: killed name-of-greedy to save the host: 300.0 MiB of memory was available") == line);
  CHECK (strchr (line, '\n') == line + strlen (line) - 1);
  test_done ("its own log got one line");

  set_available (4000);
  steps (20);
  CHECK (guard.victim == NULL && lives (&polite));
  CHECK (events ("kill", "greedy") == 1 && events ("unregister", "greedy") == 1);
  CHECK (faccessat (registry_fd, "greedy", F_OK, 0) != 0);
  test_done ("with its memory back it is forgotten, its registry file gone");

  snprintf (path, sizeof path, "%s/tombstones/greedy.json", run_dir);
  struct json_object *stone = json_tokener_parse (file_text (path)), *member;
  CHECK (stone != NULL && json_object_object_get_ex (stone, "samples", &member) && json_object_array_length (member) > 3);
  CHECK (json_object_object_get_ex (stone, "killToEmptyMs", &member) && json_object_is_type (member, json_type_int));
  CHECK (json_object_object_get_ex (stone, "reason", &member) && strcmp (json_object_get_string (member), "under-reserve") == 0);
  CHECK (json_object_object_get_ex (stone, "lowestAvailableBytes", &member) && json_object_get_int64 (member) == (int64_t) (300 * MIB));
  json_object_put (stone);
  test_done ("the tombstone is whole");

  /* polite holds 10 of 4096 MiB: somebody else took the memory */
  set_available (300);
  steps (30);
  CHECK (guard.victim == NULL && lives (&polite));
  CHECK (events ("warning", "nothing is killed") == 1);
  set_available (4000);
  steps (3);
  test_done ("when a process outside took the memory, that is said once and nobody dies");

  child_end (&polite);
  for (int i = 0; i < 20; i++)
    {
      guard.housekept_ns = 0;
      set_available (8000); /* all the time in the world */
      steps (1);
    }
  CHECK (faccessat (registry_fd, "polite", F_OK, 0) != 0 && events ("unregister", "polite") == 1);
  test_done ("a container that dies without a word is swept");
  close (greedy.stderr_fd);
}

static void
test_hidden (void)
{
  struct child innocent = child_start (20);
  struct spark_container c = container_of ("innocent", &innocent, 4096 * MIB);

  container_write (&c);
  guard.calm_ns = guard.housekept_ns = 0;
  steps (5);
  hidden_mib = 3700;
  set_available (300);
  steps (150);
  CHECK (guard.victim == NULL && lives (&innocent));
  CHECK (events ("warning", "no registered container uses the GPU: nothing is killed") == 1);
  test_done ("memory that no book shows costs nobody's life while no container uses the GPU; that is said once");

  for (unsigned i = 0; i < guard.table.count; i++)
    guard.table.entries[i].uses_gpu = true;
  steps (150);
  CHECK (child_was_killed (&innocent) && events ("kill", "no book of the kernel or of a container shows") == 1);
  test_done ("one that uses the GPU answers for it");
  hidden_mib = 0;
  set_available (4000);
  steps (20);
  CHECK (guard.victim == NULL);
  close (innocent.stderr_fd);
}

/* A /proc of our own: the same processes, the second of them with a GPU open. */
static void
proc_make (const char *proc, const struct child *without, const struct child *with_gpu)
{
  static const char *const names[] = { "stat", "status" };
  const struct child *children[] = { without, with_gpu };
  char path[160], target[64];

  mkdir (proc, 0755);
  for (int i = 0; i < 2; i++)
    {
      snprintf (path, sizeof path, "%s/%d", proc, (int) children[i]->pid);
      mkdir (path, 0755);
      for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        {
          snprintf (path, sizeof path, "%s/%d/%s", proc, (int) children[i]->pid, names[n]);
          snprintf (target, sizeof target, "/proc/%d/%s", (int) children[i]->pid, names[n]);
          CHECK (symlink (target, path) == 0);
        }
      snprintf (path, sizeof path, "%s/%d/fd", proc, (int) children[i]->pid);
      mkdir (path, 0755);
    }
  snprintf (path, sizeof path, "%s/%d/fd/3", proc, (int) with_gpu->pid);
  CHECK (symlink ("/dev/nvidia0", path) == 0);
}

/* Where the policy has the largest die for the host, that is only for want of somebody guilty. */
static void
test_hidden_before_largest (void)
{
  struct child innocent = child_start (40), fresh = child_start (10);
  struct spark_container a = container_of ("innocent", &innocent, 4096 * MIB), b = container_of ("fresh", &fresh, 4096 * MIB);
  char proc[128];

  container_write (&a);
  container_write (&b);
  guard.calm_ns = guard.housekept_ns = 0;
  steps (5);
  snprintf (proc, sizeof proc, "%s/proc", directory);
  proc_make (proc, &innocent, &fresh);
  guard.options.proc_dir = proc;
  guard.options.on_foreign_largest = true;
  guard.housekept_ns = clock_boot_ns (); /* it has not looked who uses the GPU since */
  hidden_mib = 3700;
  set_available (300);
  for (int i = 0; guard.victim == NULL && i < 500; i++)
    steps (1);
  CHECK (child_was_killed (&fresh) && lives (&innocent));
  test_done ("one that opened the GPU just now answers for hidden memory, before the largest does for want of anybody");
  guard.options.proc_dir = "/proc";
  guard.options.on_foreign_largest = false;
  hidden_mib = 0;
  set_available (4000);
  steps (20);
  child_end (&innocent);
  close (fresh.stderr_fd);
  snprintf (proc, sizeof proc, "rm -r %s/proc", directory);
  CHECK (system (proc) == 0);
  guard.housekept_ns = 0;
  steps (3);
}

static void
file_write (const char *name, const char *content, size_t length)
{
  cleanup_close int fd = openat (registry_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || write (fd, content, length) != (ssize_t) length)
    abort ();
}

static void
test_garbage (void)
{
  static char large[10000];
  struct child innocent = child_start (20);
  struct spark_container reused = container_of ("reused", &innocent, 1), foreign = reused, own = reused;

  memset (large, 'x', sizeof large);
  file_write ("garbage", "hello\n", 6);
  file_write ("empty", "", 0);
  file_write ("large", large, sizeof large);
  file_write ("version", "version=9\nid=version\nend=1\n", 27);
  file_write ("torn", "version=1\nid=torn\npid=1\n", 24);
  file_write ("not an id", "version=1\n", 10);
  symlinkat ("/etc/passwd", registry_fd, "link");
  mkfifoat (registry_fd, "fifo", 0644);
  mkdirat (registry_fd, "directory", 0755);
  reused.pid_start++; /* the number is the same, the process is not */
  container_write (&reused);
  snprintf (foreign.id, sizeof foreign.id, "foreign");
  foreign.pid_start++;
  snprintf (foreign.cgroup_v2, sizeof foreign.cgroup_v2, "/etc");
  container_write (&foreign);
  snprintf (own.id, sizeof own.id, "first");
  own.pid = 1;
  own.pgid = 0;
  own.pid_start = 1;
  container_write (&own);
  steps (5);
  unsigned said = events ("warning", "");
  steps (20);
  CHECK (events ("warning", "") == said);
  test_done ("bad files are reported once");
  set_available (300);
  steps (30);
  CHECK (lives (&innocent));
  CHECK (guard.victim == NULL);
  set_available (4000);
  steps (3);
  test_done ("a reused pid, a path that is no cgroup and a process that is no container are not killed");
  child_end (&innocent);
  const char *names[] = { "garbage", "empty", "large", "version", "torn", "not an id", "link", "fifo", "reused", "foreign", "first" };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    unlinkat (registry_fd, names[i], 0);
  unlinkat (registry_fd, "directory", AT_REMOVEDIR);
  steps (2);
}

static void
test_meminfo_fails (void)
{
  unsigned before = events ("warning", "cannot read how much");

  if (ftruncate (meminfo_fd, 0) != 0)
    abort ();
  steps (10);
  CHECK (events ("warning", "cannot read how much") == before + 1);
  set_available (4000);
  steps (3);
  CHECK (guard.memory.available_bytes == 4000 * MIB);
  test_done ("a meminfo that cannot be read is said once, and the guard goes on");
}

static void
test_scribe_dies (void)
{
  kill (guard.scribe.helper.pid, SIGKILL);
  usleep (20000);
  guard.housekept_ns = 0;
  set_available (8000);
  steps (2);
  CHECK (events ("warning", "started again") == 1);
  test_done ("a log process that dies is started again");
}

static void
remove_all (void)
{
  const char *dirs[] = { "run/containers", "run/ledgers", "run/tombstones", "run", "log", "." };
  for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
    {
      char path[160];
      snprintf (path, sizeof path, "%s/%s", directory, dirs[i]);
      cleanup_dir DIR *dir = opendir (path);
      for (struct dirent *entry; dir != NULL && (entry = readdir (dir)) != NULL;)
        unlinkat (dirfd (dir), entry->d_name, 0);
      rmdir (i + 1 < sizeof dirs / sizeof dirs[0] ? path : directory);
    }
}

int
main (void)
{
  struct spark_error error;
  char reserve[32];

  if (mkdtemp (directory) == NULL)
    abort ();
  snprintf (run_dir, sizeof run_dir, "%s/run", directory);
  snprintf (log_dir, sizeof log_dir, "%s/log", directory);
  snprintf (meminfo_path, sizeof meminfo_path, "%s/meminfo", directory);
  snprintf (reserve, sizeof reserve, "%llu", (unsigned long long) RESERVE);
  meminfo_fd = open (meminfo_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  set_available (4000);
  char *argv[] = { "spark-guard", "--run-dir", run_dir, "--log-dir", log_dir, "--reserve-bytes", reserve, "--meminfo", meminfo_path,
                   "--drop-caches", "/dev/null", "--allow-process-groups", "--cgroup-root", directory, NULL };
  struct guard_options options;
  CHECK (guard_options_parse ((int) (sizeof argv / sizeof argv[0]) - 1, argv, &options, &error) == 0);
  if (guard_start (&guard, &options, &error) != 0)
    {
      printf ("# %s\n", error.text);
      return 1;
    }
  CHECK (guard.kill_by == KILL_BY_PROCESS_GROUP); /* no cgroups below our directory */
  registry_fd = guard.table.registry_fd;
  __sanitizer_install_malloc_and_free_hooks (on_malloc, on_free);

  test_at_rest ();
  test_kill ();
  test_hidden ();
  test_hidden_before_largest ();
  test_garbage ();
  test_meminfo_fails ();
  test_scribe_dies ();
  CHECK (allocations == 0);
  printf ("# %lu allocations\n", allocations);
  counting = true;
  void *volatile block = malloc (1);
  free (block);
  counting = false;
  CHECK (allocations == 1); /* the hook does count */
  test_done ("no round allocates anything: rest, kill, garbage, registration, log");

  guard_stop (&guard);
  CHECK (events ("stop", "") == 1);
  test_done ("it ends and says so");
  close (meminfo_fd);
  remove_all ();
  return check_done ();
}

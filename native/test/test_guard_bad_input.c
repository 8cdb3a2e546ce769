/* Broken registry files, a broken meminfo, books that cannot be read, clocks that jump: each has its answer, and the guard goes on. */
#include "test/guard/in_process.h"

#include "guard/usage.h"
#include <sys/syscall.h>

/* --- clocks -------------------------------------------------------------------------------------------------------- */

static int64_t wall_jump_s, boot_jump_s;

/* In place of libc's, for the guard in this process. */
int
clock_gettime (clockid_t clock, struct timespec *now)
{
  int result = (int) syscall (SYS_clock_gettime, clock, now);

  if (clock == CLOCK_REALTIME)
    now->tv_sec += wall_jump_s;
  if (clock == CLOCK_BOOTTIME)
    now->tv_sec += boot_jump_s;
  return result;
}

static void
test_wall_clock (void)
{
  static const int64_t jumps_s[] = { -800000000, 500000000, 0 };
  struct child polite = child_start (10);
  struct spark_container c = container_of ("polite", &polite, 4096 * MIB);

  register_entry (&c);
  for (size_t i = 0; i < sizeof jumps_s / sizeof jumps_s[0]; i++)
    {
      char id[32];
      wall_jump_s = jumps_s[i];
      steps (20);
      CHECK (guard.victim == NULL && waitpid (polite.pid, NULL, WNOHANG) == 0);
      snprintf (id, sizeof id, "in-jump-%zu", i);
      CHECK (still_guards (id));
    }
  CHECK (events ("\"time\":\"2001-") > 0 && events ("\"time\":\"2042-") > 0);
  CHECK (waitpid (polite.pid, NULL, WNOHANG) == 0);
  test_done ("a wall clock that is set back and forward changes the times that are told and no decision");
  child_end (&polite);
  unlinkat (guard.table.registry_fd, "polite", 0);
  steps (2);
}

/* A victim that does not die: its cgroup stays populated whatever is done. */
static void
test_suspended (void)
{
  struct child slow = child_start (20);
  int populated_fd = memfd_create ("cgroup.events", MFD_CLOEXEC);
  struct spark_container c = container_of ("slow", &slow, 8 * MIB);

  register_entry (&c);
  steps (2);
  for (unsigned i = 0; i < guard.table.count; i++)
    if (guard.table.entries[i].used && strcmp (guard.table.entries[i].id, "slow") == 0)
      {
        guard.table.entries[i].kill_by = KILL_BY_CGROUP_KILL;
        guard.table.entries[i].kill_fd = open ("/dev/null", O_WRONLY | O_CLOEXEC);
        guard.table.entries[i].events_fd = populated_fd;
      }
  CHECK (pwrite (populated_fd, "populated 1\n", 12, 0) == 12);
  set_available (300);
  steps (5);
  CHECK (guard.victim != NULL && guard.aftermath.empty_ns == 0);
  boot_jump_s += 8 * 3600;
  steps (5);
  CHECK (guard.victim != NULL && !guard.victim->spent);
  test_done ("a night's sleep in the middle of a kill is not taken for a container that will not die");
  CHECK (pwrite (populated_fd, "populated 0\n", 12, 0) == 12);
  waitpid (slow.pid, NULL, 0);
  steps (5);
  set_available (4000);
  steps (20);
  CHECK (guard.victim == NULL);
  close (slow.stderr_fd);
}

/* --- registry ------------------------------------------------------------------------------------------------------ */

static void
put (const char *name, const char *content, size_t length)
{
  cleanup_close int fd = openat (guard.table.registry_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

  if (fd < 0 || write (fd, content, length) != (ssize_t) length)
    abort ();
}

static void
test_registry (void)
{
  static char huge[1 << 20];
  static const char *const names[] = { "truncated", "huge", "version", "link", "fifo", "directory", "with\nnewline", "otherid", "zero" };
  struct child innocent = child_start (40), decoy = child_start (40);
  struct spark_container c = container_of ("innocent", &innocent, 1);
  char whole[512];
  int fd = guard.table.registry_fd;

  /* Each of them would be a container over its budget, if it were believed. */
  int length = snprintf (whole, sizeof whole, "version=1\nid=%%s\npid=%d\npid_start=%llu\npgid=%d\nbudget_bytes=1\nend=1\n", (int) innocent.pid,
                         (unsigned long long) c.pid_start, (int) innocent.pid);
  memset (huge, '\n', sizeof huge);
  memcpy (huge, "version=1\nid=huge\nend=1\n", 24);
  put ("truncated", whole, (size_t) length - 6);
  put ("huge", huge, sizeof huge);
  put ("version", "version=2\nid=version\nend=1\n", 27);
  put (".elsewhere", "version=1\nid=link\nend=1\n", 24);
  CHECK (symlinkat (".elsewhere", fd, "link") == 0);
  CHECK (mkfifoat (fd, "fifo", 0644) == 0 && mkdirat (fd, "directory", 0755) == 0);
  put ("with\nnewline", "version=1\nid=with\nend=1\n", 24);
  put ("otherid", "version=1\nid=innocent\nend=1\n", 28);
  put ("zero", "version=1\nid=zero\nname=a\0b\nend=1\n", 33);
  steps (5);
  static const char *const told[] = { "truncated", "huge", "version", "link", "fifo", "directory", "otherid", "zero" };
  for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
    {
      char part[64];
      snprintf (part, sizeof part, "the registry file %s is ignored", told[i]);
      if (events (part) != 1)
        printf ("# %s: %u\n", part, events (part));
      CHECK (events (part) == 1);
    }
  CHECK (events ("newline") == 0);
  CHECK (still_guards ("beside-them") && waitpid (innocent.pid, NULL, WNOHANG) == 0);
  test_done ("a registry file that is truncated, huge, of another version, a link, a fifo, a directory, another's or binary is ignored and told once");

  /* The file of one that is known already. */
  struct spark_container known = container_of ("known", &decoy, 8 * MIB);
  register_entry (&known);
  steps (2);
  put ("known", "version=1\nid=kno", 16);
  steps (2);
  CHECK (events ("the registry file known is ignored, the container is guarded by what it said before") == 1);
  CHECK (kills (&decoy));
  test_done ("a known container whose file breaks is guarded on by what the file said before");
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    unlinkat (fd, names[i], strcmp (names[i], "directory") == 0 ? AT_REMOVEDIR : 0);
  unlinkat (fd, "known", 0);
  unlinkat (fd, ".elsewhere", 0);
  steps (2);
  child_end (&innocent);
}

static void
test_reserve_of_container (void)
{
  struct child one = child_start (10);
  struct spark_container c = container_of ("wants-all", &one, 4096 * MIB);

  c.reserve_bytes = UINT64_MAX;
  register_entry (&c);
  steps (20);
  CHECK (guard.reserve_bytes == guard.options.reserve_bytes && !guard.soft);
  CHECK (still_guards ("beside-wants-all") && waitpid (one.pid, NULL, WNOHANG) == 0);
  test_done ("a container's reserve over MemTotal never comes into force");
  child_end (&one);
  unlinkat (guard.table.registry_fd, "wants-all", 0);
  steps (2);
}

/* --- meminfo ------------------------------------------------------------------------------------------------------- */

static bool
state_says (const char *line)
{
  char text[1024];
  cleanup_close int fd = openat (guard.run_fd, "guard.state", O_RDONLY | O_CLOEXEC);

  return fd >= 0 && proc_file_read (fd, text, sizeof text, 0) > 0 && strstr (text, line) != NULL;
}

static void
test_meminfo (void)
{
  struct child innocent = child_start (40), greedy = child_start (20);
  struct spark_container a = container_of ("while-blind", &innocent, 1), b = container_of ("came-blind", &greedy, 8 * MIB);

  unsigned before = events ("cannot read how much");
  register_entry (&a);
  steps (2);
  write_meminfo ("MemTotal: 8388608 kB\nMemFree: 1 kB\n");
  steps (20);
  CHECK (events ("cannot read how much") == before + 1 && state_says ("\nsoft=1\n"));
  CHECK (waitpid (innocent.pid, NULL, WNOHANG) == 0);
  kill (innocent.pid, SIGKILL);
  waitpid (innocent.pid, NULL, 0);
  guard.housekept_ns = 0;
  register_entry (&b);
  steps (2);
  CHECK (events ("\"type\":\"unregister\",\"id\":\"while-blind\"") == 1 && events ("\"type\":\"register\",\"id\":\"came-blind\"") == 1);
  set_available (4000);
  steps (2);
  CHECK (state_says ("\nsoft=0\n") && kills (&greedy));
  test_done ("while meminfo has no MemAvailable nobody dies, admission is closed, and who comes and goes is known");
  close (innocent.stderr_fd);

  /* Reading this file from its start is an I/O error. */
  cleanup_close int broken = open ("/proc/self/mem", O_RDONLY | O_CLOEXEC), good = fcntl (guard.meminfo_fd, F_DUPFD_CLOEXEC, 3);
  char byte;
  CHECK (pread (broken, &byte, 1, 0) < 0 && errno == EIO);
  dup3 (broken, guard.meminfo_fd, O_CLOEXEC);
  steps (5);
  dup3 (good, guard.meminfo_fd, O_CLOEXEC);
  CHECK (events ("cannot read how much") == before + 2 && still_guards ("after-eio"));
  test_done ("an I/O error of meminfo is told, and it goes on when it is over");
}

/* --- books --------------------------------------------------------------------------------------------------------- */

static struct entry *
entry_of (const char *id)
{
  for (unsigned i = 0; i < guard.table.count; i++)
    if (guard.table.entries[i].used && strcmp (guard.table.entries[i].id, id) == 0)
      return &guard.table.entries[i];
  abort ();
}

static void
test_books (void)
{
  struct child greedy = child_start (20);
  struct spark_container a = container_of ("no-stat", &greedy, 8 * MIB);

  register_entry (&a);
  steps (2);
  entry_of ("no-stat")->stat_fd = open ("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  entry_of ("no-stat")->cgroup_bytes = 0;
  CHECK (kills (&greedy));
  test_done ("where memory.stat gives an I/O error the processes are asked, and the guilty one dies");

  char path[128];
  struct entry made = { .used = true, .pid = 77, .pid_fd = -1, .kill_fd = -1, .events_fd = -1, .procs_dir_fd = -1, .freezer_fd = -1,
                        .stat_fd = -1, .usage_dir_fd = -1, .ledger_fd = open (directory, O_RDONLY | O_CLOEXEC), .cgroup_bytes = 5 };
  unsigned turn = 0;
  snprintf (path, sizeof path, "%s/77", directory);
  mkdir (path, 0755);
  snprintf (path, sizeof path, "%s/77/status", directory);
  mkdir (path, 0755);
  CHECK (usage_refresh (&made, 1, &turn, directory, &(struct usage_host){ 1 << 30, 1 << 21 }, 0) && entry_use_bytes (&made) == 0);
  test_done ("a ledger and a /proc/<pid>/status that are directories count as nothing");

  rmdir (path);
  cleanup_close int status = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  CHECK (write (status, "Name:\tx\nHugetlbPages:\t4096 kB\n", 30) == 30);
  made.huge_count = 2;
  made.huge_fds[0] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  made.huge_fds[1] = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK (usage_refresh (&made, 1, &turn, directory, &(struct usage_host){ 1 << 30, 64 * MIB }, 0) && made.driver_bytes == 4 * MIB);
  entry_close (&made);
  test_done ("where the book of huge pages cannot be read the processes are asked");
}

/* --- at start ------------------------------------------------------------------------------------------------------ */

/* Its sentence, in a process of its own: after a failure only the end is left. */
static bool
start_fails (const char *reserve_bytes, const char *part)
{
  pid_t pid = fork ();

  if (pid == 0)
    {
      struct spark_error error = { 0 };
      int result = guard_begin (reserve_bytes, true, &error);
      if (result == 0 || strstr (error.text, part) == NULL)
        printf ("# %d %s\n", result, error.text);
      fflush (stdout);
      _exit (result != 0 && strstr (error.text, part) != NULL ? 0 : 1);
    }
  int status = -1;
  waitpid (pid, &status, 0);
  return status == 0;
}

static void
test_start (void)
{
  CHECK (start_fails ("8589934592", "is not less than the 8.0 GiB of memory of this machine"));
  CHECK (start_fails ("9007199254740991", "give a smaller --reserve-bytes"));
  test_done ("a reserve of MemTotal and more: it does not start, and says what to give");
  write_meminfo ("MemTotal: 8388608 kB\nMemFree: 1 kB\n");
  CHECK (start_fails (RESERVE_BYTES, "cannot read MemTotal and MemAvailable"));
  test_done ("without MemAvailable from the start it does not call itself ready");
  set_available (4000);

  char path[96];
  snprintf (path, sizeof path, "%s/events.jsonl", log_dir);
  unlink (path);
  CHECK (mkdir (path, 0755) == 0); /* nothing can be written there */
  guard_begin_or_end (RESERVE_BYTES);
  CHECK (still_guards ("unlogged"));
  rmdir (path);
  report_sentence (&guard.scribe, "warning", NULL, "can be written again");
  CHECK (events ("can be written again") == 1);
  guard_stop (&guard);
  unlink (path);
  test_done ("an event log that cannot be opened keeps no guard from starting, and is written to once it can be");
}

int
main (void)
{
  directories_make ();
  test_start ();
  guard_begin_or_end (RESERVE_BYTES);
  test_wall_clock ();
  test_suspended ();
  test_registry ();
  test_reserve_of_container ();
  test_meminfo ();
  test_books ();
  guard_stop (&guard);
  directories_remove ();
  return check_done ();
}

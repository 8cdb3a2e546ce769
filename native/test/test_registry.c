/* Registry entries: round trip, atomic replacement, and everything a file there must not be able to do to a reader. */
#include "common/process.h"
#include "common/registry.h"

#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/spark-registry-XXXXXX";
static int fd;

static struct spark_container
sample (void)
{
  struct spark_container c = { .id = "a1", .name = "vllm", .request = "r-1", .engine = "docker", .pid = 42, .pid_start = 7,
                               .cgroup_v2 = "/sys/fs/cgroup/x", .budget_bytes = UINT64_C (42949672960), .priority = -5,
                               .ledger = "/run/spark-run/ledgers/a1", .created_ns = 99 };
  return c;
}

static int
parse (const char *text, struct spark_error *error)
{
  struct spark_container c;
  return spark_registry_parse (text, strlen (text), &c, error);
}

static void
put (const char *name, const char *text, size_t length)
{
  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/%s", directory, name);
  FILE *file = fopen (path, "w");
  fwrite (text, 1, length, file);
  fclose (file);
}

static void
test_round_trip (void)
{
  struct spark_container c = sample (), back;
  struct spark_error error = { 0 };
  CHECK (spark_registry_write (fd, &c, &error) == 0);
  CHECK (spark_registry_read (fd, "a1", &back, &error) == 0);
  CHECK (memcmp (&c, &back, sizeof c) == 0);
  struct stat status;
  CHECK (fstatat (fd, "a1", &status, 0) == 0 && (status.st_mode & 0777) == 0644);
  c.pgid = 77;
  memset (c.ledger, 'x', sizeof c.ledger - 1);
  c.ledger[0] = '/';
  memset (c.cgroup_memory, 'y', sizeof c.cgroup_memory - 1);
  c.cgroup_memory[0] = '/';
  CHECK (spark_registry_write (fd, &c, &error) == 0);
  CHECK (spark_registry_read (fd, "a1", &back, &error) == 0);
  CHECK (memcmp (&c, &back, sizeof c) == 0);
  test_done ("what is written is read again, the longest texts too");
  CHECK (spark_registry_remove (fd, "a1", &error) == 0);
  CHECK (spark_registry_remove (fd, "a1", &error) == 0);
  CHECK (spark_registry_read (fd, "a1", &back, &error) != 0);
  test_done ("a removed entry is gone, and removing it again is no error");
}

static void
test_refused_on_write (void)
{
  struct spark_error error;
  static const char *const bad_ids[] = { "", ".a", "a/b", "../a", "a b", "a\n", "ä" };
  for (size_t i = 0; i < sizeof bad_ids / sizeof bad_ids[0]; i++)
    {
      struct spark_container c = sample ();
      strcpy (c.id, bad_ids[i]);
      CHECK (!spark_id_valid (c.id));
      CHECK (spark_registry_write (fd, &c, &error) != 0);
    }
  struct spark_container c = sample ();
  strcpy (c.name, "a\nend=1");
  CHECK (spark_registry_write (fd, &c, &error) != 0);
  CHECK (strstr (error.text, "line break") != NULL);
  char longest[SPARK_ID_MAX + 2];
  memset (longest, 'a', sizeof longest);
  longest[SPARK_ID_MAX + 1] = '\0';
  CHECK (!spark_id_valid (longest));
  longest[SPARK_ID_MAX] = '\0';
  CHECK (spark_id_valid (longest));
  test_done ("an id that is no file name and a value that would be two lines are refused");

  static const struct {
    int priority;
    pid_t pid;
    const char *ledger, *said;
  } unreadable[] = {
    { 1001, 42, "", "priority=1001" },
    { -1001, 42, "", "priority=-1001" },
    { 0, -1, "", "pid=-1" },
    { 0, 42, "ledgers/b1", "ledger=ledgers/b1" },
    { 0, 42, "/run/../b1", "ledger=/run/../b1" },
  };
  for (size_t i = 0; i < sizeof unreadable / sizeof unreadable[0]; i++)
    {
      struct stat status;
      c = sample ();
      strcpy (c.id, "b1");
      strcpy (c.ledger, unreadable[i].ledger);
      c.priority = unreadable[i].priority;
      c.pid = unreadable[i].pid;
      CHECK (spark_registry_write (fd, &c, &error) != 0);
      CHECK (strstr (error.text, "b1 would not be readable") != NULL && strstr (error.text, unreadable[i].said) != NULL);
      CHECK (fstatat (fd, "b1", &status, 0) != 0 && fstatat (fd, ".b1.tmp", &status, 0) != 0);
    }
  test_done ("what a reader would refuse is not written");
}

static void
test_parse_table (void)
{
  static const struct {
    const char *text;
    int good;
  } table[] = {
    { "version=1\nbudget_bytes=1\nid=a\nend=1\n", 1 },
    { "version=1\nbudget_bytes=1\nid=a\nlater=thing\n\nend=1\n", 1 },
    { "version=1\nid=a\nend=1\n", 0 }, /* without a budget */
    { "version=1\nid=a\nbudget_bytes=0\nend=1\n", 1 },
    { "end=1\n", 0 },
    { "", 0 },
    { "version=1\nbudget_bytes=1\nid=a\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\nend=1", 0 }, /* cut off in its last line */
    { "version=1\nbudget_bytes=1\nid=a\nend=0\n", 0 },
    { "version=2\nid=a\nend=1\n", 0 },
    { "version=1\nend=1\n", 0 },
    { "id=a\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=.a\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a/b\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\npid=-1\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\npid=99999999999\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\npid=1x\nend=1\n", 0 },
    { "version=1\nid=a\nbudget_bytes=18446744073709551615\nend=1\n", 1 },
    { "version=1\nid=a\nbudget_bytes=18446744073709551616\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\npriority=1001\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\npriority=-1000\nend=1\n", 1 },
    { "version=1\nbudget_bytes=1\nid=a\ncgroup_v2=relative\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\ncgroup_v2=/\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\ncgroup_v2=/sys/../..\nend=1\n", 0 },
    { "version=1\nbudget_bytes=1\nid=a\ncgroup_v2=/sys/..x\nend=1\n", 1 },
    { "version=1\nbudget_bytes=1\nid=a\nnonsense\nend=1\n", 0 },
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    {
      struct spark_error error = { 0 };
      int result = parse (table[i].text, &error);
      if ((result == 0) != table[i].good)
        printf ("# case %zu gave %d (%s)\n", i, result, error.text);
      CHECK ((result == 0) == table[i].good);
      CHECK (result == 0 || error.text[0] != '\0');
    }
  struct spark_container c;
  CHECK (spark_registry_parse ("version=1\nbudget_bytes=1\nid=a\0b\nend=1\n", 38, &c, NULL) != 0);
  test_done ("a table of good and bad entries");

  /* Every truncation and every single-byte change of a good entry: no crash, and no id out of thin air. */
  const char good[] = "version=1\nid=abc\npid=1\nbudget_bytes=5\npriority=-3\ncgroup_memory=/sys/fs/cgroup/memory/abc\nend=1\n";
  char copy[sizeof good];
  for (size_t length = 0; length < sizeof good - 1; length++)
    {
      /* On the heap, so that reading past the end is seen. */
      char *cut = malloc (length + 1);
      memcpy (cut, good, length);
      char *exact = malloc (length > 0 ? length : 1);
      memcpy (exact, cut, length);
      CHECK (spark_registry_parse (exact, length, &c, NULL) != 0);
      free (exact);
      free (cut);
    }
  for (size_t at = 0; at < sizeof good - 1; at++)
    for (int byte = 0; byte < 256; byte++)
      {
        memcpy (copy, good, sizeof good);
        copy[at] = (char) byte;
        if (spark_registry_parse (copy, sizeof good - 1, &c, NULL) == 0)
          CHECK (spark_id_valid (c.id));
      }
  test_done ("every truncation is refused, and no changed byte crashes the parser");
}

static int
count (const struct spark_container *c, void *data)
{
  CHECK (spark_id_valid (c->id));
  ++*(int *) data;
  return 0;
}

static int
stop_at_once (const struct spark_container *c, void *data)
{
  (void) c, (void) data;
  return 7;
}

static void
test_strange_files (void)
{
  struct spark_container c = sample (), back;
  struct spark_error error;
  char path[PATH_MAX], huge[SPARK_REGISTRY_FILE_MAX + 10];
  memset (huge, '\n', sizeof huge);
  memcpy (huge, "version=1\nid=huge\nend=1\n", 24);
  CHECK (spark_registry_write (fd, &c, &error) == 0);
  put ("huge", huge, sizeof huge);
  put ("other", "version=1\nid=a1\nend=1\n", 22);
  put ("torn", "version=1\nid=torn\n", 18);
  put (".a2.tmp", "version=1\nid=a2\nend=1\n", 22);
  snprintf (path, sizeof path, "%s/link", directory);
  CHECK (symlink ("a1", path) == 0);
  snprintf (path, sizeof path, "%s/fifo", directory);
  CHECK (mkfifo (path, 0644) == 0);
  snprintf (path, sizeof path, "%s/dir", directory);
  CHECK (mkdir (path, 0755) == 0);
  static const char *const strange[] = { "huge", "other", "torn", "link", "fifo", "dir", "missing", "..", ".a2.tmp" };
  for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++)
    CHECK (spark_registry_read (fd, strange[i], &back, &error) != 0);
  int entries = 0;
  CHECK (spark_registry_each (fd, count, &entries) == 0);
  CHECK (entries == 1);
  CHECK (spark_registry_each (fd, count, &entries) == 0);
  CHECK (entries == 2);
  CHECK (spark_registry_each (fd, stop_at_once, NULL) == 7);
  test_done ("too long, of another id, torn, a link, a fifo, a directory: each is passed over without waiting");
}

static void
test_live (void)
{
  struct spark_container c = { .id = "p" };
  c.pid = getpid ();
  CHECK (spark_process_start ("/proc", c.pid, &c.pid_start) == 0);
  CHECK (spark_container_live (&c, "/proc"));
  c.pid_start++;
  CHECK (!spark_container_live (&c, "/proc"));
  pid_t child = fork ();
  if (child == 0)
    _exit (0);
  siginfo_t info;
  waitid (P_PID, (id_t) child, &info, WEXITED | WNOWAIT);
  uint64_t start;
  CHECK (spark_process_start ("/proc", child, &start) != 0);
  waitpid (child, NULL, 0);
  CHECK (spark_process_start ("/proc", child, &start) != 0);
  test_done ("a process lives; one with another start time, a zombie and a reaped one do not");

  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/dir/cgroup.procs", directory);
  snprintf (c.cgroup_memory, sizeof c.cgroup_memory, "%s/dir", directory);
  CHECK (!spark_container_live (&c, "/proc"));
  put ("dir/cgroup.procs", "12\n", 3);
  CHECK (spark_container_live (&c, "/proc"));
  put ("dir/cgroup.events", "populated 0\nfrozen 0\n", 21);
  CHECK (!spark_container_live (&c, "/proc"));
  put ("dir/cgroup.events", "populated 1\nfrozen 0\n", 21);
  CHECK (spark_container_live (&c, "/proc"));
  test_done ("a cgroup with processes keeps an entry alive");

  spark_container_note_cgroups (&c);
  CHECK (c.cgroup_memory_id != 0 && c.cgroup_v2_id == 0 && spark_container_live (&c, "/proc"));
  CHECK (spark_registry_write (fd, &c, NULL) == 0);
  struct spark_container back;
  CHECK (spark_registry_read (fd, "p", &back, NULL) == 0 && back.cgroup_memory_id == c.cgroup_memory_id && back.cgroup_freezer_id == 0);
  /* Removed, and made anew by somebody else. */
  char moved[PATH_MAX];
  snprintf (path, sizeof path, "%s/dir", directory);
  snprintf (moved, sizeof moved, "%s/moved", directory);
  CHECK (rename (path, moved) == 0 && mkdir (path, 0755) == 0);
  put ("dir/cgroup.procs", "12\n", 3);
  CHECK (!spark_container_live (&c, "/proc"));
  c.cgroup_memory_id = 0;
  CHECK (spark_container_live (&c, "/proc"));
  test_done ("another cgroup of the same path does not; an entry that does not say which one it was is believed by its path");
}

int
main (void)
{
  fd = mkdtemp (directory) != NULL ? open (directory, O_RDONLY | O_DIRECTORY) : -1;
  CHECK (fd >= 0);
  test_round_trip ();
  test_refused_on_write ();
  test_parse_table ();
  test_strange_files ();
  test_live ();
  close (fd);
  char command[PATH_MAX];
  snprintf (command, sizeof command, "rm -rf '%s'", directory);
  CHECK (system (command) == 0);
  return check_done ();
}

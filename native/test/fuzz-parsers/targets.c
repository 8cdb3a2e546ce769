/* Everything that reads what others wrote, one text at a time: registry, ledger, kernel's files, sizes. */
#include "targets.h"

#include "common/cgroup_path.h"
#include "common/cleanup.h"
#include "common/guard_presence.h"
#include "common/ledger.h"
#include "common/meminfo.h"
#include "common/process.h"
#include "common/registry.h"
#include "common/size.h"
#include "guard/entry.h"
#include "guard/huge_pages.h"
#include "guard/intent.h"
#include "guard/proc_file.h"
#include "guard/usage.h"
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A directory that stands for /proc, for a cgroup and for the run directory; removed at the end. */
static char directory[] = "/dev/shm/spark-fuzz-parsers.XXXXXX";
static int directory_fd = -1;
static const char *const names[] = { "self/mountinfo", "self/stat", "1/cgroup", "1/stat", "1/status", "cgroup.procs", "hugetlb.2MB.current",
                                     "guard.lock", "guard.state", INTENT_FILE, "1", "self" };

static void
directory_remove (void)
{
  char path[96];

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    {
      snprintf (path, sizeof path, "%s/%s", directory, names[i]);
      remove (path);
    }
  remove (directory);
}

static void
directory_make (void)
{
  if (directory_fd >= 0)
    return;
  ALWAYS (mkdtemp (directory) != NULL);
  directory_fd = open (directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ALWAYS (directory_fd >= 0 && mkdirat (directory_fd, "1", 0755) == 0 && mkdirat (directory_fd, "self", 0755) == 0);
  atexit (directory_remove);
}

static void
put (const char *name, const char *text, size_t length)
{
  cleanup_close int fd = openat (directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  ALWAYS (fd >= 0 && write (fd, text, length) == (ssize_t) length);
}

int
memory_file (const char *text, size_t length)
{
  int fd = memfd_create ("input", MFD_CLOEXEC);

  ALWAYS (fd >= 0 && write (fd, text, length) == (ssize_t) length && lseek (fd, 0, SEEK_SET) == 0);
  return fd;
}

const char *
memory_path (int fd, char path[64])
{
  snprintf (path, 64, "/proc/self/fd/%d", fd);
  return path;
}

/* --- registry ------------------------------------------------------------------------------------------------------ */

static void
path_is_safe (const char *path)
{
  ALWAYS (path[0] == '\0' || (path[0] == '/' && path[1] != '\0' && strstr (path, "/../") == NULL));
  ALWAYS (strchr (path, '\n') == NULL);
}

static bool
same_entry (const struct spark_container *a, const struct spark_container *b)
{
  return strcmp (a->id, b->id) == 0 && strcmp (a->name, b->name) == 0 && strcmp (a->request, b->request) == 0
         && strcmp (a->engine, b->engine) == 0 && a->pid == b->pid && a->pid_start == b->pid_start && a->pgid == b->pgid
         && strcmp (a->cgroup_v2, b->cgroup_v2) == 0 && strcmp (a->cgroup_memory, b->cgroup_memory) == 0
         && strcmp (a->cgroup_freezer, b->cgroup_freezer) == 0 && a->budget_bytes == b->budget_bytes
         && a->reserve_bytes == b->reserve_bytes && a->priority == b->priority && strcmp (a->ledger, b->ledger) == 0
         && a->created_ns == b->created_ns && a->cgroup_v2_id == b->cgroup_v2_id && a->cgroup_memory_id == b->cgroup_memory_id
         && a->cgroup_freezer_id == b->cgroup_freezer_id;
}

/* What was read can be written, and reads the same again. */
static void
target_registry (const char *text, size_t length)
{
  struct spark_container first, again;
  struct spark_error error;

  memset (&first, 0x55, sizeof first);
  if (spark_registry_parse (text, length, &first, &error) != 0)
    {
      ALWAYS (error.text[0] != '\0' && strlen (error.text) < sizeof error.text && strchr (error.text, '\n') == NULL);
      return;
    }
  ALWAYS (spark_id_valid (first.id) && first.pid >= 0 && first.pgid >= 0 && first.priority >= -1000 && first.priority <= 1000);
  path_is_safe (first.cgroup_v2);
  path_is_safe (first.cgroup_memory);
  path_is_safe (first.cgroup_freezer);
  path_is_safe (first.ledger);
  directory_make ();
  if (spark_registry_write (directory_fd, &first, &error) == 0)
    {
      ALWAYS (spark_registry_read (directory_fd, first.id, &again, &error) == 0 && same_entry (&first, &again));
      unlinkat (directory_fd, first.id, 0);
    }
}

/* --- ledger -------------------------------------------------------------------------------------------------------- */

/* The input is the header and the first slots; a file of holes follows it, as long as it says itself in its last two bytes. */
static void
target_ledger (const char *text, size_t length)
{
  struct spark_ledger_view view = { .peak_bytes = 77 };
  size_t more = length >= 2 ? ((size_t) (unsigned char) text[length - 1] << 11) | (unsigned char) text[length - 2] : 0;
  cleanup_close int fd = memory_file (text, length);

  ALWAYS (ftruncate (fd, (off_t) (length + more)) == 0);
  if (spark_ledger_peek (fd, &view) != 0)
    ALWAYS (view.peak_bytes == 77); /* untouched */
}

/* --- the kernel's files -------------------------------------------------------------------------------------------- */

static void
target_meminfo (const char *text, size_t length)
{
  struct spark_meminfo all, less;
  cleanup_close int fd = memory_file (text, length);
  int result = spark_meminfo_read (fd, 0, &all);

  usage_hidden_bytes (&(struct usage_books){ fd, fd, fd });
  ALWAYS (spark_meminfo_read (fd, UINT64_C (1) << 30, &less) == result);
  if (result == 0)
    ALWAYS (less.available_bytes <= all.available_bytes && less.total_bytes <= all.total_bytes);
}

static void
target_memory_stat (const char *text, size_t length)
{
  char copy[8192];
  cleanup_close int fd = memory_file (text, length);

  if (proc_file_read (fd, copy, sizeof copy, 0) < 0)
    return;
  usage_from_memory_stat (copy, 0);
  usage_from_memory_stat (copy, 1);
}

static int
pid_is_one (pid_t pid, void *data)
{
  char digits[16];

  /* A number that the list does not hold must not come out of it: it would be killed. */
  snprintf (digits, sizeof digits, "%d", (int) pid);
  ALWAYS (pid > 0 && strstr (data, digits) != NULL);
  return 0;
}

static void
target_procs (const char *text, size_t length)
{
  directory_make ();
  put ("cgroup.procs", text, length);
  if (memchr (text, '\0', length) != NULL)
    return;
  /* Leading zeros are the only way to spell a number otherwise, and blanks and signs to hide it: none of them matter here. */
  proc_file_each_pid (directory_fd, pid_is_one, (void *) (uintptr_t) text);
}

static void
target_huge (const char *text, size_t length)
{
  int fds[HUGE_SIZES];

  directory_make ();
  put ("hugetlb.2MB.current", text, length);
  unsigned count = huge_pages_open (directory_fd, fds);
  huge_pages_read (fds, count);
  for (unsigned i = 0; i < count; i++)
    close (fds[i]);
}

static void
target_stat (const char *text, size_t length)
{
  char copy[1024];
  uint64_t start;

  directory_make ();
  put ("1/stat", text, length);
  spark_process_start (directory, 1, &start);
  if (proc_file_of_pid (directory, 1, "stat", copy, sizeof copy) > 0)
    for (unsigned field = 3; field < 60; field++)
      proc_stat_field (copy, field);
}

/* Through the door that the guard uses: the init of a container, with /proc and /proc/<pid>/status from the input. */
static void
target_status (const char *text, size_t length)
{
  struct spark_container container = { .pid = 1, .id = "fuzz", .pid_start = 7 };
  const struct entry_place place = { directory, directory, false };
  struct entry entry;
  struct spark_error note;
  static const char stat[] = "1 (x) S 0 0 0 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 7 0\n";

  directory_make ();
  put ("1/stat", stat, sizeof stat - 1);
  put ("1/status", text, length);
  if (entry_open (&entry, &container, &place, &note) == 0)
    {
      unsigned turn = 0;
      usage_refresh (&entry, 1, &turn, directory, &(struct usage_host){ UINT64_MAX, UINT64_MAX }, 0);
      entry_close (&entry);
    }
}

/* Two files with a zero byte between them. */
static void
target_cgroup (const char *text, size_t length)
{
  struct spark_cgroup_paths paths;
  struct spark_error error;
  const char *second = memchr (text, '\0', length);
  size_t first_length = second != NULL ? (size_t) (second - text) : length;
  bool swap;

  directory_make ();
  put ("1/cgroup", text, first_length);
  put ("self/mountinfo", second != NULL ? second + 1 : "", second != NULL ? length - first_length - 1 : 0);
  spark_memory_controller (directory, &swap);
  if (spark_cgroup_paths (directory, 1, &paths, &error) != 0)
    return;
  ALWAYS (strlen (paths.v2) < sizeof paths.v2 && strlen (paths.memory) < sizeof paths.memory && strlen (paths.freezer) < sizeof paths.freezer);
  ALWAYS (strstr (paths.v2, "/../") == NULL || strstr (text, "..") == NULL);
  spark_cgroup_paths_without (directory, 1, &paths);
  ALWAYS (paths.v2[0] == '\0' && paths.memory[0] == '\0'); /* a process is never without itself */
}

/* --- texts that people write --------------------------------------------------------------------------------------- */

static void
target_state (const char *text, size_t length)
{
  directory_make ();
  put ("guard.state", text, length);
  put ("guard.lock", "", 0);
  cleanup_close int lock = openat (directory_fd, "guard.lock", O_RDWR | O_CLOEXEC);
  ALWAYS (flock (lock, LOCK_EX) == 0 && spark_guard_presence (directory).running);
}

/* The guard's note to the next one. */
static void
target_intent (const char *text, size_t length)
{
  struct intent found;

  directory_make ();
  put (INTENT_FILE, text, length);
  int fd = intent_open (directory_fd, &found); /* where there is no boot_id */
  ALWAYS (fd >= 0 && found.state <= INTENT_OVER && memchr (found.record.sentence, '\0', sizeof found.record.sentence) != NULL);
  ALWAYS (found.state == INTENT_NONE || spark_id_valid (found.record.id));
  close (fd);
}

static void
target_size (const char *text, size_t length)
{
  uint64_t bytes = 0;
  struct spark_error error;
  char printed[24];

  (void) length;
  if (spark_size_parse (text, 1 << 30, UINT64_C (128) << 30, &bytes, &error) != 0)
    return;
  spark_size_format (bytes, printed, sizeof printed);
  ALWAYS (strlen (printed) < 16); /* what it promises */
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const struct {
    char letter;
    void (*parse) (const char *text, size_t length);
  } targets[] = { { 'r', target_registry }, { 'l', target_ledger }, { 'm', target_meminfo }, { 's', target_memory_stat },
                  { 'p', target_procs },    { 'h', target_huge },   { 't', target_stat },    { 'u', target_status },
                  { 'c', target_cgroup },   { 'g', target_state },  { 'b', target_size },    { 'j', target_plan },
                  { 'o', target_config },   { 'w', target_request },  { 'i', target_intent } };

  for (size_t i = 0; size > 0 && i < sizeof targets / sizeof targets[0]; i++)
    if (data[0] == targets[i].letter)
      {
        /* In memory of its own, so that one byte too far is seen. */
        cleanup_free char *text = malloc (size);
        ALWAYS (text != NULL);
        memcpy (text, data + 1, size - 1);
        text[size - 1] = '\0';
        targets[i].parse (text, size - 1);
      }
  return 0;
}

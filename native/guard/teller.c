#include "guard/teller.h"

#include "common/cleanup.h"
#include "common/registry.h"
#include "common/write_all.h"
#include "guard/intent.h"
#include "guard/scribe.h"
#include "guard/scribe_child.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In one go; each costs a look at all of them, and only a directory from before this rule has more than one too many. */
enum { REMOVALS_MAX = 16 };

/* The child's own: a copy from the fork. */
static char message[SCRIBE_MESSAGE_MAX];

/* systemd.exec(5): the device and inode of the stream that leads to the journal. It takes "<level>" before a line (sd-daemon(3)). */
static bool
stderr_is_journal (void)
{
  const char *stream = getenv ("JOURNAL_STREAM");
  unsigned long long device, inode;
  struct stat status;

  return stream != NULL && sscanf (stream, "%llu:%llu", &device, &inode) == 2 && fstat (STDERR_FILENO, &status) == 0
         && status.st_dev == device && status.st_ino == inode;
}

/* The text is `<level>line`. */
static void
say_log (const char *text, size_t length, bool to_journal)
{
  const char *line = memchr (text, '>', length);

  if (line == NULL || to_journal)
    child_say (text, length);
  else
    child_say (line + 1, length - (size_t) (line + 1 - text));
}

static bool
is_tombstone (const char *name)
{
  const char *dot = strrchr (name, '.');

  return name[0] != '.' && dot != NULL && strcmp (dot, ".json") == 0;
}

/* Removes the oldest tombstone if there are more than `kept`, never `except`. True if there may be another one. */
static bool
remove_oldest (int directory, unsigned kept, const char *except)
{
  char oldest[NAME_MAX + 1] = "";
  struct timespec oldest_time = { 0 };
  struct stat status;
  unsigned count = 0;

  int fd = openat (directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cleanup_dir DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  for (struct dirent *entry; dir != NULL && (entry = readdir (dir)) != NULL;)
    {
      if (!is_tombstone (entry->d_name) || fstatat (directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        continue;
      count++;
      if (strcmp (entry->d_name, except) == 0)
        continue;
      if (oldest[0] == '\0' || status.st_mtim.tv_sec < oldest_time.tv_sec
          || (status.st_mtim.tv_sec == oldest_time.tv_sec && status.st_mtim.tv_nsec < oldest_time.tv_nsec))
        {
          oldest_time = status.st_mtim;
          snprintf (oldest, sizeof oldest, "%s", entry->d_name);
        }
    }
  return count > kept && oldest[0] != '\0' && unlinkat (directory, oldest, 0) == 0;
}

/* A new file, whole or not at all; false with errno. */
static bool
write_file (int directory, const char *name, const char *text, size_t length)
{
  unlinkat (directory, name, 0);
  cleanup_close int fd = openat (directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return false;
  if (spark_write_all (fd, text, length))
    return true;
  int status = errno;
  unlinkat (directory, name, 0);
  errno = status;
  return false;
}

/* The text is `<id>\n<json>`. True if it is written. The directory is opened each time: somebody may have removed and made it anew. */
static bool
write_tombstone (int run_fd, char *text, size_t length)
{
  char name[SPARK_ID_MAX + 16], temporary[SPARK_ID_MAX + 16];
  char *json = memchr (text, '\n', length);

  if (json == NULL)
    return false;
  *json++ = '\0';
  if (!spark_id_valid (text))
    return false;
  snprintf (name, sizeof name, "%.*s.json", SPARK_ID_MAX, text);
  snprintf (temporary, sizeof temporary, ".%.*s.json", SPARK_ID_MAX, text);
  mkdirat (run_fd, "tombstones", 0755);
  cleanup_close int directory = openat (run_fd, "tombstones", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (directory < 0)
    {
      child_say_trouble ("tombstones/", "kills have no tombstones, and nothing cools down");
      return false;
    }
  bool written = write_file (directory, temporary, json, length - (size_t) (json - text));
  /* /run may be full: the last death is of more use than older ones. */
  int status = errno;
  for (int i = 0; i < REMOVALS_MAX && !written && status == ENOSPC && remove_oldest (directory, 0, name); i++)
    written = write_file (directory, temporary, json, length - (size_t) (json - text));
  if (!written)
    {
      errno = status;
      child_say_trouble (name, "this kill has no tombstone, or an older one");
      return false;
    }
  bool named = renameat (directory, temporary, directory, name) == 0;
  for (int i = 0; i < REMOVALS_MAX && remove_oldest (directory, SCRIBE_TOMBSTONES_KEPT, name); i++)
    continue;
  return named;
}

static void
work (int socket_fd, const int *fds)
{
  const int run_fd = fds[0];
  const bool to_journal = stderr_is_journal ();
  cleanup_close int lock_fd = child_wait_for_the_one_before (run_fd, "tombstones.lock");
  cleanup_close int intent_fd = openat (run_fd, INTENT_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

  for (size_t length; (length = child_receive (socket_fd, message, sizeof message)) > 0;)
    {
      char *text = message + 1;
      size_t text_length = length - 1;
      if (message[0] == TELLER_LOG)
        {
          say_log (text, text_length, to_journal);
          continue;
        }
      uint64_t killed_ns = child_take_number (&text, &text_length);
      if (write_tombstone (run_fd, text, text_length))
        intent_tell (intent_fd, INTENT_STONE_AT, killed_ns);
    }
}

int
teller_start (struct helper *teller, int run_fd, struct spark_error *error)
{
  return helper_start (teller, "spark-teller", &run_fd, 1, work, error);
}

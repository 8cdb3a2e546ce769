/* The registry's directory: watched, read as a whole, and made anew where somebody took it away. */
#include "guard/table_parts.h"

#include "common/cleanup.h"
#include "common/private_file.h"
#include "common/same_file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

/* Any name that cannot be an id is a temporary file or foreign. */
static void
take_in_all (struct table *table)
{
  _Alignas (struct dirent64) char entries[4096];
  cleanup_close int fd = openat (table->registry_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ssize_t length;

  while (fd >= 0 && (length = getdents64 (fd, entries, sizeof entries)) > 0)
    for (ssize_t at = 0; at < length;)
      {
        const struct dirent64 *entry = (const struct dirent64 *) (entries + at);
        at += entry->d_reclen;
        if (spark_id_valid (entry->d_name))
          table_take_in (table, entry->d_name, false);
      }
}

static void
drop_if_removed (struct table *table, struct entry *entry)
{
  struct stat status;

  if (!entry->dying && fstatat (table->registry_fd, entry->id, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
    table_drop (table, entry);
}

static void
scan (struct table *table)
{
  take_in_all (table);
  for (unsigned i = 0; i < table->count; i++)
    if (table->entries[i].used)
      drop_if_removed (table, &table->entries[i]);
}

/* --- the directory itself ------------------------------------------------------------------------------------------ */

static int
watch (struct table *table, int fd, uint32_t mask)
{
  char path[320];

  snprintf (path, sizeof path, "%s/self/fd/%d", table->place.proc_dir, fd);
  return inotify_add_watch (table->inotify_fd, path, mask | IN_ONLYDIR);
}

/* Makes the directories that are missing, opens them and watches the registry. -1 with errno. */
static int
open_registry (struct table *table)
{
  mkdirat (table->run_fd, "containers", 0755);
  mkdirat (table->run_fd, "tombstones", 0755);
  table->registry_fd = openat (table->run_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  table->ledgers_fd = spark_private_directory_open (table->run_fd, "ledgers");
  table->sweep.fd = openat (table->run_fd, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  table->sweep.length = table->sweep.at = 0;
  if (table->registry_fd < 0 || table->sweep.fd < 0)
    return -1;
  table->registry_watch = watch (table, table->registry_fd, IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM);
  return table->registry_watch < 0 ? -1 : 0;
}

static void
close_registry (struct table *table)
{
  /* Fails where the kernel has dropped it with the directory. */
  inotify_rm_watch (table->inotify_fd, table->registry_watch);
  int fds[] = { table->registry_fd, table->ledgers_fd, table->sweep.fd };
  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
    if (fds[i] >= 0)
      close (fds[i]);
  table->registry_fd = table->ledgers_fd = table->sweep.fd = table->registry_watch = -1;
}

static void
check_registry (struct table *table)
{
  /* One that is open but not watched (no more watches were to be had) would be deaf for good. */
  if (table->registry_watch >= 0 && spark_leads_to (table->run_fd, "containers", 0, table->registry_fd))
    return;
  close_registry (table);
  if (open_registry (table) != 0)
    return; /* tried again with the next check, which is soon */
  table_tell (table, TABLE_WARNING, NULL,
        "the registry of containers was removed or moved away under the guard: it was made and read anew");
  scan (table);
}

int
table_check (struct table *table, const char *run_dir)
{
  if (!spark_leads_to (AT_FDCWD, run_dir, 0, table->run_fd))
    return -1;
  check_registry (table);
  return 0;
}

/* A file is read when it is written; what is made in place and is no file will never say more. */
static bool
is_file (const struct table *table, const char *name)
{
  struct stat status;

  return fstatat (table->registry_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || S_ISREG (status.st_mode);
}

void
table_sync (struct table *table)
{
  _Alignas (struct inotify_event) char events[4096];
  ssize_t length;

  while ((length = read (table->inotify_fd, events, sizeof events)) > 0)
    for (ssize_t at = 0; at < length;)
      {
        const struct inotify_event *event = (const struct inotify_event *) (events + at);
        at += (ssize_t) (sizeof *event + event->len);
        if ((event->mask & IN_Q_OVERFLOW) != 0)
          {
            check_registry (table);
            scan (table);
          }
        else if (event->wd == table->run_watch)
          {
            if (event->len > 0 && strcmp (event->name, "containers") == 0)
              check_registry (table);
          }
        else if (event->wd != table->registry_watch)
          continue; /* the word of a directory that is ours no more */
        else if (event->len == 0 || !spark_id_valid (event->name))
          continue;
        else if ((event->mask & (IN_DELETE | IN_MOVED_FROM)) != 0)
          {
            struct entry *entry = table_find (table, event->name);
            if (entry != NULL)
              drop_if_removed (table, entry);
          }
        else if ((event->mask & IN_CREATE) == 0 || !is_file (table, event->name))
          table_take_in (table, event->name, false);
      }
}

int
table_open (struct table *table, int run_fd, const struct entry_place *place, const struct table_listener *listener,
            struct spark_error *error)
{
  memset (table, 0, sizeof *table);
  table->place = *place;
  table->listener = *listener;
  table->run_fd = run_fd;
  table->registry_fd = table->ledgers_fd = table->sweep.fd = -1;
  table->inotify_fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  if (table->inotify_fd < 0)
    return spark_fail (error, errno, "cannot watch the registry of containers");
  table->admission_fd = spark_private_lock_open (run_fd, "admission.lock");
  table->run_watch = watch (table, run_fd, IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
  if (table->admission_fd < 0 || table->run_watch < 0 || open_registry (table) != 0)
    return spark_fail (error, errno, "cannot open and watch the registry of containers in the run directory");
  /* The watch came first: what is registered during this scan is seen by one of the two. */
  scan (table);
  return 0;
}

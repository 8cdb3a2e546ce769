#include "guard/table.h"

#include "common/cleanup.h"
#include "common/private_file.h"
#include "guard/clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>

static void
tell (struct table *table, enum table_news news, const struct entry *entry, const char *sentence)
{
  if (table->listener.tell != NULL)
    table->listener.tell (news, entry, sentence, table->listener.data);
}

/* The entry of this name; one that is dying by our hand is not meant any more: its name may have a new container. */
static struct entry *
find (struct table *table, const char *id)
{
  for (unsigned i = 0; i < table->count; i++)
    if (table->entries[i].used && !table->entries[i].dying && strcmp (table->entries[i].id, id) == 0)
      return &table->entries[i];
  return NULL;
}

static struct entry *
find_free (struct table *table)
{
  for (unsigned i = 0; i < TABLE_MAX; i++)
    if (!table->entries[i].used)
      {
        if (i >= table->count)
          table->count = i + 1;
        return &table->entries[i];
      }
  return NULL;
}

static void
drop (struct table *table, struct entry *entry)
{
  if (entry->kill_by != KILL_BY_NOTHING)
    tell (table, TABLE_UNREGISTERED, entry, "");
  entry_close (entry);
}

/* A file that was reported is not reported again until it is written anew. */
static bool
report_once (struct table *table, const char *name)
{
  struct stat status;
  struct bad_file bad = { 0 };

  if (fstatat (table->registry_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
    return false; /* gone again while it was read */
  memcpy (bad.name, name, strnlen (name, sizeof bad.name - 1));
  bad.mtime_ns = (uint64_t) status.st_ctim.tv_sec * NS_PER_SECOND + (uint64_t) status.st_ctim.tv_nsec;
  for (size_t i = 0; i < sizeof table->bad / sizeof table->bad[0]; i++)
    if (memcmp (&table->bad[i], &bad, sizeof bad) == 0)
      return false;
  table->bad[table->bad_next++ % (sizeof table->bad / sizeof table->bad[0])] = bad;
  return true;
}

static bool
same_container (const struct entry *entry, const struct spark_container *c)
{
  return entry->pid == c->pid && entry->pid_start == c->pid_start && entry->created_ns == c->created_ns;
}

static bool
is_dying (const struct table *table, const struct spark_container *c)
{
  for (unsigned i = 0; i < table->count; i++)
    if (table->entries[i].used && table->entries[i].dying && same_container (&table->entries[i], c))
      return true;
  return false;
}

/* Reads one registry file into the table. */
static void
take_in (struct table *table, const char *id)
{
  struct spark_container container;
  struct spark_error error;
  struct entry *entry = find (table, id), fresh;

  if (spark_registry_read (table->registry_fd, id, &container, &error) != 0)
    {
      if (report_once (table, id))
        {
          char sentence[sizeof error.text + SPARK_ID_MAX + 64];
          snprintf (sentence, sizeof sentence, "the registry file %s is ignored%s: %s", id,
                    entry != NULL ? ", the container is guarded by what it said before" : "", error.text);
          tell (table, TABLE_WARNING, entry, sentence);
        }
      return;
    }
  if (is_dying (table, &container))
    return;
  if (entry != NULL && same_container (entry, &container))
    {
      entry->budget_bytes = container.budget_bytes;
      entry->priority = container.priority;
      if (entry->reserve_bytes != container.reserve_bytes)
        entry->reserve_armed = false;
      entry->reserve_bytes = container.reserve_bytes;
      return;
    }
  if (entry_open (&fresh, &container, &table->place, &error) != 0)
    {
      /* One that died before we looked has no note: that is ordinary, and the sweep removes its file. */
      if (error.text[0] != '\0' && report_once (table, id))
        tell (table, TABLE_WARNING, NULL, error.text);
      return;
    }
  if (entry != NULL)
    entry_close (entry);
  else if ((entry = find_free (table)) == NULL)
    {
      entry_close (&fresh);
      if (report_once (table, id))
        tell (table, TABLE_WARNING, NULL, "more than 256 containers are registered: the guard does not know the newest ones");
      return;
    }
  *entry = fresh;
  if (error.text[0] != '\0')
    tell (table, TABLE_WARNING, entry, error.text);
  /* One that cannot be killed is a promise: admission has its budget, its hook comes with its cgroup. */
  if (entry->kill_by != KILL_BY_NOTHING)
    tell (table, TABLE_REGISTERED, entry, "");
}

/* Calls `each` for the names in the registry that can be ids; any other name is a temporary file or foreign. */
static void
each_name (struct table *table, void (*each) (struct table *, const char *))
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
          each (table, entry->d_name);
      }
}

static void
drop_if_removed (struct table *table, struct entry *entry)
{
  struct stat status;

  if (!entry->dying && fstatat (table->registry_fd, entry->id, &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
    drop (table, entry);
}

static void
scan (struct table *table)
{
  each_name (table, take_in);
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
  if (table->registry_fd < 0)
    return -1;
  table->registry_watch = watch (table, table->registry_fd, IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM);
  return table->registry_watch < 0 ? -1 : 0;
}

static void
close_registry (struct table *table)
{
  /* Fails where the kernel has dropped it with the directory. */
  inotify_rm_watch (table->inotify_fd, table->registry_watch);
  int fds[] = { table->registry_fd, table->ledgers_fd };
  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
    if (fds[i] >= 0)
      close (fds[i]);
  table->registry_fd = table->ledgers_fd = table->registry_watch = -1;
}

/* True if `name` still leads to the directory that is open as `fd`. */
static bool
leads_to (int at_fd, const char *name, int fd)
{
  struct stat named, held;

  return fstatat (at_fd, name, &named, 0) == 0 && fstat (fd, &held) == 0 && named.st_dev == held.st_dev
         && named.st_ino == held.st_ino;
}

/* An open directory gets no word of its own removal: its name is looked at. */
static void
check_registry (struct table *table)
{
  if (table->registry_fd >= 0 && leads_to (table->run_fd, "containers", table->registry_fd))
    return;
  close_registry (table);
  if (open_registry (table) != 0)
    return; /* tried again with the next check, which is soon */
  tell (table, TABLE_WARNING, NULL,
        "the registry of containers was removed or moved away under the guard: it was made and read anew");
  scan (table);
}

int
table_check (struct table *table, const char *run_dir)
{
  if (!leads_to (AT_FDCWD, run_dir, table->run_fd))
    return -1;
  check_registry (table);
  return 0;
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
            struct entry *entry = find (table, event->name);
            if (entry != NULL)
              drop_if_removed (table, entry);
          }
        else
          take_in (table, event->name);
      }
}

/* --- the dead ------------------------------------------------------------------------------------------------------ */

/* A container that is started a second time is admitted, with its new ledger, before its old entry may be gone. */
static bool
admitted_again (const struct table *table, const char *id)
{
  char path[SPARK_ID_MAX + 16];

  snprintf (path, sizeof path, "../admitted/%s", id);
  return faccessat (table->registry_fd, path, F_OK, 0) == 0;
}

/* Removes what a dead container left, unless a new one took its name: judged and removed under the lock that admission
   writes under, and only if that is free now. */
static void
remove_files (struct table *table, const char *id, const struct entry *known)
{
  struct spark_container container;
  struct spark_error error;

  if (flock (table->admission_fd, LOCK_EX | LOCK_NB) != 0)
    return;
  if (spark_registry_read (table->registry_fd, id, &container, &error) == 0
      && (known == NULL || same_container (known, &container)) && !spark_container_live (&container, table->place.proc_dir)
      && spark_registry_remove (table->registry_fd, id, &error) == 0 && table->ledgers_fd >= 0 && !admitted_again (table, id))
    unlinkat (table->ledgers_fd, id, 0);
  flock (table->admission_fd, LOCK_UN);
}

static void
sweep_file (struct table *table, const char *id)
{
  if (find (table, id) == NULL)
    remove_files (table, id, NULL);
}

void
table_sweep (struct table *table)
{
  for (unsigned i = 0; i < table->count; i++)
    {
      struct entry *entry = &table->entries[i];
      if (!entry->used || entry->dying || entry_alive (entry))
        continue;
      remove_files (table, entry->id, entry);
      drop (table, entry);
    }
  each_name (table, sweep_file);
  while (table->count > 0 && !table->entries[table->count - 1].used)
    table->count--;
}

uint64_t
table_reserve (struct table *table, uint64_t host_reserve_bytes, uint64_t available_bytes)
{
  uint64_t reserve = host_reserve_bytes;

  for (unsigned i = 0; i < table->count; i++)
    {
      struct entry *entry = &table->entries[i];
      if (!entry->used)
        continue;
      if (available_bytes >= entry->reserve_bytes)
        entry->reserve_armed = true;
      if (entry->reserve_armed && entry->reserve_bytes > reserve)
        reserve = entry->reserve_bytes;
    }
  return reserve;
}

int
table_open (struct table *table, int run_fd, const struct entry_place *place, const struct table_listener *listener,
            struct spark_error *error)
{
  memset (table, 0, sizeof *table);
  table->place = *place;
  table->listener = *listener;
  table->run_fd = run_fd;
  table->registry_fd = table->ledgers_fd = -1;
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

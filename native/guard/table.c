#include "guard/table_parts.h"

#include "guard/clock.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void
table_tell (struct table *table, enum table_news news, const struct entry *entry, const char *sentence)
{
  if (table->listener.tell != NULL)
    table->listener.tell (news, entry, sentence, table->listener.data);
}

struct entry *
table_find (struct table *table, const char *id)
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
      return &table->entries[i];
  return NULL;
}

bool
table_full (struct table *table)
{
  return find_free (table) == NULL;
}

void
table_drop (struct table *table, struct entry *entry)
{
  if (entry->kill_by != KILL_BY_NOTHING)
    table_tell (table, TABLE_UNREGISTERED, entry, "");
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

bool
table_same_container (const struct entry *entry, const struct spark_container *c)
{
  return entry->pid == c->pid && entry->pid_start == c->pid_start && entry->created_ns == c->created_ns;
}

static bool
is_dying (const struct table *table, const struct spark_container *c)
{
  for (unsigned i = 0; i < table->count; i++)
    if (table->entries[i].used && table->entries[i].dying && table_same_container (&table->entries[i], c))
      return true;
  return false;
}

/* One that could be watched but not killed when it was opened: a file may have been missing for a passing reason. */
static void
open_again (struct table *table, struct entry *entry, const struct spark_container *c)
{
  struct entry fresh;
  struct spark_error unsaid;

  if (entry_open (&fresh, c, &table->place, &unsaid) != 0)
    return;
  if (fresh.kill_by == KILL_BY_NOTHING)
    {
      entry_close (&fresh);
      return;
    }
  fresh.calm_use_bytes = entry->calm_use_bytes;
  memcpy (fresh.mark_use_bytes, entry->mark_use_bytes, sizeof fresh.mark_use_bytes);
  entry_close (entry);
  *entry = fresh;
  table_tell (table, TABLE_REGISTERED, entry, "");
}

void
table_take_in (struct table *table, const char *id, bool again)
{
  struct spark_container container;
  struct spark_error error;
  struct entry *entry = table_find (table, id), fresh;

  if (spark_registry_read (table->registry_fd, id, &container, &error) != 0)
    {
      if (!again && report_once (table, id))
        {
          char sentence[sizeof error.text + SPARK_ID_MAX + 64];
          snprintf (sentence, sizeof sentence, "the registry file %s is ignored%s: %s", id,
                    entry != NULL ? ", the container is guarded by what it said before" : "", error.text);
          table_tell (table, TABLE_WARNING, entry, sentence);
        }
      return;
    }
  if (is_dying (table, &container))
    return;
  if (entry != NULL && table_same_container (entry, &container))
    {
      entry->budget_bytes = container.budget_bytes;
      entry->priority = container.priority;
      if (entry->reserve_bytes != container.reserve_bytes)
        entry->reserve_armed = false;
      entry->reserve_bytes = container.reserve_bytes;
      if (again)
        open_again (table, entry, &container);
      return;
    }
  if (entry_open (&fresh, &container, &table->place, &error) != 0)
    {
      /* One that died before we looked has no note: that is ordinary, and the sweep removes its file. */
      if (error.text[0] != '\0' && !again && report_once (table, id))
        table_tell (table, TABLE_WARNING, NULL, error.text);
      return;
    }
  if (entry != NULL)
    entry_close (entry);
  else if ((entry = find_free (table)) == NULL)
    {
      entry_close (&fresh);
      if (!table->full_told)
        table_tell (table, TABLE_WARNING, NULL,
                    "more than 256 containers are registered: the guard knows the newest ones only once others have ended");
      table->full_told = true;
      return;
    }
  *entry = fresh;
  table->full_told = table->full_told && table_full (table);
  if (entry >= table->entries + table->count)
    table->count = (unsigned) (entry - table->entries) + 1;
  if (error.text[0] != '\0')
    table_tell (table, TABLE_WARNING, entry, error.text);
  /* One that cannot be killed is a promise: admission has its budget, its hook comes with its cgroup. */
  if (entry->kill_by != KILL_BY_NOTHING)
    table_tell (table, TABLE_REGISTERED, entry, "");
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

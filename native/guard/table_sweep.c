/* What nobody told the guard: containers that died without a word, and those that could not be taken in when they came. */
#include "guard/table_parts.h"

#include "guard/clock.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

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
      && (known == NULL || table_same_container (known, &container)) && !spark_container_live (&container, table->place.proc_dir)
      && spark_registry_remove (table->registry_fd, id, &error) == 0 && table->ledgers_fd >= 0 && !admitted_again (table, id))
    unlinkat (table->ledgers_fd, id, 0);
  flock (table->admission_fd, LOCK_UN);
}

/* One that the table does not hold (it was full, a file could not be opened, or its container is dead), or not so that it could be killed. */
static void
sweep_file (struct table *table, const char *id)
{
  struct spark_container container;
  struct spark_error unsaid;
  const struct entry *entry = table_find (table, id);

  if (!spark_id_valid (id) || (entry != NULL && entry->kill_by != KILL_BY_NOTHING)
      || spark_registry_read (table->registry_fd, id, &container, &unsaid) != 0)
    return;
  if (!spark_container_live (&container, table->place.proc_dir))
    remove_files (table, id, NULL);
  else if (entry != NULL || !table_full (table))
    table_take_in (table, id, true);
}

/* Once around at most. */
static void
sweep_files (struct table *table, uint64_t deadline_ns)
{
  bool rewound = false;

  while (table->sweep.fd >= 0 && clock_boot_ns () < deadline_ns)
    if (table->sweep.at < table->sweep.length)
      {
        const struct dirent64 *entry = (const struct dirent64 *) (table->sweep.entries + table->sweep.at);
        table->sweep.at += entry->d_reclen;
        sweep_file (table, entry->d_name);
      }
    else
      {
        table->sweep.at = 0;
        table->sweep.length = getdents64 (table->sweep.fd, table->sweep.entries, sizeof table->sweep.entries);
        if (table->sweep.length > 0)
          continue;
        lseek (table->sweep.fd, 0, SEEK_SET);
        if (rewound)
          return;
        rewound = true;
      }
}

void
table_sweep (struct table *table, uint64_t deadline_ns)
{
  for (unsigned i = 0; i < table->count; i++)
    {
      struct entry *entry = &table->entries[i];
      if (!entry->used || entry->dying || entry_alive (entry))
        continue;
      remove_files (table, entry->id, entry);
      table_drop (table, entry);
    }
  sweep_files (table, deadline_ns);
  while (table->count > 0 && !table->entries[table->count - 1].used)
    table->count--;
}

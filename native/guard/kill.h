/* Ending one container. */
#ifndef SPARK_GUARD_KILL_H
#define SPARK_GUARD_KILL_H

#include "guard/entry.h"

/* Sends the kill and returns at once: 0 if it was accepted, -1 with errno. To be repeated until `kill_empty`: the freezer way
   needs several rounds, and a repeated cgroup.kill does no harm. */
int kill_entry (const struct entry *entry);

/* The way that was planned (`kill_by`) and no other, for the self-test. */
int kill_as_planned (const struct entry *entry);

/* Lets a container run on that was frozen for a kill which did not come, or by its user (paused), because only what runs can die. Keeps errno. */
void kill_thaw (const struct entry *entry);

/* True when no process of the container is left. */
bool kill_empty (const struct entry *entry);

/* Takes hold of the container's stderr, by O_PATH, for somebody else to open: a pipe or a terminal that its init has open for writing.
   Anything else is left alone, because its file system may never answer. (`regular_files` allows those too, for rehearsals, where
   stderr is a log file.) Asks no file system and takes no lock of the pipe's. -1 where there is none. */
int kill_hold_stderr (const struct entry *entry, const struct entry_place *place, bool regular_files);

#endif

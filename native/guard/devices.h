/* Which containers use a GPU: only those can have taken memory that no book shows. */
#ifndef SPARK_GUARD_DEVICES_H
#define SPARK_GUARD_DEVICES_H

#include "guard/entry.h"

/* True for the path of a device through which a driver gives out memory. */
bool devices_is_gpu (const char *path);

/* Looks through the open files of the entries that are not known to use a GPU yet, and marks those that do. Not for the way of
   a kill. After `deadline_ns` (CLOCK_BOOTTIME, 0 = none) it stops, and goes on from there in the next call (`*turn` keeps
   whose turn it is). Reads links only, so that no file system of a container can hold it up. Allocates nothing. */
void devices_find (struct entry *entries, unsigned count, unsigned *turn, const char *proc_dir, uint64_t deadline_ns);

#endif

/* What the parts of the rig share. */
#ifndef SPARK_TEST_GUARD_RIG_PLACE_H
#define SPARK_TEST_GUARD_RIG_PLACE_H

#include <stdbool.h>

enum { RIG_HIERARCHIES = 3 };

extern bool rig_have[RIG_HIERARCHIES]; /* freezer, memory, unified */
extern int rig_registry_fd;
extern unsigned rig_left_over;

/* `name` is empty or "/SLOT"; `file` may be empty. */
void rig_cgroup_path (char path[256], unsigned hierarchy, const char *name, const char *file);

/* Ends everything where something that the rig itself needs does not hold. */
void rig_must (bool holds, const char *what);

#endif

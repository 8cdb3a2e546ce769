/* The registry: one key=value file per live container. docs/formats.md section 6. */
#ifndef SPARK_COMMON_REGISTRY_H
#define SPARK_COMMON_REGISTRY_H

#include "error.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
  SPARK_ID_MAX = 128,
  SPARK_REGISTRY_FILE_MAX = 4096,
  /* Kills are in a row if no container lived as long as this before the next one, and none is as long ago as this. */
  SPARK_STREAK_SECONDS = 600
};

struct spark_container {
  char id[SPARK_ID_MAX + 1];
  char name[SPARK_ID_MAX + 1];
  char request[64];
  char engine[16];
  pid_t pid;
  uint64_t pid_start;
  pid_t pgid; /* 0 = none */
  char cgroup_v2[512];
  char cgroup_memory[512];
  char cgroup_freezer[512];
  /* inode numbers: which cgroup of that path; 0 = not known */
  uint64_t cgroup_v2_id, cgroup_memory_id, cgroup_freezer_id;
  uint64_t budget_bytes;
  uint64_t reserve_bytes;
  int priority;
  char ledger[512];
  uint64_t created_ns;
  unsigned kills; /* by the guard, in a row, before this start */
};

/* True for [A-Za-z0-9_.-]{1,128} that does not begin with a dot. */
bool spark_id_valid (const char *id);

/* Reads a priority: a whole number from -1000 to 1000. */
bool spark_priority_parse (const char *text, int *priority);

/* Parses the text of one registry file (`length` bytes, need not end in NUL). Total: any input gives 0 or -1, never a crash;
   an entry without `end=1`, of another version, or with a bad number is -1 with a sentence. Allocates nothing. */
int spark_registry_parse (const char *text, size_t length, struct spark_container *container, struct spark_error *error);

/* Writes the entry atomically (temp file + rename) into the open registry directory. What spark_registry_parse would refuse
   is refused here. */
int spark_registry_write (int registry_fd, const struct spark_container *container, struct spark_error *error);

/* Reads the entry `id`: O_NOFOLLOW, regular files of at most SPARK_REGISTRY_FILE_MAX only. Allocates nothing. */
int spark_registry_read (int registry_fd, const char *id, struct spark_container *container, struct spark_error *error);

/* Removes the entry; a missing one is success. */
int spark_registry_remove (int registry_fd, const char *id, struct spark_error *error);

/* Fills in which cgroups its paths lead to now. */
void spark_container_note_cgroups (struct spark_container *container);

/* Opens a cgroup's directory (O_PATH) if it is still the one with that inode number (0: any). -1 with errno, ESTALE for another one. */
int spark_cgroup_open (const char *path, uint64_t id);

/* True while pid is still the same process, or one of the entry's cgroups holds a process. `proc_path` is "/proc". */
bool spark_container_live (const struct spark_container *container, const char *proc_path);

/* Calls `each` for every complete entry, live or not, in no order. Stops when `each` returns non-zero and returns that. */
int spark_registry_each (int registry_fd, int (*each) (const struct spark_container *container, void *data), void *data);

#endif

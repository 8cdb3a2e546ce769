/* What the guard is about to do, in a file of the run directory (memory, made at start): a guard that takes the place of one that was
   killed goes on where that one was, so that no kill is untold and no second container dies for the same fall. */
#ifndef SPARK_GUARD_INTENT_H
#define SPARK_GUARD_INTENT_H

#include "guard/decide.h"
#include "guard/kept_file.h"
#include "guard/report.h"
#include <stdint.h>
#include <sys/types.h>

#define INTENT_FILE "guard.kill"

enum {
  INTENT_BYTES = 4096,
  /* Two numbers of the scribe's alone: the `killed_ns` of the last kill whose event, and whose tombstone, is on the disk. */
  INTENT_EVENT_AT = 3584,
  INTENT_STONE_AT = 3592,
};

enum intent_state {
  INTENT_NONE,
  INTENT_DECIDED, /* written before the blow */
  INTENT_STRUCK,  /* written after it: memory is waited for */
  INTENT_OVER,    /* nothing is left to do but to tell it, should that be missing */
};

struct intent {
  char magic[8];
  uint32_t size; /* of this struct: another version's is not read */
  uint32_t state;
  char boot_id[BOOT_ID_SIZE];
  /* who, beyond the record's id */
  pid_t pid;
  uint64_t pid_start, created_ns;
  /* the cgroup that it is killed by, and which one of that name: should its registry file be gone while part of it lives, frozen */
  char cgroup[512];
  uint64_t cgroup_inode;
  bool cgroup_is_v2;
  struct kill_record record; /* as of the blow */
  struct aftermath aftermath;
};

_Static_assert (sizeof (struct intent) <= INTENT_EVENT_AT, "one page, written in one piece");

/* Opens or makes the file and reads what is there, once the boot is known; returns a descriptor, or -1 with errno: then a restart knows of
   no kill. */
int intent_open (int run_fd, struct intent *found);

/* Maps it, to be never read: what is mapped by a process whose memory is locked is not swapped out, so that a write finds it there. */
void intent_pin (int fd);

/* Each is one write into memory that is there already: it creates, allocates and waits for nothing. */
void intent_decide (int fd, const struct entry *victim, const struct kill_record *record, const struct aftermath *aftermath);
void intent_state (int fd, enum intent_state state);
void intent_aftermath (int fd, const struct aftermath *aftermath);

/* True if the scribe has written down what this is about; `at` is one of the two numbers. */
bool intent_told (int fd, off_t at, uint64_t killed_ns);
void intent_tell (int fd, off_t at, uint64_t killed_ns);

#endif

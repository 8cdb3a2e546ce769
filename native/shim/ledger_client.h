/* The shim's side of the ledger (docs/formats.md section 7): one process taking from its container's budget.

   How a dead process gives back: each process that holds bytes owns a slot, and the slot's owner is whoever has the
   open-file-description lock (Linux 3.15) on the slot's first byte. The locked description is kept alive by a mapping alone: its
   descriptor is closed at once and the mapping is not inherited by fork. So the lock ends exactly when this process's memory
   does (exit, SIGKILL, exec), works across pid namespaces, and cannot be lost to a program that closes all its descriptors, as
   an ordinary fcntl lock would be. The shim keeps no descriptor open, and no fork happens while it has one: the child would keep the
   description, and with it the lock, alive. */
#ifndef SPARK_SHIM_LEDGER_CLIENT_H
#define SPARK_SHIM_LEDGER_CLIENT_H

#include "common/ledger_layout.h"
#include "lock.h"
#include <stdbool.h>

enum { SPARK_LEDGER_PATH_MAX = 1024 };

/* All zeros is a client that has not joined. */
struct spark_ledger_client {
  struct spark_ledger_header *header; /* the mapped file */
  struct spark_ledger_slot *slots;
  uint32_t slot_count;
  size_t mapped_bytes;
  uint64_t device, inode; /* which file it is, should the path lead elsewhere later */
  _Atomic uint32_t slot; /* own index + 1; 0 = none yet */
  struct spark_lock claiming;
  struct spark_lock descriptor; /* held while there is one: taken around a fork too (process.c) */
  _Atomic bool took_part; /* a slot was asked for */
  void *anchor; /* the mapping that keeps our slot's lock */
  char path[SPARK_LEDGER_PATH_MAX];
};

enum spark_ledger_join { SPARK_LEDGER_JOINED, SPARK_LEDGER_ABSENT, SPARK_LEDGER_BROKEN };

/* Maps the ledger at `path`. ABSENT: no such file; BROKEN: not a ledger, not writable, too short or of
   another version. */
enum spark_ledger_join spark_ledger_join (struct spark_ledger_client *client, const char *path);

/* Takes a slot if one is free, once: for who uses the driver, while the path still leads to the ledger (after a chroot it does not). Who only
   asks how much memory there is needs none. */
void spark_ledger_take_part (struct spark_ledger_client *client);

/* Unmaps everything; the slot falls free and its bytes with it. For tests: a process just ends. */
void spark_ledger_leave (struct spark_ledger_client *client);

/* Takes `bytes` if, with them, all processes together hold at most `cap_bytes`: exact under any number of threads and
   processes. Without a slot it tries to take one. False when it does not fit, even after the dead gave back, or when all slots are held
   by living processes. */
bool spark_ledger_reserve (struct spark_ledger_client *client, uint64_t bytes, uint64_t cap_bytes);

/* What was reserved is there now: raises the peak. */
void spark_ledger_commit (struct spark_ledger_client *client);

/* Gives back bytes of this process. */
void spark_ledger_release (struct spark_ledger_client *client, uint64_t bytes);

/* Counts one refusal. */
void spark_ledger_count_refusal (struct spark_ledger_client *client);

/* Bytes held by all processes that live. */
uint64_t spark_ledger_used (struct spark_ledger_client *client);

#endif

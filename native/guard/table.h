/* The registered containers, kept up to date from the registry directory. */
#ifndef SPARK_GUARD_TABLE_H
#define SPARK_GUARD_TABLE_H

#include "guard/entry.h"
#include <dirent.h>

enum { TABLE_MAX = 256 };

/* What the table tells about: container came, went (its id only), or could not be used (sentence). */
enum table_news { TABLE_REGISTERED, TABLE_UNREGISTERED, TABLE_WARNING };

struct table_listener {
  void (*tell) (enum table_news news, const struct entry *entry, const char *sentence, void *data);
  void *data;
};

struct table {
  struct entry entries[TABLE_MAX];
  unsigned count; /* one past the highest used */
  struct entry_place place;
  struct table_listener listener;
  int run_fd;       /* <runDir>, the caller's */
  int registry_fd;  /* <runDir>/containers */
  int ledgers_fd;   /* <runDir>/ledgers, -1 where there is none */
  int admission_fd; /* <runDir>/admission.lock */
  int inotify_fd;   /* readable when the registry changed */
  int registry_watch, run_watch;
  struct bad_file {
    char name[64];
    uint64_t mtime_ns;
  } bad[64]; /* reported once each */
  unsigned bad_next;
  bool full_told; /* since it was last not full */
  struct {
    int fd;                                         /* the registry, with a place in it of its own */
    ssize_t length, at;                             /* of what was read of it, and how far that was looked through */
    _Alignas (struct dirent64) char entries[2048];
  } sweep;
};

/* Opens registry, ledgers and lock below the open run directory, creates those that are missing, and reads the registry. */
int table_open (struct table *table, int run_fd, const struct entry_place *place, const struct table_listener *listener,
                struct spark_error *error);

/* Takes in what changed since the last call. */
void table_sync (struct table *table);

/* Opens the registry anew if it was removed or moved away. Returns -1 if that happened to `run_dir` itself, where nobody would
   see this guard any more. */
int table_check (struct table *table, const char *run_dir);

/* Drops containers that died without a word, with their registry file and ledger; and, until `deadline_ns` and going on there the next
   time, looks through the files of those that are not in the table: the dead are removed, the living taken in once that is possible. */
void table_sweep (struct table *table, uint64_t deadline_ns);

/* The largest reserve that a live container asks for and the host had at least once since, or `host_reserve_bytes`. */
uint64_t table_reserve (struct table *table, uint64_t host_reserve_bytes, uint64_t available_bytes);

#endif

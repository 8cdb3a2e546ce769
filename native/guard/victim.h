/* Whom to kill, as a pure function of what is known. */
#ifndef SPARK_GUARD_VICTIM_H
#define SPARK_GUARD_VICTIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct candidate {
  bool killable; /* registered, alive, and there is a safe way to kill it */
  int priority;
  uint64_t budget_bytes;
  uint64_t use_bytes;      /* known use now */
  uint64_t then_use_bytes; /* known use at the moment that the loss is counted from; 0 for one that is newer */
  uint64_t created_ns;
  bool uses_gpu; /* only such a one can have taken memory that no book shows */
};

/* What happened to the host's memory since a moment: when it was last plentiful, or one of the last seconds. */
struct loss {
  uint64_t fall_bytes;   /* how far MemAvailable fell */
  uint64_t hidden_bytes; /* of that, what no line of /proc/meminfo and no ledger explains: driver memory of somebody unknown */
  bool on_foreign_largest; /* policy: where no registered container is guilty the largest one dies all the same */
};

enum guilt {
  GUILT_NOBODY,      /* nobody killable is registered */
  GUILT_FOREIGN,     /* the memory went to processes outside every registered container */
  GUILT_OVER_BUDGET, /* the victim holds more than its budget */
  GUILT_GROWTH,      /* all are within budget, but the registered ones together took the memory */
  GUILT_HIDDEN,      /* no book shows where it went: to a GPU's driver, so that only those that use a GPU are judged */
  GUILT_LARGEST,     /* nobody is guilty, and the policy wants the largest */
};

/* Returns the victim's index, or -1 where killing would be wrong; `*guilt` says why. Only those over their budget are judged
   while there are such; among the judged the lowest priority dies first, then the most over its budget, then the largest,
   then the youngest. */
int victim_choose (const struct candidate *candidates, size_t count, const struct loss *loss, enum guilt *guilt);

#endif

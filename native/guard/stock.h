/* What a loss of memory is measured against: how things were when memory was last plentiful, and in the last seconds. */
#ifndef SPARK_GUARD_STOCK_H
#define SPARK_GUARD_STOCK_H

#include <stdbool.h>
#include <stdint.h>

/* One mark a second while memory is short. */
enum { STOCK_MARKS = 16 };

struct stock {
  uint64_t at_ns; /* 0 = none was taken */
  uint64_t available_bytes, hidden_bytes, ledger_bytes;
};

struct guard;

/* At a start while memory is short: what the guard before has left of how things were before, else how they are now. */
void guard_start_short (struct guard *guard, uint64_t now_ns);

/* True if what is called calm tells who took the memory. Where nobody knows how things were before the shortage, it is how they were at
   the start of this guard, and a small fall since then tells nothing: then all that anybody holds counts as taken. */
bool guard_calm_tells (const struct guard *guard);

/* Takes stock while memory is plentiful. */
void guard_take_stock (struct guard *guard, uint64_t now_ns);

/* Remembers the present while memory is short; every use must have been read just now. Does nothing if the last mark is not a
   second old. */
void guard_mark (struct guard *guard, uint64_t now_ns);

/* The mark of the last 15 seconds at which most was available, or -1 if the fall since is too small to tell anything. */
int guard_recent_mark (const struct guard *guard, uint64_t now_ns);

/* How things are: what is available as it was read last, the rest read now. */
struct stock guard_stock_now (const struct guard *guard, uint64_t now_ns);

/* Reads the known use of all registered containers anew, as usage_refresh tells. */
bool guard_read_use (struct guard *guard, uint64_t deadline_ns);

/* What the ledgers of all registered containers say together, in bytes. */
uint64_t guard_ledger_bytes (const struct guard *guard);

#endif

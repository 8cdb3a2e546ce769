/* The ledger: how much driver memory the processes of one container hold, in a small shared file.
   docs/formats.md section 7. Used by the shim (in other people's processes: libc only, no allocation), the hook and the guard. */
#ifndef SPARK_COMMON_LEDGER_H
#define SPARK_COMMON_LEDGER_H

#include "error.h"
#include <stdbool.h>
#include <stdint.h>

struct spark_ledger; /* a mapping of the file */

/* Creates the file (mode 0666) or resets it in place: header and zeroed slots. */
int spark_ledger_create (const char *path, uint64_t budget_bytes, uint64_t reserve_bytes, uint64_t withhold_bytes,
                         struct spark_error *error);

struct spark_ledger_view {
  uint64_t budget_bytes;
  uint64_t reserve_bytes;
  uint64_t withhold_bytes;
  uint64_t used_bytes; /* of processes that still live */
  bool unasked;        /* not all slots could be asked about: bytes of dead processes may be among the used ones */
  uint64_t peak_bytes;
  uint64_t refused_count;
};

/* Reads a ledger from outside the container without trusting it: any content gives 0 or -1, never a crash or a wait.
   Allocates nothing. Who lives is asked for 0.2 ms and one answer more, which takes the longer the more locks are on the file. */
int spark_ledger_peek (int fd, struct spark_ledger_view *view);

/* The same without asking who lives: every slot counts. */
int spark_ledger_peek_unasked (int fd, struct spark_ledger_view *view);

#endif

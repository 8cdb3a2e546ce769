/* The bytes of a ledger file: docs/formats.md section 7. Shared by ledger.c (hook, guard) and the shim's client. */
#ifndef SPARK_COMMON_LEDGER_LAYOUT_H
#define SPARK_COMMON_LEDGER_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define SPARK_LEDGER_MAGIC "SPRKLDG1"

enum {
  SPARK_LEDGER_VERSION = 1,
  SPARK_LEDGER_HEADER_BYTES = 4096,
  SPARK_LEDGER_SLOT_BYTES = 64, /* one cache line, so that two processes never share one */
  SPARK_LEDGER_SLOTS = 1024,    /* what spark_ledger_create makes */
  SPARK_LEDGER_SLOTS_MAX = 4096 /* what a reader accepts */
};

struct spark_ledger_header {
  char magic[8];
  uint32_t version;
  uint32_t slot_count;
  _Atomic uint64_t budget_bytes;
  _Atomic uint64_t reserve_bytes;
  _Atomic uint64_t withhold_bytes;
  _Atomic uint64_t used_bytes; /* sum of the slots at the last reservation; for people, the slots are the truth */
  _Atomic uint64_t peak_bytes;
  _Atomic uint64_t refused_count;
  _Atomic uint32_t lock;          /* 0, or slot index + 1 of the holder; the top bit says that somebody waits */
  _Atomic uint32_t slots_touched; /* slots at this index and above were never used */
};

/* A slot belongs to the process that holds the open-file-description lock on the slot's first byte. */
struct spark_ledger_slot {
  _Atomic uint64_t used_bytes;
  _Atomic uint32_t pid; /* as its owner sees itself; for people, never for decisions */
  uint32_t unused[13];
};

_Static_assert (offsetof (struct spark_ledger_header, used_bytes) == 40, "formats.md section 7");
_Static_assert (offsetof (struct spark_ledger_header, lock) == 64, "formats.md section 7");
_Static_assert (offsetof (struct spark_ledger_header, slots_touched) == 68, "formats.md section 7");
_Static_assert (sizeof (struct spark_ledger_slot) == SPARK_LEDGER_SLOT_BYTES, "formats.md section 7");

static inline uint64_t
spark_ledger_slot_offset (uint32_t slot)
{
  return SPARK_LEDGER_HEADER_BYTES + (uint64_t) slot * SPARK_LEDGER_SLOT_BYTES;
}

#endif

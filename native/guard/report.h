/* What the guard says: events, tombstones, the line for the container. Texts are made in static buffers. */
#ifndef SPARK_GUARD_REPORT_H
#define SPARK_GUARD_REPORT_H

#include "guard/decide.h"
#include "guard/entry.h"
#include "guard/samples.h"
#include "guard/scribe.h"
#include "guard/victim.h"

/* One kill, as it is told. */
struct kill_record {
  char id[SPARK_ID_MAX + 1], name[SPARK_ID_MAX + 1], request[64], engine[16];
  char killed_at[32];
  char sentence[512];
  uint64_t killed_ns;
  enum verdict verdict;
  uint64_t reserve_bytes, available_bytes, budget_bytes, driver_bytes, cgroup_bytes;
  int64_t slope_bytes_per_second;
  int priority;
  enum guilt guilt;
  unsigned kills;        /* of this container in a row, this one included */
  int psi_permille;      /* of the last 10 s everybody waited for memory (PSI, full); -1 = the kernel does not tell */
  int64_t empty_ms;      /* -1 = not yet */
  uint64_t lowest_bytes; /* lowest MemAvailable from the kill on */
};

/* Fills the record for a kill that is about to happen, sentence included. */
void report_prepare (struct kill_record *record, const struct entry *victim, enum guilt guilt,
                     const struct judgement *judgement, uint64_t available_bytes, uint64_t reserve_bytes, int psi_permille,
                     uint64_t now_ns);

/* The event and the log line of a kill. */
void report_kill (struct scribe *scribe, const struct kill_record *record);

/* The same for a kill of the guard before this one, which may have told it already: then there is no second event. */
void report_kill_again (struct scribe *scribe, const struct kill_record *record);

/* Writes (or writes again, once the time of death is known) the tombstone with the samples before the kill. */
void report_tombstone (struct scribe *scribe, const struct kill_record *record, const struct samples *samples);

/* Events of one sentence: type "warning", "stop"; also said on stderr. */
void report_sentence (struct scribe *scribe, const char *type, const char *id, const char *sentence);

void report_start (struct scribe *scribe, uint64_t total_bytes, uint64_t available_bytes, uint64_t reserve_bytes,
                   uint64_t withhold_bytes, const char *kill_by);
void report_container (struct scribe *scribe, const char *type, const struct entry *entry);
void report_soft (struct scribe *scribe, bool soft, uint64_t available_bytes, uint64_t reserve_bytes, int psi_permille);

#endif

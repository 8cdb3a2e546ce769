/* Admission: does this container's budget fit beside the others and the host's reserve? Always decided under
   <runDir>/admission.lock; docs/formats.md section 6. */
#ifndef SPARK_RUNTIME_ADMISSION_H
#define SPARK_RUNTIME_ADMISSION_H

#include "wish.h"

/* What one container was given. */
struct spark_grant {
  char id[SPARK_ID_MAX + 1];
  uint64_t budget_bytes;
  uint64_t engine_bytes;  /* 90 % of the budget, rounded down to 256 MiB, or to 2 MiB where it is less than that */
  uint64_t reserve_bytes; /* the container's own wish; 0 = the host's */
  int priority;
  char ledger[512];
};

/* MemTotal less what is withheld. */
int spark_host_total (const struct spark_plan *plan, uint64_t *total_bytes, struct spark_error *error);

/* What 100 % of a budget is: MemTotal − withhold − reserve. */
int spark_host_share (const struct spark_plan *plan, uint64_t *share_bytes, struct spark_error *error);

/* Lets a container that the guard killed cool down; fails with a sentence where nobody guards the host and the plan refuses that, or
   where the guard has closed admission. `*missing` tells the caller to warn. */
int spark_admission_guarded (const struct spark_plan *plan, const char *id, bool *missing, struct spark_error *error);

/* Decides, notes the admission in <runDir>/admitted/<id> for as long as `holder` lives (at most two minutes, until the hook
   registers the container) and creates the ledger. Nothing is left behind where it fails. */
int spark_admit (const struct spark_plan *plan, const char *id, const char *engine, const struct spark_wish *wish,
                 pid_t holder, struct spark_grant *grant, struct spark_error *error);

/* Takes an admission back: note and ledger. */
void spark_admission_undo (const struct spark_plan *plan, const char *id);

/* True where `id` is admitted and not registered yet; `*holder` is who asked. */
bool spark_admission_pending (const struct spark_plan *plan, const char *id, pid_t *holder);

/* Registers a container, if it (still) fits; a budget of 0 becomes what is left. The same process again is success. Ends the
   admission of the same id or of the same ledger. */
int spark_register (const struct spark_plan *plan, struct spark_container *container, struct spark_error *error);

/* Forgets a container: registry entry, admission, ledger. Never fails. */
void spark_unregister (const struct spark_plan *plan, const char *id);

#endif

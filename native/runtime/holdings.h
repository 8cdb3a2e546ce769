/* Who holds how much of the machine: the sum over all live containers and admissions, and the words for it. */
#ifndef SPARK_RUNTIME_HOLDINGS_H
#define SPARK_RUNTIME_HOLDINGS_H

#include "common/registry.h"

enum {
  SPARK_HOLDERS_TEXT_MAX = 360,
  /* Long enough for the slowest create (an engine waits 2 minutes at most for its hooks), short enough that a create which
     failed under a long-lived engine does not hold its budget for ever. */
  SPARK_PENDING_MAX_SECONDS = 120
};

struct spark_holdings {
  const char *except_id;
  const char *except_ledger; /* may be NULL */
  const char *proc_dir;
  int registry_fd;
  uint64_t budget_bytes;  /* sum */
  uint64_t reserve_bytes; /* largest */
  unsigned count, named;
  char text[SPARK_HOLDERS_TEXT_MAX]; /* "vllm 40.0 GiB, 3fa9c2d1e0b4 20.0 GiB" */
};

/* Adds up every live entry of both directories, except `except_id` and whoever has `except_ledger`. */
void spark_holdings_sum (struct spark_holdings *sum, int registry_fd, int admitted_fd);

/* True for an admission older than that. */
bool spark_pending_old (const struct spark_container *container);

/* True while the admission counts: its maker lives and it is not too old. */
bool spark_pending_live (const struct spark_container *container, const char *proc_dir);

/* "12.0 GiB is left of 128.0 GiB, less the host's reserve of 10.0 GiB and what is held by vllm 40.0 GiB";
   `reserve` names the reserve in that sentence. */
void spark_holdings_explain (uint64_t left, uint64_t total, const char *reserve, const struct spark_holdings *sum, char *text,
                             size_t size);

#endif

/* The simulated machine: how large it is and how much of it is in use. docs/formats.md section 10.
   A machine is its environment, so every process that gets the same variables stands on the same machine. */
#ifndef SPARK_SIM_MACHINE_H
#define SPARK_SIM_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct sim_machine {
  bool ready;             /* false: the environment makes no sense; the sentence went to stderr */
  bool hugetlb;           /* pages are huge pages, which all processes share; else shared memory, each process for itself */
  uint64_t total_bytes;   /* SPARK_SIM_TOTAL */
  uint64_t baseline_bytes; /* SPARK_SIM_BASELINE */
  uint64_t context_bytes; /* SPARK_SIM_CONTEXT: what each context takes */
  uint64_t module_bytes;  /* SPARK_SIM_MODULE: what each module or library takes */
  bool makes_requests;    /* SPARK_SIM_RM=1: pages are asked for by requests to a kernel module (requests.h) */
  uint64_t page_bytes;    /* the smallest piece the driver takes: one huge page */
};

/* The machine of this process, read from the environment once. Never NULL. */
const struct sim_machine *sim_machine (void);

/* Bytes in use: with huge pages what the whole host uses of them beyond the baseline, else `own_bytes`. */
uint64_t sim_machine_used (uint64_t own_bytes);

/* Bytes still free, never below 0. */
uint64_t sim_machine_free (uint64_t own_bytes);

/* Prints one line on stderr where SPARK_SIM_VERBOSE=1. */
void sim_say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

#endif

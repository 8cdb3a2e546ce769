/* The pages of the simulated machine. Like nvidia.ko's they are in no memory cgroup, and they go back with the process. */
#ifndef SPARK_SIM_PAGES_H
#define SPARK_SIM_PAGES_H

#include <stddef.h>
#include <stdint.h>

/* A run of pages in this process's part of the machine: offset in its backing file. */
struct sim_pages {
  uint64_t offset;
  uint64_t bytes;
};

/* Takes `bytes` (rounded up to whole pages), all of them at once. Returns 0, or -1 with errno: ENOMEM where the
   machine or the kernel has no more, anything else where the kernel does not let us. Nothing is kept on failure. */
int sim_pages_take (uint64_t bytes, struct sim_pages *pages);

/* Gives them back to the machine. No mapping of them may be left. */
void sim_pages_give (const struct sim_pages *pages);

/* Maps them readable and writable (or, with `protection` 0, neither) at `address`, or anywhere if that is NULL.
   Returns NULL with errno on failure. A child process does not inherit the mapping. */
void *sim_pages_map (const struct sim_pages *pages, uint64_t bytes, void *address, int protection);

/* Bytes this process holds. */
uint64_t sim_pages_own (void);

/* In a forked child: lets go of what was inherited. The child has no driver, as with the real one. */
void sim_pages_forget (void);

#endif

/* The pages of the simulated machine. Like nvidia.ko's they are in no memory cgroup, and they go back with the process. */
#ifndef SPARK_SIM_PAGES_H
#define SPARK_SIM_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A run of pages: a stretch of the process's own file, or a file of its own that other processes can be given. */
struct sim_pages {
  uint64_t offset;
  uint64_t bytes;
  int file;      /* a descriptor for pages with a file of their own; 0 for the process's */
  bool borrowed; /* another process took them, so they are not this one's */
};

/* Takes `bytes` (rounded up to whole pages), all of them at once. Returns 0, or -1 with errno: ENOMEM where the
   machine or the kernel has no more, anything else where the kernel does not let us. Nothing is kept on failure. */
int sim_pages_take (uint64_t bytes, struct sim_pages *pages);

/* The same in a file of their own: they live until the last process that has the file or a mapping of it lets go. */
int sim_pages_take_file (uint64_t bytes, struct sim_pages *pages);

/* Pages of a file that another process took; `file` is the caller's to close. Returns 0, or -1 with errno. */
int sim_pages_borrow (int file, struct sim_pages *pages);

/* A second descriptor of pages with a file of their own, for another process; -1 with errno. */
int sim_pages_lend (const struct sim_pages *pages);

/* Where another process finds this one's file. */
struct sim_pages_place {
  pid_t pid;
  int file;
  uint64_t inode;
};
bool sim_pages_place (struct sim_pages_place *place);

/* Maps a stretch of another process's file; that process must live, and the kernel let us look into it. */
void *sim_pages_map_at (const struct sim_pages_place *place, const struct sim_pages *pages);

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

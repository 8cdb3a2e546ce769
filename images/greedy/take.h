/* Three manners of taking memory, and giving it back. */
#ifndef GREEDY_TAKE_H
#define GREEDY_TAKE_H

#include <stdint.h>

enum { PIECE_BYTES = 2 << 20 }; /* all sizes are multiples of this, the driver's granularity */

struct manners {
  unsigned percent;
  uint64_t chunk_bytes; /* 0: all at once */
  uint64_t limit_bytes; /* never hold more; UINT64_MAX: no limit */
};

/* A share of what is free, chunk by chunk; the first refusal ends it. */
void be_polite (const struct manners *manners, uint64_t free_bytes);

/* A share of everything there is, at once, as older MAX did; and then more, until it has been refused often enough. */
void be_greedy (const struct manners *manners, uint64_t total_bytes);

/* No library in between: pages straight from the kernel, as fast as it gives them. Ends at the limit, or by being killed. */
void bypass (const struct manners *manners);

/* What is held now. */
uint64_t taken_bytes (void);

/* Frees everything that the driver gave, and the context. */
void give_back (void);

#endif

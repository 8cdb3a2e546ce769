/* How things were when memory was last plentiful, for the guard that takes this one's place: without it, who held much already would
   answer for what a host process takes. */
#ifndef SPARK_GUARD_CALM_H
#define SPARK_GUARD_CALM_H

#include <stdbool.h>

#define CALM_FILE "guard.calm"

struct guard;

/* Opens or makes the file, and reads what a guard of this boot has left in it. -1 with errno: then a restart in a shortage knows nothing. */
int calm_open (struct guard *guard);

/* Writes down the stock that was just taken: while memory is plentiful only. */
void calm_keep (const struct guard *guard);

/* Takes on what was left there. False if there was nothing. */
bool calm_recall (struct guard *guard);

#endif

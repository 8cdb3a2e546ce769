/* What the engine says: plain sentences, or one JSON object a line. README.md lists the events. */
#ifndef GREEDY_TELL_H
#define GREEDY_TELL_H

#include <stdbool.h>
#include <stdint.h>

enum { EXIT_NO_DRIVER = 1, EXIT_BAD_OPTION = 2, EXIT_KERNEL_REFUSED = 3 };

/* From now on JSON. */
void tell_as_json (void);

/* `who` said how much there is; NVML's answer only where it gave one. */
void tell_saw (const char *who, uint64_t total_bytes, uint64_t free_bytes, bool has_nvml, uint64_t nvml_total_bytes,
               uint64_t nvml_free_bytes);
void tell_got (uint64_t bytes, uint64_t held_bytes);
void tell_refused (uint64_t bytes, uint64_t held_bytes, int error, const char *name);
void tell_done (uint64_t held_bytes);

/* One sentence on stderr (a period is added), and the end with this exit code. */
void give_up (int status, const char *format, ...) __attribute__ ((noreturn, format (printf, 2, 3)));

#endif

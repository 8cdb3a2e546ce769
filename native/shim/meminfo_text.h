/* /proc/meminfo as a machine of the container's budget would print it. */
#ifndef SPARK_SHIM_MEMINFO_TEXT_H
#define SPARK_SHIM_MEMINFO_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* MemTotal of a meminfo's text in bytes, 0 if it has none. */
uint64_t spark_meminfo_text_total (const char *text, size_t length);

/* Writes the kernel's text `from` with other figures to `to` and returns its length, 0 where it does not fit into `size` or is no
   meminfo. Same keys, order and columns; lines of unknown keys stay as they are.

   The figures are those of a machine on which only this container runs, and on which what can be dropped is free already: MemFree =
   MemAvailable = free_bytes, page cache, reclaimable slab and swap are 0, so that "used" is total - free by every formula in use.
   What the kernel counts as used keeps its proportions; huge pages are cut to what such a machine could hold. */
size_t spark_meminfo_text_rewrite (const char *from, size_t length, uint64_t total_bytes, uint64_t free_bytes, char *to, size_t size);

#endif

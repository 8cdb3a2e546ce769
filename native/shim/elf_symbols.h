/* Looking a name up in one loaded ELF object. */
#ifndef SPARK_SHIM_ELF_SYMBOLS_H
#define SPARK_SHIM_ELF_SYMBOLS_H

#include <link.h>

/* The address of the function `name` that the object with this load address and dynamic section defines: its default version, not
   a hidden (old) one. NULL where it defines none. */
void *spark_elf_symbol (uintptr_t base, const ElfW (Dyn) *dynamic, const char *name);

#endif

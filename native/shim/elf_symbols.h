/* Looking a name up in one loaded ELF object. */
#ifndef SPARK_SHIM_ELF_SYMBOLS_H
#define SPARK_SHIM_ELF_SYMBOLS_H

#include <link.h>

/* The address of the function `name` that the object with this load address and dynamic section defines: its default version, not
   a hidden (old) one. NULL where it defines none. */
void *spark_elf_symbol (uintptr_t base, const ElfW (Dyn) *dynamic, const char *name);

/* The symbols by which the object defines the function `name`, of all versions: the one after `after`, the first for NULL. */
const ElfW (Sym) *spark_elf_definition (uintptr_t base, const ElfW (Dyn) *dynamic, const char *name,
                                        const ElfW (Sym) *after);

#endif

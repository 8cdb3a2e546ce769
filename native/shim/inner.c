#include "inner.h"

#include "elf_symbols.h"
#include "lock.h"
#include "raw.h"
#include "resolve.h"
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

/* The entries in dlopen.S. */
__attribute__ ((visibility ("hidden"))) void *spark_inner_dlopen (const char *file, int mode);
__attribute__ ((visibility ("hidden"))) void *spark_inner_dlmopen (long scope, const char *file, int mode);

static const struct {
  const char *name;
  void *ours;
  _Atomic (void *) *original;
} entries[] = {
  { "dlopen", (void *) spark_inner_dlopen, &spark_libc_dlopen },
  { "dlmopen", (void *) spark_inner_dlmopen, &spark_libc_dlmopen },
};
enum { ENTRIES = sizeof entries / sizeof entries[0] };

/* The protection of the segment that holds an address, 0 where none does. */
static int
protection_at (const struct dl_phdr_info *info, uintptr_t address)
{
  for (int i = 0; i < info->dlpi_phnum; i++)
    {
      const ElfW (Phdr) *segment = &info->dlpi_phdr[i];
      if (segment->p_type == PT_LOAD && address - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz)
        return (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0)
               | (segment->p_flags & PF_X ? PROT_EXEC : 0);
    }
  return 0;
}

/* The table may share its page with code (aarch64 commonly keeps both in one segment), so that the page stays executable throughout. */
static void
lead_to (const struct dl_phdr_info *info, const ElfW (Sym) *symbol, const void *target)
{
  uintptr_t page_bytes = (uintptr_t) getpagesize (), value = (uintptr_t) &symbol->st_value;
  uintptr_t page = value & ~(page_bytes - 1);
  int protection = protection_at (info, value);
  if (protection == 0 || raw_syscall (SYS_mprotect, page, page_bytes, protection | PROT_WRITE, 0) != 0)
    return;
  /* The loader adds the object's base, modulo 2^64. */
  atomic_store_explicit ((_Atomic (ElfW (Addr)) *) value, (uintptr_t) target - info->dlpi_addr, memory_order_release);
  raw_syscall (SYS_mprotect, page, page_bytes, protection, 0);
}

static int
cover (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  (void) data;
  const ElfW (Dyn) *dynamic = spark_is_libc (info->dlpi_name) ? spark_dynamic_of (info) : NULL;
  for (size_t i = 0; dynamic != NULL && i < ENTRIES; i++)
    {
      void *original = spark_elf_symbol (info->dlpi_addr, dynamic, entries[i].name);
      if (original == NULL || original == entries[i].ours)
        continue;
      *entries[i].original = original;
      for (const ElfW (Sym) *symbol = NULL;
           (symbol = spark_elf_definition (info->dlpi_addr, dynamic, entries[i].name, symbol)) != NULL;)
        lead_to (info, symbol, entries[i].ours);
    }
  return 0;
}

void
spark_inner_cover (void)
{
  static struct spark_lock covering;
  spark_lock_take (&covering);
  dl_iterate_phdr (cover, NULL);
  spark_lock_give (&covering);
}

bool
spark_inner_is_interposer (const void *caller)
{
  struct spark_object object;
  return spark_object_of (caller, &object) && object.dynamic != NULL
         && spark_elf_symbol (object.base, object.dynamic, "dlopen") != NULL;
}

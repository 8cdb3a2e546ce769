#include "elf_symbols.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct tables {
  const ElfW (Sym) *symbols;
  const char *strings;
  const ElfW (Half) *versions;
  const uint32_t *gnu_hash;
  const uint32_t *sysv_hash;
  bool old_versions; /* these too are wanted */
};

/* glibc writes absolute addresses into the dynamic section it loaded; musl, and the vdso's, hold offsets. */
static const void *
address_of (uintptr_t base, const ElfW (Dyn) *entry)
{
  uintptr_t value = entry->d_un.d_ptr;
  return (const void *) (value < base ? value + base : value);
}

static struct tables
read_tables (uintptr_t base, const ElfW (Dyn) *dynamic)
{
  struct tables tables = { 0 };
  for (const ElfW (Dyn) *entry = dynamic; entry->d_tag != DT_NULL; entry++)
    switch (entry->d_tag)
      {
      case DT_SYMTAB:
        tables.symbols = address_of (base, entry);
        break;
      case DT_STRTAB:
        tables.strings = address_of (base, entry);
        break;
      case DT_VERSYM:
        tables.versions = address_of (base, entry);
        break;
      case DT_GNU_HASH:
        tables.gnu_hash = address_of (base, entry);
        break;
      case DT_HASH:
        tables.sysv_hash = address_of (base, entry);
        break;
      default:
        break;
      }
  return tables;
}

static bool
is_wanted (const struct tables *tables, uint32_t index, const char *name)
{
  const ElfW (Sym) *symbol = &tables->symbols[index];
  enum { VERSION_HIDDEN = 0x8000 };
  return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE (symbol->st_info) == STT_FUNC
         && ELF64_ST_BIND (symbol->st_info) != STB_LOCAL
         && (tables->old_versions || tables->versions == NULL || (tables->versions[index] & VERSION_HIDDEN) == 0)
         && strcmp (tables->strings + symbol->st_name, name) == 0;
}

static uint32_t
gnu_hash_of (const char *name)
{
  uint32_t hash = 5381;
  for (const unsigned char *at = (const unsigned char *) name; *at != '\0'; at++)
    hash = hash * 33 + *at;
  return hash;
}

/* Index of the symbol after the one at `index` (0 = the first), 0 if there is none. Layout: nbuckets, symoffset, bloom words, bloom
   shift, bloom, buckets, chains. */
static uint32_t
find_by_gnu_hash (const struct tables *tables, const char *name, uint32_t index)
{
  const uint32_t *table = tables->gnu_hash;
  uint32_t bucket_count = table[0], first_symbol = table[1], bloom_words = table[2];
  const uint32_t *buckets = table + 4 + bloom_words * (sizeof (ElfW (Addr)) / sizeof (uint32_t));
  const uint32_t *chains = buckets + bucket_count;
  if (bucket_count == 0)
    return 0;
  uint32_t hash = gnu_hash_of (name), start = buckets[hash % bucket_count];
  if (start < first_symbol || (index != 0 && (chains[index - first_symbol] & 1) != 0))
    return 0;
  for (index = index != 0 ? index + 1 : start;; index++)
    {
      uint32_t chain = chains[index - first_symbol];
      if ((chain | 1) == (hash | 1) && is_wanted (tables, index, name))
        return index;
      if (chain & 1)
        return 0;
    }
}

/* The old table is used for its symbol count alone: only very old objects have no other. */
static uint32_t
find_by_count (const struct tables *tables, const char *name, uint32_t index)
{
  uint32_t count = tables->sysv_hash[1];
  while (++index < count)
    if (is_wanted (tables, index, name))
      return index;
  return 0;
}

static const ElfW (Sym) *
find (const struct tables *tables, const char *name, const ElfW (Sym) *after)
{
  if (tables->symbols == NULL || tables->strings == NULL)
    return NULL;
  uint32_t index = after != NULL ? (uint32_t) (after - tables->symbols) : 0;
  if (tables->gnu_hash != NULL)
    index = find_by_gnu_hash (tables, name, index);
  else
    index = tables->sysv_hash != NULL ? find_by_count (tables, name, index) : 0;
  return index == 0 ? NULL : &tables->symbols[index];
}

void *
spark_elf_symbol (uintptr_t base, const ElfW (Dyn) *dynamic, const char *name)
{
  struct tables tables = read_tables (base, dynamic);
  const ElfW (Sym) *symbol = find (&tables, name, NULL);
  return symbol == NULL ? NULL : (void *) (base + symbol->st_value);
}

const ElfW (Sym) *
spark_elf_definition (uintptr_t base, const ElfW (Dyn) *dynamic, const char *name, const ElfW (Sym) *after)
{
  struct tables tables = read_tables (base, dynamic);
  tables.old_versions = true;
  return find (&tables, name, after);
}

/* What the files of the table share. */
#ifndef SPARK_GUARD_TABLE_PARTS_H
#define SPARK_GUARD_TABLE_PARTS_H

#include "guard/table.h"

/* table.c: the entry of this name; one that is dying by our hand is not meant any more, since its name may have a new container. */
struct entry *table_find (struct table *table, const char *id);
void table_tell (struct table *table, enum table_news news, const struct entry *entry, const char *sentence);
void table_drop (struct table *table, struct entry *entry);
bool table_same_container (const struct entry *entry, const struct spark_container *container);
bool table_full (struct table *table);

/* table.c: reads one registry file into the table; says what is wrong with it, once, or nothing where it is tried `again`. */
void table_take_in (struct table *table, const char *id, bool again);

#endif

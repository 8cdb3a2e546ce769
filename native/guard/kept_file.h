/* Files in the run directory (memory) that a guard leaves to the one that takes its place: made at start, then written in place, so that
   a write creates, allocates and waits for nothing. */
#ifndef SPARK_GUARD_KEPT_FILE_H
#define SPARK_GUARD_KEPT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { BOOT_ID_SIZE = 40 };

/* Opens or makes it, with room for `bytes`, and reads what is there: `*length` of `size`, 0 if nothing. Returns a descriptor, or -1 with
   errno. */
int kept_file_open (int run_fd, const char *name, off_t bytes, void *found, size_t size, ssize_t *length);

/* Without the file nothing is remembered. */
void kept_file_put (int fd, const void *bytes, size_t length, off_t at);

/* What the kernel calls this boot; read once. */
void boot_id_read (const char *proc_dir);
extern char boot_id[BOOT_ID_SIZE];

#endif

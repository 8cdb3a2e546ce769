/* Pressure stall information: the kernel's own witness of a shortage of memory. Linux 4.20, where it is compiled in and not switched off. */
#ifndef SPARK_GUARD_PSI_H
#define SPARK_GUARD_PSI_H

#include <stddef.h>

/* Opens <proc_dir>/pressure/memory; -1 where there is none. */
int psi_open (const char *proc_dir);

/* Of the last 10 s, the share in which every task that had something to do waited for memory ("full avg10"), in permille; -1 where it
   cannot be read. Allocates nothing. */
int psi_full_permille (int fd);

/* The same from the file's text. */
int psi_parse (const char *text);

#endif

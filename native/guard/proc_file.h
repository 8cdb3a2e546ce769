/* Small reads of kernel files into the caller's buffer. */
#ifndef SPARK_GUARD_PROC_FILE_H
#define SPARK_GUARD_PROC_FILE_H

#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads an open file from `offset` and ends it with NUL. Returns the length, -1 with errno. */
ssize_t proc_file_read (int fd, char *buffer, size_t size, off_t offset);

/* The same by name: `<directory>/<pid>/<name>`. */
ssize_t proc_file_of_pid (const char *proc_dir, pid_t pid, const char *name, char *buffer, size_t size);

/* Calls `each` for every line of an open file, from its start, as a text of its own, until it returns non-zero. Of a line over 1,023
   bytes (the groups of a process can fill 700 KiB) it gets the beginning. Returns 0, -1 with errno. */
int proc_file_each_line (int fd, int (*each) (const char *line, void *data), void *data);

/* The same by name: `<directory>/<pid>/<name>`. */
int proc_file_each_line_of_pid (const char *proc_dir, pid_t pid, const char *name, int (*each) (const char *line, void *data), void *data);

/* Field `number` (as proc(5) counts, from 4 on) of the text of /proc/<pid>/stat; 0 where it is malformed. */
uint64_t proc_stat_field (const char *stat, unsigned number);

/* The number after `key` at the start of a line (`key` with its separator: "anon ", "HugetlbPages:"), 0 where there is none. */
uint64_t proc_file_number (const char *text, const char *key);

/* Calls `each` for every pid in the cgroup.procs of an open cgroup directory, until it returns non-zero. Returns how many there
   were, -1 with errno. The file is opened anew each time: cgroup v1 answers an open one from a list that it made at the first
   read and keeps for a second. */
int proc_file_each_pid (int cgroup_dir_fd, int (*each) (pid_t pid, void *data), void *data);

#endif

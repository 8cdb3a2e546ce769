/* What only the owner of the run directory may open: locks, which anybody who can open them for reading could hold, and
   directories of files that are writable for every user of a container. */
#ifndef SPARK_COMMON_PRIVATE_FILE_H
#define SPARK_COMMON_PRIVATE_FILE_H

/* Opens the lock file `name` for flock(2), made with mode 0600; one that others may open is closed to them. Returns a
   descriptor, or -1 with errno. */
int spark_private_lock_open (int directory_fd, const char *name);

/* Opens the directory `name`, made with mode 0700; one that others may enter is closed to them. Returns a descriptor, or -1
   with errno. */
int spark_private_directory_open (int directory_fd, const char *name);

#endif

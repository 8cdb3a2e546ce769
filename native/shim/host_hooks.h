/* The C library's functions that tell how much memory the machine has, and ioctl, by which the driver takes some; once each: exports and
   tests are driven by this table. What is
   not here: syscall () (in the way of every caller for one that nobody reads meminfo with), and whoever enters the kernel by itself. */
#ifndef SPARK_SHIM_HOST_HOOKS_H
#define SPARK_SHIM_HOST_HOOKS_H

#define SPARK_HOST_HOOKS(X)                                                                                             \
  X (open)                                                                                                              \
  X (open64)                                                                                                            \
  X (openat)                                                                                                            \
  X (openat64)                                                                                                          \
  X (openat2)                                                                                                           \
  X (__open_2)                                                                                                          \
  X (__open64_2)                                                                                                        \
  X (__openat_2)                                                                                                        \
  X (__openat64_2)                                                                                                      \
  X (fopen)                                                                                                             \
  X (fopen64)                                                                                                           \
  X (freopen)                                                                                                           \
  X (freopen64)                                                                                                         \
  X (lseek)                                                                                                             \
  X (lseek64)                                                                                                           \
  X (sysinfo)                                                                                                           \
  X (sysconf)                                                                                                           \
  X (get_phys_pages)                                                                                                    \
  X (get_avphys_pages)                                                                                                  \
  X (ioctl)

enum spark_host_hook {
#define X(symbol) SPARK_HOST_##symbol,
  SPARK_HOST_HOOKS (X)
#undef X
  SPARK_HOST_HOOK_COUNT
};

#define SPARK_HOST_EXPORT __attribute__ ((visibility ("default")))

/* What the program would have called without us; NULL where there is no such function. Constant time once the shim is initialised;
   before that (a sanitizer's or an allocator's own start) it is looked up in the loader's list. */
void *spark_host_function (enum spark_host_hook hook);

/* The same with a type. */
#define SPARK_HOST_REAL(type, symbol) ((type) spark_host_function (SPARK_HOST_##symbol))

#endif

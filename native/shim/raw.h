/* System calls without libc: no errno to disturb, no symbol version to depend on, and no hook of our own in between. */
#ifndef SPARK_SHIM_RAW_H
#define SPARK_SHIM_RAW_H

#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* Returns what the kernel returns: a value, or a negated errno. */
static inline long
raw_syscall6 (long number, long a, long b, long c, long d, long e, long f)
{
#if defined __x86_64__
  long result;
  register long r10 __asm__ ("r10") = d;
  register long r8 __asm__ ("r8") = e;
  register long r9 __asm__ ("r9") = f;
  __asm__ volatile ("syscall"
                    : "=a"(result)
                    : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                    : "rcx", "r11", "memory");
  return result;
#elif defined __aarch64__
  register long x8 __asm__ ("x8") = number;
  register long x0 __asm__ ("x0") = a;
  register long x1 __asm__ ("x1") = b;
  register long x2 __asm__ ("x2") = c;
  register long x3 __asm__ ("x3") = d;
  register long x4 __asm__ ("x4") = e;
  register long x5 __asm__ ("x5") = f;
  __asm__ volatile ("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "the shim knows x86_64 and aarch64"
#endif
}

#define raw_syscall(number, a, b, c, d)                                                                                \
  raw_syscall6 ((number), (long) (a), (long) (b), (long) (c), (long) (d), 0, 0)

static inline int
raw_open (const char *path, int flags)
{
  return (int) raw_syscall (SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

static inline void
raw_close (int fd)
{
  raw_syscall (SYS_close, fd, 0, 0, 0);
}

static inline long
raw_read (int fd, void *buffer, size_t size)
{
  return raw_syscall (SYS_read, fd, buffer, size, 0);
}

static inline int
raw_getpid (void)
{
  return (int) raw_syscall (SYS_getpid, 0, 0, 0, 0);
}

/* NULL where the kernel refuses. */
static inline void *
raw_mmap (size_t size, int protection, int flags, int fd)
{
  long result = raw_syscall6 (SYS_mmap, 0, (long) size, protection, flags, fd, 0);
  return result < 0 && result > -4096 ? NULL : (void *) (uintptr_t) result;
}

/* Is this a file of the kernel's own making? A user may have mounted another one over it, as lxcfs does. */
static inline bool
raw_is_procfs (int fd)
{
  struct statfs file_system;
  return raw_syscall (SYS_fstatfs, fd, &file_system, 0, 0) == 0 && file_system.f_type == PROC_SUPER_MAGIC;
}

/* May this process write a file up to `bytes`? Beyond RLIMIT_FSIZE the kernel sends SIGXFSZ. */
static inline bool
raw_file_may_have (uint64_t bytes)
{
  struct {
    uint64_t now, most;
  } limit = { 0, 0 };
  return raw_syscall (SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) != 0 || bytes <= limit.now;
}

/* NULL where the kernel refuses. */
static inline void *
raw_mremap (void *address, size_t old_size, size_t size)
{
  long result = raw_syscall (SYS_mremap, address, old_size, size, 1 /* MREMAP_MAYMOVE */);
  return result < 0 && result > -4096 ? NULL : (void *) (uintptr_t) result;
}

static inline void
raw_munmap (void *address, size_t size)
{
  raw_syscall (SYS_munmap, address, size, 0, 0);
}

static inline long
raw_madvise (void *address, size_t size, int advice)
{
  return raw_syscall (SYS_madvise, address, size, advice, 0);
}

#endif

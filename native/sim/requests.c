#include "requests.h"

#include "common/rm_abi.h"
#include "machine.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CLIENT = 0xc1d00001, DEVICE = 0x5c000002, NO_FILE = -1 };

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

static bool answered; /* the filter stands */

static void
answer_requests (void)
{
  struct sock_filter code[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, arch)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, 5),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, args[1])), /* the low half: little endian */
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, RM_REQUEST_ALLOC, 2, 0),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, RM_REQUEST_FREE, 1, 0),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
  };
  struct sock_fprog program = { sizeof code / sizeof code[0], code };
  enum { ALL_THREADS = SECCOMP_FILTER_FLAG_TSYNC };
  answered = syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, ALL_THREADS, &program) == 0
             || (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                 && syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, ALL_THREADS, &program) == 0);
}

static bool
requests_are_made (void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (sim_machine ()->makes_requests)
    pthread_once (&once, answer_requests);
  return answered;
}

bool
sim_requests_take (uint64_t bytes, uint32_t object)
{
  struct {
    struct rm_memory read;
    uint8_t rest[56];
  } memory = { .read.bytes = bytes };
  struct rm_alloc alloc = { .root = CLIENT,
                            .parent = DEVICE,
                            .object = object,
                            .class_number = RM_CLASS_MEMORY_SYSTEM,
                            .parameters = (uint64_t) (uintptr_t) &memory,
                            .parameters_bytes = sizeof memory };
  return !requests_are_made () || (ioctl (NO_FILE, RM_REQUEST_ALLOC, &alloc) == 0 && alloc.status == RM_OK);
}

void
sim_requests_give (uint32_t object)
{
  struct rm_free freed = { .root = CLIENT, .parent = DEVICE, .object = object };
  if (requests_are_made ())
    ioctl (NO_FILE, RM_REQUEST_FREE, &freed);
}

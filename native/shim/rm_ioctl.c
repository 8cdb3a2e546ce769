/* What the driver takes by itself: contexts (some 585 MiB on an H100, 60 of them of the machine, of which cuMemGetInfo and
   the memory cgroup tell nothing), code when it is loaded or first run, the growth of pools and of graphs' memory, heaps and stacks of
   kernels. No function of the driver's tells it in time, but all of it is asked of the kernel module by the process itself, through the
   C library's ioctl. So this one looks on.

   Memory that a hooked call counts is counted by that call; what is asked for while none is under way on this thread is counted here,
   by the object, until the object is freed. One that does not fit is refused as the module itself refuses, so that what does not fit
   fails as on a smaller GPU. Nothing here may call the driver: it holds locks of its own around its requests.

   A driver that asks otherwise (Jetson's) is not seen: there the hooks count what they can tell. */
#include "call.h"
#include "common/rm_abi.h"
#include "host_hooks.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef int (*ioctl_function) (int, unsigned long, ...);

/* A request for memory, from either form. */
struct memory_request {
  const uint32_t *root, *object; /* read after the call: the module may choose the object's name */
  uint32_t *status;
  uint64_t bytes;
};

/* The request's own number and structure, taken out of the wrapper. */
static void *
unwrapped (unsigned long *request, void *argument)
{
  if (*request != RM_REQUEST_WRAPPED)
    return argument;
  struct rm_wrapped *wrapped = argument;
  *request = 0xC0004600u | (wrapped->bytes & 0x3fff) << 16 | (wrapped->request_low & 0xff);
  return (void *) (uintptr_t) wrapped->pointer;
}

static bool
asks_for_memory (unsigned long request, void *argument, struct memory_request *asked)
{
  uint32_t class_number = 0, parameters_bytes = 0;
  uint64_t parameters = 0;
  if (request == RM_REQUEST_ALLOC)
    {
      struct rm_alloc *alloc = argument;
      *asked = (struct memory_request){ &alloc->root, &alloc->object, &alloc->status, 0 };
      class_number = alloc->class_number, parameters = alloc->parameters, parameters_bytes = alloc->parameters_bytes;
    }
  else if (request == RM_REQUEST_ALLOC_OLD)
    {
      struct rm_alloc_old *alloc = argument;
      *asked = (struct memory_request){ &alloc->root, &alloc->object, &alloc->status, 0 };
      class_number = alloc->class_number, parameters = alloc->parameters, parameters_bytes = alloc->parameters_bytes;
    }
  /* The size of the parameters may be left 0: the class says it. */
  if ((class_number != RM_CLASS_MEMORY_SYSTEM && class_number != RM_CLASS_MEMORY_LOCAL) || parameters == 0
      || (parameters_bytes != 0 && parameters_bytes < sizeof (struct rm_memory)))
    return false;
  asked->bytes = ((const struct rm_memory *) (uintptr_t) parameters)->bytes;
  return asked->bytes != 0;
}

static uint64_t
key_of (uint32_t root, uint32_t object)
{
  return (uint64_t) root << 32 | object;
}

static void
remember (struct spark_process *process, const struct memory_request *asked, uint64_t charge)
{
  struct spark_track_entry replaced,
    entry = { .key = key_of (*asked->root, *asked->object), .bytes = charge, .extra = *asked->root };
  spark_lock_take (&process->rm_lock);
  spark_track_put (&process->rm_objects, entry, &replaced);
  spark_lock_give (&process->rm_lock);
  spark_budget_release (&process->budget, replaced.bytes);
  spark_budget_commit (&process->budget);
}

/* The driver frees each of its objects by name (seen with 580); the end of its client ends whatever is left. */
static uint64_t
forget (struct spark_process *process, const struct rm_free *freed)
{
  struct spark_track_entry entry = { 0 };
  spark_lock_take (&process->rm_lock);
  if (freed->object == freed->root)
    entry.bytes = spark_track_take_all (&process->rm_objects, freed->root);
  else
    spark_track_take (&process->rm_objects, key_of (freed->root, freed->object), &entry);
  spark_lock_give (&process->rm_lock);
  return entry.bytes;
}

/* The driver asks up to four times before it gives up: one refusal, as the people who read the count see it. 0 bytes: it was granted. */
static void
count_refusal (struct spark_process *process, uint64_t bytes)
{
  static __thread uint64_t last_refused_bytes __attribute__ ((tls_model ("initial-exec")));
  if (bytes != 0 && bytes != last_refused_bytes)
    spark_budget_refuse (&process->budget);
  last_refused_bytes = bytes;
}

static int
take (struct spark_process *process, const struct memory_request *asked, ioctl_function real, int fd, unsigned long request,
      void *argument)
{
  uint64_t charge = spark_rounded_up (asked->bytes, (uint64_t) getpagesize ());
  int saved_errno = errno;
  bool fits = spark_budget_try (&process->budget, charge);
  errno = saved_errno;
  if (!fits)
    {
      count_refusal (process, charge);
      *asked->status = RM_NO_MEMORY;
      SPARK_TRACE (.layer = "rm", .call = "RM_ALLOC", .bytes = asked->bytes, .has_result = true, .result = RM_NO_MEMORY,
                   .by = SPARK_BY_SHIM);
      return 0;
    }
  int result = real (fd, request, argument);
  saved_errno = errno;
  if (result == 0 && *asked->status == RM_OK)
    {
      remember (process, asked, charge);
      count_refusal (process, 0);
      process->kernel_tells = 1;
    }
  else
    spark_budget_release (&process->budget, charge);
  errno = saved_errno;
  return result;
}

/* Forgotten before the module frees it: afterwards the name may be given out again at once. */
static int
give_back (struct spark_process *process, const struct rm_free *freed, ioctl_function real, int fd, unsigned long request, void *argument)
{
  uint64_t bytes = forget (process, freed);
  int result = real (fd, request, argument);
  int saved_errno = errno;
  spark_budget_release (&process->budget, bytes);
  errno = saved_errno;
  return result;
}

SPARK_HOST_EXPORT int
ioctl (int fd, unsigned long request, ...)
{
  va_list arguments;
  va_start (arguments, request);
  void *argument = va_arg (arguments, void *);
  va_end (arguments);
  ioctl_function real = SPARK_HOST_REAL (ioctl_function, ioctl);
  if (real == NULL)
    {
      errno = ENOSYS;
      return -1;
    }
  unsigned long number = (uint32_t) request;
  if (number != RM_REQUEST_ALLOC && number != RM_REQUEST_ALLOC_OLD && number != RM_REQUEST_FREE && number != RM_REQUEST_WRAPPED)
    return real (fd, request, argument);
  struct memory_request asked;
  void *inner = unwrapped (&number, argument);
  struct spark_process *process = spark_process_quietly ();
  if (process == NULL || inner == NULL)
    return real (fd, request, argument);
  if (number == RM_REQUEST_FREE)
    return give_back (process, inner, real, fd, request, argument);
  if (spark_calls_under_way == 0 && asks_for_memory (number, inner, &asked))
    return take (process, &asked, real, fd, request, argument);
  return real (fd, request, argument);
}

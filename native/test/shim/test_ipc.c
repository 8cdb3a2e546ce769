/* Memory that one process lends to another counts where it was taken, once: on the simulated driver. */
#include "harness.h"
#include <stdbool.h>

#define BUDGET (192 * MIB)

struct ipc_handle {
  char bytes[64]; /* CUipcMemHandle */
};

static void *cuda;
#define CALL(symbol) ((__typeof__ (&symbol)) dlsym (cuda, #symbol))

static uint64_t
used (void)
{
  return look ().used_bytes;
}

static bool
driver_starts (void)
{
  cuda = start_simulator ("1g");
  return cuda != NULL && simulated_context (cuda) != NULL;
}

/* Who borrows: everything it does leaves the books alone. The first step that went wrong, or 0. */
static int
borrow (int handle_fd, int done_fd)
{
  struct ipc_handle handle;
  if (read (handle_fd, &handle, sizeof handle) != (ssize_t) sizeof handle || !driver_starts ())
    return 1;
  CUresult (*open_handle) (CUdeviceptr *, struct ipc_handle, unsigned)
    = (__typeof__ (open_handle)) dlsym (cuda, "cuIpcOpenMemHandle_v2");
  CUresult (*close_handle) (CUdeviceptr) = (__typeof__ (close_handle)) dlsym (cuda, "cuIpcCloseMemHandle");
  CUdeviceptr lent = 0, own = 0;
  if (open_handle (&lent, handle, 1) != 0 || lent == 0 || used () != 64 * MIB)
    return 2;
  /* It takes the rest of the budget beside it, and no more. */
  if (CALL (cuMemAlloc_v2) (&own, BUDGET - 62 * MIB) != 2 || CALL (cuMemAlloc_v2) (&own, BUDGET - 64 * MIB) != 0)
    return 3;
  if (CALL (cuMemFree_v2) (own) != 0 || close_handle (lent) != 0 || used () != 64 * MIB)
    return 4;
  return write (done_fd, "y", 1) == 1 ? 0 : 5;
}

int
main (int argc, char **argv)
{
  (void) argc;
  begin_under_shim (argv, BUDGET);
  int handles[2], done[2];
  if (pipe (handles) != 0 || pipe (done) != 0)
    return 1;
  fflush (stdout);
  pid_t pid = fork (); /* before the driver starts: a context does not survive a fork */
  if (pid == 0)
    {
      close (handles[1]); /* should the lender end early, the borrower hears of it */
      _exit (borrow (handles[0], done[1]));
    }
  if (!driver_starts ())
    return 1;
  CUresult (*get_handle) (struct ipc_handle *, CUdeviceptr) = (__typeof__ (get_handle)) dlsym (cuda, "cuIpcGetMemHandle");
  struct ipc_handle handle = { { 0 } };
  CUdeviceptr pointer = 0;
  CHECK (CALL (cuMemAlloc_v2) (&pointer, 64 * MIB) == 0 && get_handle (&handle, pointer) == 0);
  CHECK (write (handles[1], &handle, sizeof handle) == (ssize_t) sizeof handle);
  int status = -1;
  CHECK (waitpid (pid, &status, 0) == pid);
  if (status != 0)
    printf ("# the borrower: step %d\n", WIFEXITED (status) ? WEXITSTATUS (status) : -1);
  CHECK (status == 0 && used () == 64 * MIB && CALL (cuMemFree_v2) (pointer) == 0 && used () == 0);
  test_done ("what is opened by cuIpcOpenMemHandle counts in its owner's process alone, and closing it gives nothing back");
  return check_done ();
}

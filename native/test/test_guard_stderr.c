/* What the guard opens as a container's stderr, and what it leaves alone: a process of ours holds each in turn. */
#include "common/cleanup.h"
#include "guard/kill.h"
#include "test/check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const struct entry_place place = { .proc_dir = "/proc", .cgroup_root = "/sys/fs/cgroup" };

/* A process with this stderr; the entry knows it by its pidfd. */
static struct entry
holder_start (int stderr_fd)
{
  int ready[2];
  char byte;

  if (pipe2 (ready, O_CLOEXEC) != 0)
    abort ();
  pid_t pid = fork ();
  if (pid == 0)
    {
      dup2 (stderr_fd, STDERR_FILENO);
      alarm (30);
      if (write (ready[1], "y", 1) != 1)
        _exit (1);
      for (;;)
        pause ();
    }
  close (ready[1]);
  if (read (ready[0], &byte, 1) != 1)
    abort ();
  close (ready[0]);
  return (struct entry){ .used = true, .pid = pid, .pid_fd = (int) syscall (SYS_pidfd_open, pid, 0), .events_fd = -1,
                         .procs_dir_fd = -1, .usage_dir_fd = -1 };
}

static void
holder_end (struct entry *e)
{
  kill (e->pid, SIGKILL);
  waitpid (e->pid, NULL, 0);
  close (e->pid_fd);
}

static bool
opens (int stderr_fd, bool regular_files)
{
  struct entry e = holder_start (stderr_fd);
  cleanup_close int fd = kill_open_stderr (&e, &place, regular_files);
  bool opened = fd >= 0;

  holder_end (&e);
  return opened;
}

static void
test_streams (void)
{
  int pipe_fds[2];
  char text[8] = "";

  if (pipe2 (pipe_fds, O_CLOEXEC) != 0)
    abort ();
  struct entry e = holder_start (pipe_fds[1]);
  int fd = kill_open_stderr (&e, &place, false);
  CHECK (fd >= 0 && write (fd, "hello", 5) == 5 && read (pipe_fds[0], text, 5) == 5 && strcmp (text, "hello") == 0);
  close (fd);
  holder_end (&e);
  CHECK (kill_open_stderr (&e, &place, false) < 0); /* dead */
  CHECK (!opens (pipe_fds[0], false));              /* open for reading only */
  close (pipe_fds[0]);
  close (pipe_fds[1]);
  test_done ("a pipe is written into, unless it is only for reading");

  int master = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);
  const char *name = master >= 0 && unlockpt (master) == 0 ? ptsname (master) : NULL;
  cleanup_close int slave = name != NULL ? open (name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
  if (slave < 0)
    test_skip ("a terminal is written into", "no terminals to be had");
  else
    {
      CHECK (opens (slave, false));
      test_done ("a terminal is written into");
    }
  if (master >= 0)
    close (master);
}

static void
test_left_alone (void)
{
  char directory[] = "/tmp/spark-guard-stderr.XXXXXX", file_path[64], fifo_path[64];
  int sockets[2];

  if (mkdtemp (directory) == NULL || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    abort ();
  snprintf (file_path, sizeof file_path, "%s/file", directory);
  snprintf (fifo_path, sizeof fifo_path, "%s/pipe:[1]", directory);
  cleanup_close int file = open (file_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  cleanup_close int fifo = mkfifo (fifo_path, 0600) == 0 ? open (fifo_path, O_RDWR | O_CLOEXEC) : -1;
  cleanup_close int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
  cleanup_close int watch = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  char events[4096];

  CHECK (file >= 0 && fifo >= 0 && inotify_add_watch (watch, directory, IN_OPEN) >= 0);
  CHECK (!opens (file, false) && !opens (fifo, false) && !opens (null, false) && !opens (sockets[0], false));
  CHECK (read (watch, events, sizeof events) < 0); /* nobody opened them to find that out */
  test_done ("a file, a FIFO on a disk, a device and a socket are never opened");

  CHECK (opens (file, true) && !opens (null, true) && !opens (fifo, true));
  test_done ("in a rehearsal a log file is, and nothing else more");
  close (sockets[0]);
  close (sockets[1]);
  unlink (file_path);
  unlink (fifo_path);
  rmdir (directory);
}

int
main (void)
{
  test_streams ();
  test_left_alone ();
  return check_done ();
}

/* What the guard opens as a container's stderr, and what it leaves alone: a process of ours holds each in turn. */
#include "common/cleanup.h"
#include "guard/herald.h"
#include "guard/kill.h"
#include "test/check.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
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
  cleanup_close int fd = kill_hold_stderr (&e, &place, regular_files);
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
  struct herald herald = HERALD_NONE;
  struct spark_error error;
  CHECK (herald_start (&herald, "/proc", &error) == 0);
  int fd = kill_hold_stderr (&e, &place, false);
  CHECK (fd >= 0);
  herald_say (&herald, fd, "hello", 5);
  CHECK (read (pipe_fds[0], text, 5) == 5 && strcmp (text, "hello") == 0);
  close (fd);
  herald_stop (&herald);
  holder_end (&e);
  CHECK (kill_hold_stderr (&e, &place, false) < 0); /* dead */
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

/* A page that never comes: whoever touches it waits until it is killed. Returns NULL where that is not allowed. */
static char *
endless_page (void)
{
  int fd = (int) syscall (SYS_userfaultfd, O_CLOEXEC);
  struct uffdio_api api = { .api = UFFD_API };
  char *page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register region = { .range = { (uintptr_t) page, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };

  return fd >= 0 && ioctl (fd, UFFDIO_API, &api) == 0 && ioctl (fd, UFFDIO_REGISTER, &region) == 0 ? page : NULL;
}

/* A container that writes such a page into its stderr, and so holds the pipe's lock for as long as it lives. */
static void
test_held_pipe (void)
{
  struct herald herald = HERALD_NONE;
  struct spark_error error;
  int pipe_fds[2], ready[2];
  char byte = 'n', text[8] = "";

  if (pipe2 (pipe_fds, O_CLOEXEC) != 0 || pipe2 (ready, O_CLOEXEC) != 0 || herald_start (&herald, "/proc", &error) != 0)
    abort ();
  pid_t pid = fork ();
  if (pid == 0)
    {
      char *page = endless_page ();
      dup2 (pipe_fds[1], STDERR_FILENO);
      alarm (30);
      byte = page != NULL ? 'y' : 'n';
      if (write (ready[1], &byte, 1) != 1 || page == NULL)
        _exit (1);
      _exit (write (STDERR_FILENO, page, 4096) == 4096);
    }
  CHECK (read (ready[0], &byte, 1) == 1);
  struct entry e = { .used = true, .pid = pid, .pid_fd = (int) syscall (SYS_pidfd_open, pid, 0), .events_fd = -1, .procs_dir_fd = -1,
                     .usage_dir_fd = -1 };
  if (byte != 'y')
    test_skip ("a container that holds its stderr for ever holds up nobody but the herald", "userfaultfd is not allowed here");
  else
    {
      usleep (100000); /* it faults */
      int fd = kill_hold_stderr (&e, &place, false);
      CHECK (fd >= 0 && !herald_say (&herald, fd, "one", 3) && herald.unanswered == 1);
      CHECK (!herald_say (&herald, fd, "two", 3) && herald.unanswered == 1);
      close (fd);
      test_done ("a container that holds its stderr for ever holds up nobody but the herald");
    }
  holder_end (&e);

  e = holder_start (pipe_fds[1]);
  int fd = kill_hold_stderr (&e, &place, false);
  fcntl (pipe_fds[0], F_SETFL, O_NONBLOCK);
  for (int i = 0; i < 1000 && !herald_say (&herald, fd, "two", 3); i++)
    usleep (1000);
  ssize_t length = read (pipe_fds[0], text, sizeof text - 1);
  CHECK (length >= 3 && strcmp (text + length - 3, "two") == 0);
  test_done ("once that one is dead the herald speaks again");
  close (fd);
  holder_end (&e);
  herald_stop (&herald);
  int all[] = { pipe_fds[0], pipe_fds[1], ready[0], ready[1] };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    close (all[i]);
}

int
main (void)
{
  test_streams ();
  test_held_pipe ();
  test_left_alone ();
  return check_done ();
}

/* An engine that behaves like MAX on the driver API: it opens the driver by dlopen, asks NVML and CUDA how much memory there
   is, and takes a share of that. README.md beside this file. */
#include "driver.h"
#include "take.h"
#include "tell.h"

#include "common/meminfo.h"
#include "common/size.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum mode { POLITE, GREEDY, BYPASS };

static enum mode mode = POLITE;
static struct manners manners = { .percent = 90, .limit_bytes = UINT64_MAX };
static double hold_seconds;

static const char USAGE[]
    = "Usage: greedy [--mode polite|greedy|bypass] [--percent 90] [--chunk 256m] [--hold SECONDS] [--limit SIZE] [--json]\n"
      "Takes memory as an inference engine does, holds it, gives it back.\n"
      "  --mode polite   a share of what is free, chunk by chunk, until refused (default)\n"
      "  --mode greedy   a share of all there is at once, and more after that\n"
      "  --mode bypass   huge pages straight from the kernel, without any driver, until killed\n"
      "  --percent N     the share, 1 to 100 (default 90)\n"
      "  --chunk SIZE    how much at once; 0 = all (default 256m; greedy 0; bypass 64m)\n"
      "  --hold SECONDS  how long to keep it (default 0)\n"
      "  --limit SIZE    never hold more than this\n"
      "  --json          one JSON object a line\n";

static uint64_t
size_option (const char *name, const char *text)
{
  uint64_t bytes = 0;
  struct spark_error error = { 0 };
  if (strcmp (text, "0") != 0 && spark_size_parse (text, 1, 0, &bytes, &error) != 0)
    give_up (EXIT_BAD_OPTION, "--%s: %s", name, error.text);
  return (bytes + PIECE_BYTES - 1) / PIECE_BYTES * PIECE_BYTES;
}

static double
number_option (const char *name, const char *text, double low, double high)
{
  char *end;
  double value = strtod (text, &end);
  if (end == text || *end != '\0' || !(value >= low && value <= high))
    give_up (EXIT_BAD_OPTION, "--%s is \"%s\"; it must be a number from %g to %g", name, text, low, high);
  return value;
}

static enum mode
mode_option (const char *text)
{
  static const char *const names[] = { "polite", "greedy", "bypass" };
  for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp (text, names[i]) == 0)
      return (enum mode) i;
  give_up (EXIT_BAD_OPTION, "--mode is \"%s\"; it must be polite, greedy or bypass", text);
}

static void
read_options (int argc, char **argv)
{
  static const struct option longs[]
      = { { "mode", required_argument, NULL, 'm' },  { "percent", required_argument, NULL, 'p' },
          { "chunk", required_argument, NULL, 'c' }, { "hold", required_argument, NULL, 's' },
          { "limit", required_argument, NULL, 'l' }, { "json", no_argument, NULL, 'j' },
          { "help", no_argument, NULL, 'h' },        { 0 } };
  const char *chunk = NULL;
  for (int option; (option = getopt_long (argc, argv, "", longs, NULL)) != -1;)
    switch (option)
      {
      case 'm':
        mode = mode_option (optarg);
        break;
      case 'p':
        manners.percent = (unsigned) number_option ("percent", optarg, 1, 100);
        break;
      case 'c':
        chunk = optarg;
        break;
      case 's':
        hold_seconds = number_option ("hold", optarg, 0, 1e6);
        break;
      case 'l':
        manners.limit_bytes = size_option ("limit", optarg);
        break;
      case 'j':
        tell_as_json ();
        break;
      case 'h':
        fputs (USAGE, stdout);
        exit (0);
      default:
        fputs (USAGE, stderr);
        exit (EXIT_BAD_OPTION);
      }
  if (optind < argc)
    give_up (EXIT_BAD_OPTION, "\"%s\" is not an option; see greedy --help", argv[optind]);
  manners.chunk_bytes = chunk != NULL ? size_option ("chunk", chunk) : mode == POLITE ? UINT64_C (256) << 20 : 0;
}

/* Process 1 of a container has no default action for signals: it would outlive SIGTERM. */
static void
end_at_once (int number)
{
  _exit (128 + number);
}

static void
hold (void)
{
  struct timespec left = { .tv_sec = (time_t) hold_seconds };
  left.tv_nsec = (long) ((hold_seconds - (double) left.tv_sec) * 1e9);
  while (nanosleep (&left, &left) != 0 && errno == EINTR)
    ;
}

int
main (int argc, char **argv)
{
  read_options (argc, argv);
  setvbuf (stdout, NULL, _IOLBF, 0);
  signal (SIGTERM, end_at_once);
  signal (SIGINT, end_at_once);
  if (mode == BYPASS)
    {
      struct spark_meminfo meminfo = { 0 };
      int fd = (int) syscall (SYS_openat, AT_FDCWD, "/proc/meminfo", O_RDONLY | O_CLOEXEC, 0);
      if (fd >= 0 && spark_meminfo_read (fd, 0, &meminfo) == 0)
        tell_saw ("the kernel", meminfo.total_bytes, meminfo.available_bytes, false, 0, 0);
      bypass (&manners);
      hold ();
    }
  else
    {
      uint64_t nvml_total_bytes = 0, nvml_free_bytes = 0;
      size_t free_bytes, total_bytes;
      bool has_nvml = nvml_memory (&nvml_total_bytes, &nvml_free_bytes);
      cuda_open ();
      cuda_must (cuda.info (&free_bytes, &total_bytes), "cuMemGetInfo");
      tell_saw ("CUDA", total_bytes, free_bytes, has_nvml, nvml_total_bytes, nvml_free_bytes);
      if (mode == POLITE)
        be_polite (&manners, free_bytes);
      else
        be_greedy (&manners, total_bytes);
      hold ();
      give_back ();
    }
  tell_done (taken_bytes ());
  return 0;
}

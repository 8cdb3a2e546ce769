#include "guard/guard.h"

#include "guard/supervise.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Started without them, a file of the guard's own would become its stderr, and be written into. */
static void
have_standard_streams (void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl (fd, F_GETFD) < 0 && open ("/dev/null", O_RDWR) < 0)
      return;
}

int
main (int argc, char **argv)
{
  struct guard_options options;
  struct spark_error error;

  have_standard_streams ();
  if (guard_options_parse (argc, argv, &options, &error) != 0)
    {
      fprintf (stderr, "spark-guard: %s.\n", error.text);
      return 2;
    }
  if (options.help)
    {
      fputs (guard_usage, stdout);
      return 0;
    }
  return options.supervise ? guard_supervise (&options, guard_run) : guard_run (&options);
}

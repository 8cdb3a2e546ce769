#include "guard/guard.h"

#include <stdio.h>

int
main (int argc, char **argv)
{
  static struct guard guard;
  struct guard_options options;
  struct spark_error error;

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
  if (guard_start (&guard, &options, &error) != 0)
    {
      fprintf (stderr, "spark-guard: %s.\n", error.text);
      return 1;
    }
  guard_watch (&guard);
  guard_stop (&guard);
  return guard.failed ? 1 : 0;
}

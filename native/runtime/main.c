/* One binary, two names: spark-runtime and spark-hook. */
#include "hook.h"
#include "runtime.h"

#include <string.h>

int
main (int argc, char **argv)
{
  const char *slash = argc > 0 ? strrchr (argv[0], '/') : NULL;
  const char *name = argc == 0 ? "" : slash != NULL ? slash + 1 : argv[0];
  return strcmp (name, "spark-hook") == 0 ? spark_hook_main (argc, argv) : spark_runtime_main (argc, argv);
}

/* make_ledger <path> <budget bytes>: a container's ledger, for tests written in shell. */
#include "common/ledger.h"
#include <stdio.h>
#include <stdlib.h>

int
main (int argc, char **argv)
{
  struct spark_error error = { 0 };
  if (argc != 3)
    return 2;
  if (spark_ledger_create (argv[1], strtoull (argv[2], NULL, 10), 0, 0, &error) >= 0)
    return 0;
  fprintf (stderr, "make_ledger: %s\n", error.text);
  return 1;
}

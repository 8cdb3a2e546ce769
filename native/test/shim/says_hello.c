/* A program that the shim must leave alone, linked statically or against musl. */
#include <stdio.h>

int
main (void)
{
  return puts ("hello") < 0;
}

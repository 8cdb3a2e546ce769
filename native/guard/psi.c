#include "guard/psi.h"

#include "guard/proc_file.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int
psi_open (const char *proc_dir)
{
  char path[320];
  int length = snprintf (path, sizeof path, "%s/pressure/memory", proc_dir);

  return length > 0 && (size_t) length < sizeof path ? open (path, O_RDONLY | O_CLOEXEC) : -1;
}

int
psi_parse (const char *text)
{
  const char *full = strncmp (text, "full ", 5) == 0 ? text : strstr (text, "\nfull ");
  const char *at = full != NULL ? strstr (full, "avg10=") : NULL;
  int permille = 0, decimals = -1;

  if (at == NULL)
    return -1;
  for (at += strlen ("avg10="); (*at >= '0' && *at <= '9') || (*at == '.' && decimals < 0); at++)
    if (*at == '.')
      decimals = 0;
    else if (decimals < 1) /* hundredths of a percent are not looked at */
      {
        permille = permille * 10 + (*at - '0');
        decimals += decimals == 0;
        if (permille > 1000)
          return -1;
      }
  if (decimals < 1)
    permille *= 10;
  return *at == ' ' && permille <= 1000 ? permille : -1;
}

int
psi_full_permille (int fd)
{
  char text[256];

  return fd >= 0 && proc_file_read (fd, text, sizeof text, 0) > 0 ? psi_parse (text) : -1;
}

/* An image's own preload: says in which order the libraries came. */
#include <link.h>
#include <string.h>
#include <unistd.h>

static int
say_name (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  (void) data;
  const char *slash = strrchr (info->dlpi_name, '/'), *name = slash != NULL ? slash + 1 : info->dlpi_name;
  if (strncmp (name, "linux-vdso", 10) == 0 || *name == '\0')
    return 0;
  return write (2, name, strlen (name)) < 0 || write (2, " ", 1) < 0;
}

__attribute__ ((constructor)) static void
say_order (void)
{
  dl_iterate_phdr (say_name, NULL);
}

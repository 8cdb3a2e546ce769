#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
spark_fail (struct spark_error *error, int status, const char *format, ...)
{
  if (error == NULL)
    return -1;
  error->status = status;
  va_list arguments;
  va_start (arguments, format);
  int length = vsnprintf (error->text, sizeof error->text, format, arguments);
  va_end (arguments);
  if (length < 0)
    error->text[0] = '\0';
  /* Sentences quote what strangers wrote; one that holds a line break must not become two lines of somebody's log. */
  for (char *at = error->text; *at != '\0'; at++)
    if ((unsigned char) *at < 0x20 || *at == 0x7f)
      *at = '?';
  size_t used = strlen (error->text);
  if (status != 0)
    /* strerrordesc_np neither allocates nor translates, so it is safe in the guard and the shim's neighbours. */
    snprintf (error->text + used, sizeof error->text - used, ": %s",
              strerrordesc_np (status) != NULL ? strerrordesc_np (status) : "unknown error");
  return -1;
}

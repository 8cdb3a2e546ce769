#include "reserve.h"

#include "common/cleanup.h"
#include "common/ledger.h"
#include "common/ledger_layout.h"
#include "common/registry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int
raise_in (const struct spark_container *container, void *data)
{
  const uint64_t *reserve_bytes = data;
  struct spark_ledger_view view;
  struct stat status;
  /* Looked at first: an annotation can name any file, and to open some devices is to use them. */
  if (container->ledger[0] == '\0' || lstat (container->ledger, &status) != 0 || !S_ISREG (status.st_mode))
    return 0;
  /* Written, not mapped: its tenant may cut it short at any moment. One that cannot be written keeps what it says. */
  cleanup_close int fd = open (container->ledger, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd >= 0 && spark_ledger_peek (fd, &view) == 0 && view.reserve_bytes < *reserve_bytes
      && pwrite (fd, reserve_bytes, sizeof *reserve_bytes, offsetof (struct spark_ledger_header, reserve_bytes)) < 0)
    return 0;
  return 0;
}

void
spark_reserve_raise (int registry_fd, int admitted_fd, uint64_t reserve_bytes)
{
  spark_registry_each (registry_fd, raise_in, &reserve_bytes);
  spark_registry_each (admitted_fd, raise_in, &reserve_bytes);
}

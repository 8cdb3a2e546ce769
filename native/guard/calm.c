#include "guard/calm.h"

#include "guard/guard.h"
#include "guard/kept_file.h"
#include <string.h>

static const char magic[8] = "SPRKCALM";

struct calm_use {
  uint64_t pid_start, created_ns, use_bytes;
  pid_t pid;
};

struct calm_file {
  char magic[8];
  uint32_t size;  /* of this struct: another version's is not read */
  uint32_t whole; /* 0 while it is written: it is longer than one page, and a guard that is killed then leaves a part */
  char boot_id[BOOT_ID_SIZE];
  uint64_t withhold_bytes; /* what MemAvailable is told less */
  struct stock stock;
  uint32_t count;
  struct calm_use uses[TABLE_MAX];
};

static struct calm_file file;

int
calm_open (struct guard *g)
{
  ssize_t length;

  g->calm_fd = kept_file_open (g->run_fd, CALM_FILE, sizeof file, &file, sizeof file, &length);
  if (length != (ssize_t) sizeof file || memcmp (file.magic, magic, sizeof magic) != 0 || file.size != sizeof file || file.whole != 1
      || memcmp (file.boot_id, boot_id, sizeof boot_id) != 0 || file.withhold_bytes != g->options.withhold_bytes || file.count > TABLE_MAX)
    memset (&file, 0, sizeof file);
  return g->calm_fd < 0 ? -1 : 0;
}

void
calm_keep (const struct guard *g)
{
  file = (struct calm_file){ .size = sizeof file, .withhold_bytes = g->options.withhold_bytes, .stock = g->calm };
  memcpy (file.magic, magic, sizeof magic);
  memcpy (file.boot_id, boot_id, sizeof boot_id);
  for (unsigned i = 0; i < g->table.count; i++)
    {
      const struct entry *e = &g->table.entries[i];
      if (e->used)
        file.uses[file.count++] = (struct calm_use){ e->pid_start, e->created_ns, e->calm_use_bytes, e->pid };
    }
  kept_file_put (g->calm_fd, &file.whole, sizeof file.whole, offsetof (struct calm_file, whole));
  kept_file_put (g->calm_fd, &file, sizeof file, 0);
  file.whole = 1;
  kept_file_put (g->calm_fd, &file.whole, sizeof file.whole, offsetof (struct calm_file, whole));
}

static void
recall_use (struct entry *e)
{
  for (uint32_t i = 0; i < file.count; i++)
    if (e->pid == file.uses[i].pid && e->pid_start == file.uses[i].pid_start && e->created_ns == file.uses[i].created_ns)
      e->calm_use_bytes = file.uses[i].use_bytes;
}

bool
calm_recall (struct guard *g)
{
  if (file.whole != 1)
    return false;
  g->calm = file.stock;
  for (unsigned i = 0; i < g->table.count; i++)
    if (g->table.entries[i].used)
      recall_use (&g->table.entries[i]);
  return true;
}

#include "cooldown.h"

#include "common/cleanup.h"
#include "common/guard_presence.h"
#include "common/process.h"
#include "common/registry.h"
#include "json.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND UINT64_C (1000000000)
/* The first time, the most, and how long is waited for: kubelet gives a runtime two minutes, and an engine's stop waits behind a start. */
#define FIRST_NS (5 * NS_PER_SECOND)
#define MOST_NS (300 * NS_PER_SECOND)
#define WAITED_NS (20 * NS_PER_SECOND)
#define SOFT_POLL_NS (NS_PER_SECOND / 10)
#define STREAK_NS (SPARK_STREAK_SECONDS * NS_PER_SECOND)

enum { TOMBSTONE_MAX = 1 << 20 };

static json_object *
read_tombstone (const char *run_dir, const char *id)
{
  char path[PATH_MAX];
  size_t length = 0;
  struct stat status;
  int written = snprintf (path, sizeof path, "%s/tombstones/%s.json", run_dir, id);
  if (!spark_id_valid (id) || written < 0 || (size_t) written >= sizeof path)
    return NULL;
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0 || fstat (fd, &status) != 0 || !S_ISREG (status.st_mode))
    return NULL;
  cleanup_free char *text = spark_read_all (fd, TOMBSTONE_MAX, path, &length, NULL);
  return text != NULL ? spark_json_parse (text, length, path, NULL) : NULL;
}

static uint64_t
cool_ns (uint64_t kills)
{
  uint64_t ns = FIRST_NS;
  for (uint64_t i = 1; i < kills && ns < MOST_NS; i++)
    ns *= 2;
  return ns < MOST_NS ? ns : MOST_NS;
}

struct spark_cooldown
spark_cooldown_of (const char *run_dir, const char *id, uint64_t now_ns)
{
  struct spark_cooldown cooldown = { 0, 0 };
  uint64_t kills, killed_ns;
  cleanup_json json_object *tombstone = read_tombstone (run_dir, id);
  /* A time that has not come yet is of another boot. */
  if (tombstone == NULL || !spark_json_uint64 (tombstone, "kills", &kills) || kills == 0 || kills > UINT_MAX
      || !spark_json_uint64 (tombstone, "killedBootNs", &killed_ns) || killed_ns > now_ns || now_ns - killed_ns >= STREAK_NS)
    return cooldown;
  cooldown.kills = (unsigned) kills;
  uint64_t over_ns = killed_ns + cool_ns (kills);
  cooldown.left_ns = over_ns > now_ns ? over_ns - now_ns : 0;
  return cooldown;
}

static void
wait_ns (uint64_t ns)
{
  struct timespec left = { .tv_sec = (time_t) (ns / NS_PER_SECOND), .tv_nsec = (long) (ns % NS_PER_SECOND) };

  while (nanosleep (&left, &left) != 0 && errno == EINTR)
    ;
}

int
spark_cooldown_pass (const struct spark_plan *plan, const char *id, struct spark_error *error)
{
  uint64_t until_ns = spark_boottime_ns () + WAITED_NS;
  struct spark_cooldown cooldown = spark_cooldown_of (plan->run_dir, id, spark_boottime_ns ());
  if (cooldown.left_ns > WAITED_NS)
    return spark_fail (error, 0, "the guard killed this container %u times in a row, and it cools down for another %llu s before it may "
                                 "start; give it a larger --budget or less to do, or start it again then",
                       cooldown.kills, (unsigned long long) ((cooldown.left_ns + NS_PER_SECOND - 1) / NS_PER_SECOND));
  if (cooldown.kills == 0)
    return 0;
  wait_ns (cooldown.left_ns);
  /* What it held comes back late (a CUDA context's after 1.9 s), and until then the host is short of memory for its sake. */
  while (spark_boottime_ns () < until_ns && spark_guard_presence (plan->run_dir).soft)
    wait_ns (SOFT_POLL_NS);
  return 0;
}

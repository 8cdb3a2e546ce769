/* What the guard writes down about a kill, and what the runtime makes of it when the container is started again. */
#include "common/cleanup.h"
#include "guard/clock.h"
#include "guard/report.h"
#include "runtime/cooldown.h"
#include "test/check.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_NS (86400 * NS_PER_SECOND)

static char root[64] = "/tmp/spark-report-XXXXXX";

/* The tombstone of a container that was registered at `created_ns` after `kills` in a row, and killed at `killed_ns`. */
static void
kill_and_bury (uint64_t created_ns, unsigned kills, uint64_t killed_ns)
{
  static char message[SCRIBE_MESSAGE_MAX];
  static struct samples samples;
  struct entry entry = { .id = "c1", .created_ns = created_ns, .kills = kills };
  struct judgement under = { VERDICT_UNDER_RESERVE, 0 };
  struct kill_record record;
  struct scribe scribe = { .helper = HELPER_NONE, .teller = HELPER_NONE };
  int sockets[2];
  char path[128];

  CHECK (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
  scribe.teller.socket_fd = sockets[0];
  report_prepare (&record, &entry, GUILT_OVER_BUDGET, &under, 1, 2, -1, killed_ns);
  report_tombstone (&scribe, &record, &samples);
  ssize_t length = recv (sockets[1], message, sizeof message - 1, MSG_DONTWAIT);
  CHECK (length > 0);
  message[length > 0 ? length : 0] = '\0';
  const char *json = strchr (message, '\n');
  snprintf (path, sizeof path, "%s/tombstones/c1.json", root);
  cleanup_close int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  CHECK (json != NULL && write (fd, json + 1, strlen (json + 1)) == (ssize_t) strlen (json + 1));
  close (sockets[0]);
  close (sockets[1]);
}

static void
test_uptime (void)
{
  static const uint64_t days[] = { 1, 104, 105, 400, 4000 };

  for (size_t i = 0; i < sizeof days / sizeof days[0]; i++)
    {
      uint64_t now_ns = days[i] * DAY_NS + 123456789;
      kill_and_bury (now_ns - 60 * NS_PER_SECOND, 1, now_ns);
      struct spark_cooldown cooldown = spark_cooldown_of (root, "c1", now_ns + NS_PER_SECOND);
      CHECK (cooldown.kills == 2 && cooldown.left_ns == 9 * NS_PER_SECOND);
    }
  test_done ("a killed container cools down on a host of any uptime");
}

static void
test_streak (void)
{
  uint64_t now_ns = 10 * DAY_NS;

  kill_and_bury (now_ns - 599 * NS_PER_SECOND, 4, now_ns);
  CHECK (spark_cooldown_of (root, "c1", now_ns).kills == 5);
  kill_and_bury (now_ns - 28000 * NS_PER_SECOND, 4, now_ns);
  CHECK (spark_cooldown_of (root, "c1", now_ns).kills == 1 && spark_cooldown_of (root, "c1", now_ns).left_ns == 5 * NS_PER_SECOND);
  test_done ("one that had lived ten minutes since it was started begins anew, however often it was killed before");
}

int
main (void)
{
  char path[128];

  CHECK (mkdtemp (root) != NULL);
  snprintf (path, sizeof path, "%s/tombstones", root);
  CHECK (mkdir (path, 0755) == 0);
  test_uptime ();
  test_streak ();
  snprintf (path, sizeof path, "rm -r %s", root);
  CHECK (system (path) == 0);
  return check_done ();
}

#include "guard/options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* As WatchdogSec of the systemd unit; the least leaves room for a guard that sleeps 100 ms and tells every half of it. */
enum { WATCHDOG_MS = 10000, WATCHDOG_MS_MIN = 300, WATCHDOG_MS_MAX = 3600000 };

const char guard_usage[]
  = "spark-guard: kills the container that takes the host's memory, before the host dies of it.\n"
    "\n"
    "  --run-dir DIR           registry, lock and state, usually /run/spark-run\n"
    "  --log-dir DIR           event log, usually /var/log/spark-run\n"
    "  --reserve-bytes N       MemAvailable that the host always keeps\n"
    "  --withhold-bytes N      act as if N bytes of this machine did not exist (default 0)\n"
    "  --on-foreign WHAT       nothing (default) or kill-largest: what to do where the memory went to nobody registered\n"
    "  --allow-process-groups  also kill registered process groups: rehearsals without an engine\n"
    "  --supervise             run the guard as a child, and start it again when it ends or does not answer (hosts without systemd)\n"
    "  --supervise-timeout-ms N  how long it may say nothing (default 10000)\n"
    "  --ready-fd N            write a newline there when watching\n"
    "  --meminfo FILE          default /proc/meminfo\n"
    "  --drop-caches FILE      default /proc/sys/vm/drop_caches\n"
    "  --proc-dir DIR          default /proc\n"
    "  --cgroup-root DIR       default /sys/fs/cgroup\n"
    "\n"
    "It logs to stderr and ends on SIGTERM. What it writes where: docs/formats.md, section 8.\n";

static int
parse_number (const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *value, struct spark_error *error)
{
  uint64_t number = 0;
  bool digits = *text != '\0';

  for (const char *at = text; digits && *at != '\0'; at++)
    digits = *at >= '0' && *at <= '9' && !__builtin_mul_overflow (number, (uint64_t) 10, &number)
             && !__builtin_add_overflow (number, (uint64_t) (*at - '0'), &number);
  if (!digits || number < least || number > most)
    return spark_fail (error, 0, "%s got \"%.64s\": give a whole number from %llu to %llu, digits only", name, text,
                       (unsigned long long) least, (unsigned long long) most);
  *value = number;
  return 0;
}

static int
parse_one (const char *name, const char *value, struct guard_options *o, struct spark_error *error)
{
  const struct {
    const char *name;
    const char **target;
  } paths[] = { { "--run-dir", &o->run_dir },         { "--log-dir", &o->log_dir },   { "--meminfo", &o->meminfo },
                { "--drop-caches", &o->drop_caches }, { "--proc-dir", &o->proc_dir }, { "--cgroup-root", &o->cgroup_root } };
  uint64_t number;

  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
    if (strcmp (name, paths[i].name) == 0)
      {
        /* Paths get names appended; much shorter than PATH_MAX so that these always fit. */
        if (value[0] == '\0' || strlen (value) > 255)
          return spark_fail (error, 0, "%s got a path of %zu bytes: give one of 1 to 255", name, strlen (value));
        *paths[i].target = value;
        return 0;
      }
  if (strcmp (name, "--on-foreign") == 0)
    {
      o->on_foreign_largest = strcmp (value, "kill-largest") == 0;
      return o->on_foreign_largest || strcmp (value, "nothing") == 0
               ? 0
               : spark_fail (error, 0, "--on-foreign got \"%.64s\": give nothing or kill-largest", value);
    }
  if (strcmp (name, "--reserve-bytes") == 0)
    return parse_number (name, value, 1, UINT64_MAX >> 11, &o->reserve_bytes, error);
  if (strcmp (name, "--withhold-bytes") == 0)
    return parse_number (name, value, 0, UINT64_MAX >> 11, &o->withhold_bytes, error);
  if (strcmp (name, "--supervise-timeout-ms") == 0)
    return parse_number (name, value, WATCHDOG_MS_MIN, WATCHDOG_MS_MAX, &o->watchdog_ms, error);
  if (parse_number (name, value, 0, INT_MAX, &number, error) != 0)
    return -1;
  o->ready_fd = (int) number;
  return 0;
}

static bool
takes_value (const char *name)
{
  static const char *const names[] = { "--run-dir",  "--log-dir",     "--reserve-bytes", "--withhold-bytes", "--ready-fd",
                                       "--meminfo",  "--drop-caches", "--proc-dir",      "--cgroup-root",
                                       "--on-foreign", "--supervise-timeout-ms" };

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp (name, names[i]) == 0)
      return true;
  return false;
}

int
guard_options_parse (int argc, char **argv, struct guard_options *o, struct spark_error *error)
{
  *o = (struct guard_options){ .meminfo = NULL, .proc_dir = "/proc", .cgroup_root = "/sys/fs/cgroup",
                               .drop_caches = "/proc/sys/vm/drop_caches", .ready_fd = -1, .watchdog_ms = WATCHDOG_MS };
  bool reserve_given = false, timeout_given = false;

  for (int i = 1; i < argc; i++)
    {
      char name[32];
      const char *value = strchr (argv[i], '=');
      size_t length = value != NULL ? (size_t) (value - argv[i]) : strlen (argv[i]);

      if (length < sizeof name)
        memcpy (name, argv[i], length);
      name[length < sizeof name ? length : 0] = '\0';
      if (strcmp (argv[i], "--help") == 0 || strcmp (argv[i], "-h") == 0)
        {
          o->help = true;
          return 0;
        }
      if (strcmp (argv[i], "--allow-process-groups") == 0)
        {
          o->allow_process_groups = true;
          continue;
        }
      if (strcmp (argv[i], "--supervise") == 0)
        {
          o->supervise = true;
          continue;
        }
      if (!takes_value (name))
        return spark_fail (error, 0, "\"%.64s\" is not an option of spark-guard: see spark-guard --help", argv[i]);
      if (value != NULL)
        value++;
      else if (i + 1 < argc)
        value = argv[++i];
      else
        return spark_fail (error, 0, "%s needs a value: see spark-guard --help", name);
      if (parse_one (name, value, o, error) != 0)
        return -1;
      reserve_given |= strcmp (name, "--reserve-bytes") == 0;
      timeout_given |= strcmp (name, "--supervise-timeout-ms") == 0;
    }
  if (o->run_dir == NULL || o->log_dir == NULL || !reserve_given)
    return spark_fail (error, 0, "%s is missing: give it, as in spark-guard --run-dir /run/spark-run --log-dir /var/log/spark-run --reserve-bytes 8589934592",
                       o->run_dir == NULL ? "--run-dir" : o->log_dir == NULL ? "--log-dir" : "--reserve-bytes");
  if (timeout_given && !o->supervise)
    return spark_fail (error, 0, "--supervise-timeout-ms says nothing without --supervise: give both or neither");
  const char *manager = getenv ("NOTIFY_SOCKET");
  if (o->supervise && manager != NULL && manager[0] != '\0')
    return spark_fail (error, 0, "--supervise was given, but a service manager watches already (NOTIFY_SOCKET is set): leave out "
                                 "--supervise, or unset NOTIFY_SOCKET where that manager is not this guard's");
  if (o->meminfo == NULL)
    o->meminfo = "/proc/meminfo";
  return 0;
}

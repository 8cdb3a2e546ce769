#include "admission.h"

#include "common/cleanup.h"
#include "common/guard_presence.h"
#include "common/ledger.h"
#include "common/meminfo.h"
#include "common/process.h"
#include "common/size.h"
#include "cooldown.h"
#include "holdings.h"
#include "reserve.h"
#include "run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* The driver's page, and the step in which MAX 26.7 rounds its arena up (seen): a size between two steps would become the
   whole of a small budget. */
static const uint64_t engine_page_bytes = UINT64_C (2) << 20, engine_arena_bytes = UINT64_C (256) << 20;

/* --- the host ------------------------------------------------------------------------------------------------------- */

int
spark_host_total (const struct spark_plan *plan, uint64_t *total_bytes, struct spark_error *error)
{
  char path[PATH_MAX];
  struct spark_meminfo meminfo;
  snprintf (path, sizeof path, "%s/meminfo", plan->proc_dir);
  cleanup_close int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || spark_meminfo_read (fd, plan->withhold_bytes, &meminfo) != 0)
    return spark_fail (error, errno, "the machine's memory cannot be read from %s", path);
  *total_bytes = meminfo.total_bytes;
  return 0;
}

int
spark_host_share (const struct spark_plan *plan, uint64_t *share_bytes, struct spark_error *error)
{
  uint64_t total_bytes;
  if (spark_host_total (plan, &total_bytes, error) != 0)
    return -1;
  *share_bytes = total_bytes > plan->reserve_bytes ? total_bytes - plan->reserve_bytes : 0;
  return 0;
}

int
spark_admission_guarded (const struct spark_plan *plan, const char *id, bool *missing, struct spark_error *error)
{
  if (spark_cooldown_pass (plan, id, error) != 0)
    return -1;
  struct spark_guard_presence guard = spark_guard_presence (plan->run_dir);
  *missing = !guard.running;
  if (!guard.running && !plan->start_without_guard)
    return spark_fail (error, 0, "the guard is not running (nobody holds %s/guard.lock), so nobody would protect this host; "
                                 "start it with: %s, or set \"onGuardMissing\": \"warn\"",
                       plan->run_dir,
                       /* sd_booted(3): this directory exists where systemd runs, and only there. */
                       access ("/run/systemd/system", F_OK) == 0 ? "systemctl start spark-guard"
                                                                 : "spark-run install docker (or podman)");
  if (guard.soft)
    return spark_fail (error, 0, "this host is short of memory: less than twice its reserve is available, so no container is "
                                 "started now; stop something or wait, then try again");
  return 0;
}

/* The directories that a decision needs, and the lock under which it is made. */
struct desk {
  int registry_fd, admitted_fd, lock_fd;
};

static void
desk_close (struct desk *desk)
{
  spark_cleanup_close (&desk->registry_fd);
  spark_cleanup_close (&desk->admitted_fd);
  spark_cleanup_close (&desk->lock_fd);
}

static int
desk_open (const struct spark_plan *plan, struct desk *desk, struct spark_error *error)
{
  desk->registry_fd = spark_run_dir_open (plan->run_dir, "containers", error);
  desk->admitted_fd = desk->registry_fd < 0 ? -1 : spark_run_dir_open (plan->run_dir, "admitted", error);
  desk->lock_fd = desk->admitted_fd < 0 ? -1 : spark_run_dir_lock (plan->run_dir, error);
  return desk->lock_fd < 0 ? -1 : 0;
}

#define DESK_NONE { -1, -1, -1 }
#define cleanup_desk __attribute__ ((cleanup (desk_close)))

static void
remove_under (const char *run_dir, const char *name, const char *id)
{
  char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/%s/%s", run_dir, name, id);
  unlink (path);
}

/* What a create that died on its way has left: its note, and its ledger unless a container of that id is registered. */
static int
sweep_pending (const struct spark_container *container, void *data)
{
  const struct spark_plan *plan = data;
  struct spark_container registered;
  if (!spark_pending_old (container) || spark_container_live (container, plan->proc_dir))
    return 0;
  cleanup_close int registry_fd = spark_run_dir_open (plan->run_dir, "containers", NULL);
  if (registry_fd < 0)
    return 0;
  remove_under (plan->run_dir, "admitted", container->id);
  if (spark_registry_read (registry_fd, container->id, &registered, NULL) != 0)
    remove_under (plan->run_dir, "ledgers", container->id);
  return 0;
}

/* --- the decision --------------------------------------------------------------------------------------------------- */

static uint64_t
less (uint64_t from, uint64_t take)
{
  return from > take ? from - take : 0;
}

/* The reserve that holds for one decision: the largest of the host's, this container's and the others', and in whose name. */
struct reserve {
  uint64_t bytes;
  char words[80];
  const char *advice;
};

static struct reserve
reserve_decide (const struct spark_plan *plan, uint64_t wish_bytes, const struct spark_holdings *sum)
{
  char size[16];
  struct reserve reserve = { .bytes = plan->reserve_bytes, .advice = "lower the reserve in spark-run's config.json" };
  const char *before = "the host's reserve of ", *after = "";
  if (sum->reserve_bytes > reserve.bytes)
    {
      reserve.bytes = sum->reserve_bytes;
      before = "the reserve of ", after = " that another container asked for";
    }
  if (wish_bytes > reserve.bytes)
    {
      reserve.bytes = wish_bytes;
      before = "the reserve of ", after = " from --reserve";
      reserve.advice = "ask for less with --reserve";
    }
  snprintf (reserve.words, sizeof reserve.words, "%s%s%s", before, spark_size_format (reserve.bytes, size, sizeof size), after);
  return reserve;
}

/* Turns the wish into a budget, or says why not. `wish_bytes` 0 = whatever is left. */
static int
budget_decide (const struct spark_plan *plan, uint64_t wish_bytes, const char *source, uint64_t wish_reserve_bytes,
               const struct spark_holdings *sum, uint64_t *budget_bytes, struct spark_error *error)
{
  uint64_t total;
  if (spark_host_total (plan, &total, error) != 0)
    return -1;
  struct reserve reserve = reserve_decide (plan, wish_reserve_bytes, sum);
  uint64_t left = less (less (total, reserve.bytes), sum->budget_bytes);
  char wished[16], limit[16], explained[SPARK_HOLDERS_TEXT_MAX + 200];
  char from[96] = "";
  if (source[0] != '\0')
    snprintf (from, sizeof from, " (from %s)", source);
  spark_holdings_explain (left, total, reserve.words, sum, explained, sizeof explained);
  spark_size_format (wish_bytes, wished, sizeof wished);
  if (wish_bytes > plan->max_bytes)
    return spark_fail (error, 0, "a budget of %s%s is more than one container may have here (budget.max %s); ask for less with "
                                 "--budget or SPARK_RUN_BUDGET",
                       wished, from, spark_size_format (plan->max_bytes, limit, sizeof limit));
  if (wish_bytes > 0 && wish_bytes < plan->min_bytes)
    return spark_fail (error, 0, "a budget of %s%s is less than a container needs here (budget.min %s); ask for more with "
                                 "--budget or SPARK_RUN_BUDGET",
                       wished, from, spark_size_format (plan->min_bytes, limit, sizeof limit));
  if (wish_bytes > left)
    {
      if (left >= plan->min_bytes && left > 0)
        return spark_fail (error, 0, "a budget of %s%s does not fit: %s; ask for at most %llu%s with --budget or "
                                     "SPARK_RUN_BUDGET%s",
                           wished, from, explained, (unsigned long long) (left >> 20 > 0 ? left >> 20 : left),
                           left >> 20 > 0 ? "m" : "",
                           sum->count > 0 ? ", or stop another container" : "");
      return spark_fail (error, 0, "a budget of %s%s does not fit: %s; %s", wished, from, explained,
                         sum->count > 0 ? "stop another container first" : reserve.advice);
    }
  uint64_t budget = wish_bytes > 0 ? wish_bytes : left < plan->max_bytes ? left : plan->max_bytes;
  if (budget < plan->min_bytes || budget == 0)
    return spark_fail (error, 0, "there is no room for another container: %s, and a container gets at least %s; %s", explained,
                       spark_size_format (plan->min_bytes, limit, sizeof limit),
                       sum->count > 0 ? "stop another container, or give it less with --budget"
                                      : reserve.advice);
  *budget_bytes = budget;
  return 0;
}

static int
grant_fill (const struct spark_plan *plan, const char *id, uint64_t budget_bytes, struct spark_grant *grant,
            struct spark_error *error)
{
  memset (grant, 0, sizeof *grant);
  snprintf (grant->id, sizeof grant->id, "%s", id);
  grant->budget_bytes = budget_bytes;
  uint64_t share = (uint64_t) ((unsigned __int128) budget_bytes * 9 / 10);
  uint64_t step = share >= engine_arena_bytes ? engine_arena_bytes : engine_page_bytes;
  grant->engine_bytes = share / step * step;
  int length = snprintf (grant->ledger, sizeof grant->ledger, "%s/ledgers/%s", plan->run_dir, id);
  if (length >= (int) sizeof grant->ledger)
    return spark_fail (error, 0, "the path of the ledger would be %d characters long, the most is %zu; paths.runDir of the "
                                 "plan is too long", length, sizeof grant->ledger - 1);
  return 0;
}

/* A second container of the same id would wipe the ledger of the first. The same holder asking again is a retry. */
static bool
id_taken (const struct desk *desk, const char *id, const char *proc_dir, pid_t holder)
{
  struct spark_container other;
  return (spark_registry_read (desk->registry_fd, id, &other, NULL) == 0 && spark_container_live (&other, proc_dir))
         || (spark_registry_read (desk->admitted_fd, id, &other, NULL) == 0 && other.pid != holder
             && spark_pending_live (&other, proc_dir));
}

int
spark_admit (const struct spark_plan *plan, const char *id, const char *engine, const struct spark_wish *wish,
             pid_t holder, struct spark_grant *grant, struct spark_error *error)
{
  if (!spark_id_valid (id))
    return spark_fail (error, 0,
                       "\"%.150s\" is not a container id: use 1 to %d of A-Z a-z 0-9 _ . - and do not begin with a dot", id,
                       SPARK_ID_MAX);
  cleanup_close int ledgers_fd = spark_run_dir_open (plan->run_dir, "ledgers", error);
  cleanup_desk struct desk desk = DESK_NONE;
  if (ledgers_fd < 0 || desk_open (plan, &desk, error) != 0)
    return -1;
  spark_registry_each (desk.admitted_fd, sweep_pending, (void *) plan);
  if (id_taken (&desk, id, plan->proc_dir, holder))
    return spark_fail (error, 0, "a container with the id %s is there already", id);
  struct spark_holdings sum = { .except_id = id, .proc_dir = plan->proc_dir };
  spark_holdings_sum (&sum, desk.registry_fd, desk.admitted_fd);
  uint64_t wish_bytes = wish->budget_bytes > 0 ? wish->budget_bytes : plan->default_bytes;
  const char *source = wish->budget_bytes > 0 ? wish->source : plan->default_bytes > 0 ? "budget.default" : "";
  uint64_t budget_bytes;
  if (budget_decide (plan, wish_bytes, source, wish->reserve_bytes, &sum, &budget_bytes, error) != 0)
    return -1;
  if (grant_fill (plan, id, budget_bytes, grant, error) != 0)
    return -1;
  grant->reserve_bytes = wish->reserve_bytes > plan->reserve_bytes ? wish->reserve_bytes : 0;
  grant->priority = wish->priority;

  struct spark_container pending = {
    .pid = holder,
    .budget_bytes = budget_bytes,
    .reserve_bytes = grant->reserve_bytes,
    .priority = wish->priority,
    .created_ns = spark_boottime_ns (),
  };
  snprintf (pending.id, sizeof pending.id, "%s", id);
  snprintf (pending.name, sizeof pending.name, "%s", wish->name);
  snprintf (pending.request, sizeof pending.request, "%s", wish->request);
  snprintf (pending.engine, sizeof pending.engine, "%s", engine);
  snprintf (pending.ledger, sizeof pending.ledger, "%s", grant->ledger);
  spark_process_start (plan->proc_dir, holder, &pending.pid_start);
  uint64_t reserve_bytes = reserve_decide (plan, wish->reserve_bytes, &sum).bytes;
  if (spark_registry_write (desk.admitted_fd, &pending, error) != 0)
    return -1;
  if (spark_ledger_create (grant->ledger, budget_bytes, reserve_bytes, plan->withhold_bytes, error) != 0)
    {
      spark_registry_remove (desk.admitted_fd, id, NULL);
      return -1;
    }
  return 0;
}

/* --- after the decision --------------------------------------------------------------------------------------------- */

void
spark_admission_undo (const struct spark_plan *plan, const char *id)
{
  if (!spark_id_valid (id))
    return;
  remove_under (plan->run_dir, "admitted", id);
  remove_under (plan->run_dir, "ledgers", id);
}

bool
spark_admission_pending (const struct spark_plan *plan, const char *id, pid_t *holder)
{
  cleanup_close int fd = spark_run_dir_open (plan->run_dir, "admitted", NULL);
  struct spark_container pending;
  if (fd < 0 || spark_registry_read (fd, id, &pending, NULL) != 0
      || (pending.pid != getpid () && !spark_pending_live (&pending, plan->proc_dir)))
    return false;
  *holder = pending.pid;
  return true;
}

struct same_ledger {
  int admitted_fd;
  const struct spark_container *container;
};

static int
end_admission (const struct spark_container *pending, void *data)
{
  const struct same_ledger *search = data;
  if (strcmp (pending->id, search->container->id) == 0
      || (pending->ledger[0] != '\0' && strcmp (pending->ledger, search->container->ledger) == 0))
    spark_registry_remove (search->admitted_fd, pending->id, NULL);
  return 0;
}

int
spark_register (const struct spark_plan *plan, struct spark_container *container, struct spark_error *error)
{
  cleanup_desk struct desk desk = DESK_NONE;
  if (desk_open (plan, &desk, error) != 0)
    return -1;
  struct spark_container known;
  if (spark_registry_read (desk.registry_fd, container->id, &known, NULL) == 0 && known.pid == container->pid
      && known.pid_start == container->pid_start)
    return 0;
  struct spark_holdings sum
    = { .except_id = container->id, .except_ledger = container->ledger, .proc_dir = plan->proc_dir };
  spark_holdings_sum (&sum, desk.registry_fd, desk.admitted_fd);
  uint64_t budget_bytes;
  if (budget_decide (plan, container->budget_bytes, "", container->reserve_bytes, &sum, &budget_bytes, error) != 0)
    return -1;
  container->budget_bytes = budget_bytes;
  container->created_ns = spark_boottime_ns ();
  spark_container_note_cgroups (container);
  container->kills = spark_cooldown_of (plan->run_dir, container->id, container->created_ns).kills;
  if (spark_registry_write (desk.registry_fd, container, error) != 0)
    return -1;
  if (container->reserve_bytes > plan->reserve_bytes)
    spark_reserve_raise (desk.registry_fd, desk.admitted_fd, container->reserve_bytes);
  struct same_ledger search = { desk.admitted_fd, container };
  spark_registry_each (desk.admitted_fd, end_admission, &search);
  return 0;
}

void
spark_unregister (const struct spark_plan *plan, const char *id)
{
  if (!spark_id_valid (id))
    return;
  remove_under (plan->run_dir, "containers", id);
  spark_admission_undo (plan, id);
}

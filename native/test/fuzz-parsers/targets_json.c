/* What the runtime reads as JSON: its plan, a container's configuration, and the request in one of its variables. */
#include "targets.h"

#include "common/cleanup.h"
#include "runtime/container.h"
#include "runtime/edits.h"
#include "runtime/plan.h"
#include "runtime/wish.h"
#include <string.h>

static const char plan_text[]
  = "{\"planVersion\":1,\"nextRuntime\":\"/usr/bin/runc\",\"paths\":{\"libDir\":\"/l\",\"runDir\":\"/r\"},\"host\":{\"reserveBytes\":10},"
    "\"budget\":{\"wishes\":[{\"env\":\"MAX_MEMORY_LIMIT_GB\",\"unitBytes\":1073741824}]},\"cgroup\":{\"limitMemory\":true,\"oomScoreAdj\":500},"
    "\"containerEdits\":{\"env\":[\"A=${budgetBytes}\",\"B=x\"],\"mounts\":[{\"source\":\"/dev/null\",\"destination\":\"/n\",\"options\":[\"ro\"]}],"
    "\"hooks\":[{\"stage\":\"prestart\",\"path\":\"/h\",\"args\":[\"h\"]}],\"preload\":\"/l/s.so\"}}";

static const struct spark_grant grant = { .id = "fuzz", .budget_bytes = 1 << 20, .engine_bytes = 1 << 19, .ledger = "/r/ledgers/fuzz" };

void
target_plan (const char *text, size_t length)
{
  struct spark_plan plan;
  struct spark_error error;
  struct spark_wish wish;
  char path[64];
  cleanup_close int fd = memory_file (text, length);

  if (spark_plan_load (memory_path (fd, path), &plan, &error) == 0)
    {
      static const char bare[] = "{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"a\"],\"env\":[\"MAX_MEMORY_LIMIT_GB=4\"]},\"root\":{\"path\":\"r\"}}";
      cleanup_json json_object *config = spark_json_parse (bare, sizeof bare - 1, "bare", &error);
      ALWAYS (plan.next_runtime != NULL && plan.lib_dir[0] == '/' && plan.run_dir[0] == '/');
      spark_container_wants_gpu (config, plan.wishes);
      spark_wish_read (&plan, config, 1 << 30, &wish, &error);
      spark_edit_env (&plan, config, &grant, &error);
      spark_edit_mounts (&plan, config, &grant, &error);
      spark_edit_hooks (&plan, config, &grant, &error);
    }
  else
    ALWAYS (error.text[0] != '\0' && strchr (error.text, '\n') == NULL);
  spark_plan_free (&plan);
}

void
target_config (const char *text, size_t length)
{
  static struct spark_plan plan;
  struct spark_error error;
  struct spark_wish wish;
  const struct spark_subject subject = { "fuzz", NULL, NULL };
  char path[64], id[SPARK_ID_MAX + 1];

  if (plan.root == NULL)
    {
      cleanup_close int fd = memory_file (plan_text, sizeof plan_text - 1);
      ALWAYS (spark_plan_load (memory_path (fd, path), &plan, &error) == 0);
    }
  cleanup_json json_object *config = spark_json_parse (text, length, "the configuration", &error);
  if (config == NULL || spark_container_check_version (config, &error) != 0)
    return;
  spark_container_is_sandbox (config);
  spark_container_wants_gpu (config, plan.wishes);
  spark_container_annotation (config, "io.spark-run.budget");
  spark_container_engine (config, "/run/b");
  spark_container_mount_at (config, "/usr/lib/spark-run/ledger");
  ALWAYS (strlen (spark_container_name (config)) <= SPARK_ID_MAX);
  if (spark_container_id (config, id, &error) == 0)
    ALWAYS (spark_id_valid (id));
  spark_wish_read (&plan, config, UINT64_C (100) << 30, &wish, &error);
  /* One after the other, as far as it goes, on the same object: what an edit leaves must be fit for the next. */
  if (spark_edit_env (&plan, config, &grant, &error) == 0 && spark_edit_mounts (&plan, config, &grant, &error) == 0
      && spark_edit_hooks (&plan, config, &grant, &error) == 0
      && spark_edit_memory (&plan, config, &grant, &subject, &error) == 0)
    spark_edit_annotations (config, &grant, "docker", &subject, &error);
  size_t printed;
  const char *again = spark_json_text (config, &printed);
  cleanup_json json_object *parsed = spark_json_parse (again, printed, "what was printed", &error);
  ALWAYS (parsed != NULL);
}

void
target_request (const char *text, size_t length)
{
  struct spark_wish wish = { 0 };
  struct spark_error error;

  (void) length;
  if (spark_wish_request (text, &wish, &error) == 0)
    ALWAYS ((wish.name[0] == '\0' || spark_id_valid (wish.name)) && (wish.request[0] == '\0' || spark_id_valid (wish.request)));
}

/* Plans that can be used, and every kind that cannot: file, what was found, what is understood, the cure. */
#include "runtime/plan.h"

#include "check.h"

#include <unistd.h>

static char file[] = "/tmp/spark-plan-XXXXXX";

static int
load (const char *text, struct spark_plan *plan, struct spark_error *error)
{
  FILE *stream = fopen (file, "w");
  fputs (text, stream);
  fclose (stream);
  return spark_plan_load (file, plan, error);
}

static void
refused (const char *text, const char *part)
{
  struct spark_plan plan;
  struct spark_error error = { 0 };
  CHECK (load (text, &plan, &error) != 0);
  CHECK (strstr (error.text, file) != NULL && strstr (error.text, "spark-run install") != NULL);
  if (strstr (error.text, part) == NULL)
    printf ("# %s\n", error.text);
  CHECK (strstr (error.text, part) != NULL);
  spark_plan_free (&plan);
}

#define HEAD "{\"planVersion\":1,\"nextRuntime\":\"/usr/bin/runc\",\"paths\":{\"libDir\":\"/l\",\"runDir\":\"/r\"},"
#define TAIL "\"containerEdits\":{}}"

int
main (void)
{
  struct spark_plan plan;
  struct spark_error error = { 0 };
  close (mkstemp (file));
  CHECK (load (HEAD "\"host\":{\"reserveBytes\":10},\"later\":[1]," TAIL, &plan, &error) == 0);
  CHECK_TEXT (plan.next_runtime, "/usr/bin/runc");
  CHECK_TEXT (plan.proc_dir, "/proc");
  CHECK (plan.reserve_bytes == 10 && plan.max_bytes == UINT64_MAX && plan.default_bytes == 0 && plan.min_bytes == 1);
  CHECK (!plan.start_without_guard && plan.preload == NULL && plan.log_dir == NULL);
  spark_plan_free (&plan);
  test_done ("the smallest plan is read, unknown keys are passed over");

  CHECK (load (HEAD "\"host\":{\"reserveBytes\":10,\"withholdBytes\":20},\"onGuardMissing\":\"warn\","
                    "\"budget\":{\"defaultBytes\":1,\"maxBytes\":2,\"minBytes\":3,\"wishes\":[]},"
                    "\"cgroup\":{\"limitMemory\":true,\"oomScoreAdj\":500}," TAIL,
               &plan, &error)
         == 0);
  CHECK (plan.withhold_bytes == 20 && plan.default_bytes == 1 && plan.max_bytes == 2 && plan.min_bytes == 3);
  CHECK (plan.start_without_guard && plan.limit_memory && plan.oom_score_adj == 500);
  spark_plan_free (&plan);
  test_done ("every number is where it belongs");

  refused ("", "not JSON");
  refused ("{\"planVersion\":1", "not JSON");
  refused ("[1]", "not a JSON object");
  refused ("{\"planVersion\":2}", "has version 2, this spark-runtime understands version 1");
  refused ("{\"planVersion\":\"1\"}", "has version \"1\"");
  refused ("{}", "has version none");
  refused ("{\"planVersion\":1}", "nextRuntime");
  refused ("{\"planVersion\":1,\"nextRuntime\":\"/r\"}", "paths.libDir");
  refused ("{\"planVersion\":1,\"nextRuntime\":\"/r\",\"paths\":{\"libDir\":\"l\"}}", "paths.libDir");
  refused (HEAD TAIL, "host.reserveBytes");
  refused (HEAD "\"host\":{\"reserveBytes\":-1}," TAIL, "host.reserveBytes");
  refused (HEAD "\"host\":{\"reserveBytes\":1.5}," TAIL, "host.reserveBytes");
  refused (HEAD "\"host\":{\"reserveBytes\":1},\"budget\":{\"maxBytes\":\"9g\"}," TAIL, "budget.maxBytes");
  refused (HEAD "\"host\":{\"reserveBytes\":1},\"onGuardMissing\":\"ignore\"," TAIL, "onGuardMissing");
  refused (HEAD "\"host\":{\"reserveBytes\":1},\"cgroup\":{\"oomScoreAdj\":-1}," TAIL, "cgroup.oomScoreAdj");
  refused (HEAD "\"host\":{\"reserveBytes\":1}}", "containerEdits");
  refused (HEAD "\"host\":{\"reserveBytes\":1},\"containerEdits\":{\"env\":{}}}", "containerEdits.env");
  test_done ("broken plans are refused by name of what is wrong");

  unlink (file);
  CHECK (spark_plan_load (file, &plan, &error) != 0);
  CHECK (strstr (error.text, "there is no plan at ") != NULL && strstr (error.text, "spark-run install") != NULL);
  spark_plan_free (&plan);
  test_done ("a missing plan is refused with the way to write one");
  return check_done ();
}

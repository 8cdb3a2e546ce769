#include "hook.h"

#include "common/ledger.h"
#include "common/registry.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char usage[]
  = "spark-hook: what to do is missing or unknown; allowed: prestart, createRuntime, poststop, precreate, admit, ledger, "
    "register";

enum { EXIT_HOOK_FAILED = 1, EXIT_REFUSED = 125 };

static const struct option option_names[] = {
  { "plan", required_argument, NULL, 'P' },          { "id", required_argument, NULL, 'i' },
  { "request", required_argument, NULL, 'r' },       { "env", required_argument, NULL, 'e' },
  { "name", required_argument, NULL, 'n' },          { "ledger", required_argument, NULL, 'l' },
  { "engine", required_argument, NULL, 'E' },        { "file", required_argument, NULL, 'f' },
  { "pid", required_argument, NULL, 'p' },           { "pgid", required_argument, NULL, 'g' },
  { "budget-bytes", required_argument, NULL, 'b' },  { "reserve-bytes", required_argument, NULL, 'R' },
  { "withhold-bytes", required_argument, NULL, 'w' }, { "priority", required_argument, NULL, 'y' },
  { "gpu-only", no_argument, NULL, 'G' },            { NULL, 0, NULL, 0 },
};

static int
number_option (const char *name, const char *text, uint64_t max, uint64_t *number, struct spark_error *error)
{
  char *end = NULL;
  *number = strtoull (text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || strlen (text) > 16 || *number > max)
    return spark_fail (error, 0, "--%s is \"%.40s\", allowed: a whole number from 0 to %llu", name, text,
                       (unsigned long long) max);
  return 0;
}

static int
priority_option (const char *text, int *priority, struct spark_error *error)
{
  if (!spark_priority_parse (text, priority))
    return spark_fail (error, 0, "--priority is \"%.40s\", allowed: a whole number from -1000 to 1000", text);
  return 0;
}

static int
option_take (int option, const char *name, struct spark_hook_options *options, size_t *env_count,
             struct spark_error *error)
{
  static const uint64_t bytes_max = (UINT64_C (1) << 53) - 1, pid_max = INT32_MAX;
  switch (option)
    {
    case 'P':
      options->plan_file = optarg;
      return 0;
    case 'i':
      options->id = optarg;
      return 0;
    case 'r':
      options->request = optarg;
      return 0;
    case 'n':
      options->name = optarg;
      return 0;
    case 'l':
      options->ledger = optarg;
      return 0;
    case 'E':
      options->engine = optarg;
      return 0;
    case 'f':
      options->file = optarg;
      return 0;
    case 'G':
      options->gpu_only = true;
      return 0;
    case 'e':
      if (*env_count + 1 >= sizeof options->env / sizeof options->env[0])
        return spark_fail (error, 0, "--env is given more than %zu times", *env_count);
      options->env[(*env_count)++] = optarg;
      return 0;
    case 'p':
      return number_option (name, optarg, pid_max, &options->pid, error);
    case 'g':
      return number_option (name, optarg, pid_max, &options->pgid, error);
    case 'b':
      return number_option (name, optarg, bytes_max, &options->budget_bytes, error);
    case 'R':
      return number_option (name, optarg, bytes_max, &options->reserve_bytes, error);
    case 'w':
      return number_option (name, optarg, bytes_max, &options->withhold_bytes, error);
    case 'y':
      return priority_option (optarg, &options->priority, error);
    default:
      return spark_fail (error, 0, "unknown option or option without its value; docs/formats.md section 9 lists them");
    }
}

static int
options_parse (int argc, char **argv, struct spark_hook_options *options, struct spark_error *error)
{
  size_t env_count = 0;
  memset (options, 0, sizeof *options);
  options->plan_file = SPARK_PLAN_DEFAULT_FILE;
  opterr = 0;
  optind = 1;
  for (int option, index = 0; (option = getopt_long (argc, argv, "", option_names, &index)) != -1;)
    if (option_take (option, option == '?' ? "" : option_names[index].name, options, &env_count, error) != 0)
      return -1;
  if (optind < argc)
    return spark_fail (error, 0, "\"%.60s\" is one argument too many", argv[optind]);
  return 0;
}

static int
ledger_verb (const struct spark_hook_options *options, struct spark_error *error)
{
  if (options->file == NULL || options->budget_bytes == 0)
    return spark_fail (error, 0, "ledger needs --file FILE and --budget-bytes N above 0");
  return spark_ledger_create (options->file, options->budget_bytes, options->reserve_bytes, options->withhold_bytes, error);
}

static int
verb_run (const char *verb, const struct spark_hook_options *options, struct spark_error *error)
{
  if (strcmp (verb, "ledger") == 0)
    return ledger_verb (options, error);
  if (strcmp (verb, "precreate") == 0)
    return spark_hook_precreate (options->plan_file, options->gpu_only, error);
  cleanup_plan struct spark_plan plan;
  if (spark_plan_load (options->plan_file, &plan, error) != 0)
    return -1;
  if (strcmp (verb, "prestart") == 0 || strcmp (verb, "createRuntime") == 0)
    return spark_hook_register_state (&plan, error);
  if (strcmp (verb, "poststop") == 0)
    return spark_hook_poststop (&plan, error);
  if (strcmp (verb, "admit") == 0)
    return spark_hook_admit (&plan, options, error);
  if (strcmp (verb, "register") == 0)
    return spark_hook_register (&plan, options, error);
  return spark_fail (error, 0, "%s", usage + sizeof "spark-hook: " - 1);
}

int
spark_hook_main (int argc, char **argv)
{
  struct spark_error error = { 0 };
  struct spark_hook_options options;
  if (argc < 2)
    {
      fprintf (stderr, "%s\n", usage);
      return 2;
    }
  const char *verb = argv[1];
  if (options_parse (argc - 1, argv + 1, &options, &error) == 0 && verb_run (verb, &options, &error) == 0)
    return 0;
  fprintf (stderr, "spark-run: %s\n", error.text);
  /* A container that is gone is gone: an engine's cleanup must never fail because of us. */
  if (strcmp (verb, "poststop") == 0)
    return 0;
  return strcmp (verb, "admit") == 0 ? EXIT_REFUSED : EXIT_HOOK_FAILED;
}

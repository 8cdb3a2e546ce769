#include "argv.h"

#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const verbs[] = { "checkpoint", "create", "delete", "events", "exec", "features", "help",  "init",
                                     "kill",       "list",   "mounts", "pause",  "ps",   "restore",  "resume", "run",
                                     "spec",       "start",  "state",  "update" };

/* Options before the verb that take a value, in runc and crun. */
static const char *const global_values[]
  = { "root", "log", "log-format", "log-level", "criu", "rootless", "cgroup-manager", "spark-plan" };

/* Options before the verb that take none. */
static const char *const global_flags[] = { "debug", "systemd-cgroup", "help", "h", "version", "v" };

/* Options of create, run and restore that take a value. */
static const char *const create_values[] = { "bundle", "b", "config", "f", "console-socket", "pidfd-socket", "pid-file",
                                             "preserve-fds" };

#define HOLDS(list, word, length) list_holds (list, sizeof list / sizeof list[0], word, length)

static bool
list_holds (const char *const *list, size_t count, const char *word, size_t length)
{
  for (size_t i = 0; i < count; i++)
    if (strlen (list[i]) == length && strncmp (list[i], word, length) == 0)
      return true;
  return false;
}

/* One option as written: --name, -name, --name=value. */
struct option {
  const char *name;
  size_t name_length;
  const char *value; /* after "=", or NULL */
};

static bool
option_split (const char *argument, struct option *option)
{
  if (argument[0] != '-' || argument[1] == '\0')
    return false;
  option->name = argument + (argument[1] == '-' ? 2 : 1);
  option->name_length = strcspn (option->name, "=");
  option->value = option->name[option->name_length] == '=' ? option->name + option->name_length + 1 : NULL;
  return true;
}

static bool
option_is (const struct option *option, const char *name)
{
  return strlen (name) == option->name_length && strncmp (option->name, name, option->name_length) == 0;
}

static void
global_take (struct spark_invocation *invocation, const struct option *option, const char *value)
{
  if (option_is (option, "log"))
    invocation->log_file = value;
  else if (option_is (option, "log-format"))
    invocation->log_json = strcmp (value, "json") == 0;
  else if (option_is (option, "spark-plan"))
    invocation->plan_file = value;
}

/* Reads the options before the verb; returns the index after it. */
static int
globals_parse (int argc, char **argv, struct spark_invocation *invocation, int *next_argc, struct spark_error *error)
{
  bool unknown_before = false;
  for (int i = 1; i < argc; i++)
    {
      struct option option;
      if (!option_split (argv[i], &option))
        {
          invocation->next_argv[(*next_argc)++] = argv[i];
          /* After an option that neither runc nor crun has, a word that is no verb is that option's value. */
          if (unknown_before && !HOLDS (verbs, argv[i], strlen (argv[i])))
            {
              unknown_before = false;
              continue;
            }
          invocation->verb = argv[i];
          return i + 1;
        }
      bool ours = option_is (&option, "spark-plan");
      bool takes_value = HOLDS (global_values, option.name, option.name_length) && option.value == NULL;
      unknown_before = option.value == NULL && !takes_value && !HOLDS (global_flags, option.name, option.name_length);
      if (ours && takes_value && i + 1 == argc)
        return spark_fail (error, 0, "--spark-plan has no value; write --spark-plan=FILE, such as --spark-plan=%s",
                           SPARK_PLAN_DEFAULT_FILE);
      if (!ours)
        invocation->next_argv[(*next_argc)++] = argv[i];
      if (takes_value && i + 1 < argc)
        {
          i++;
          option.value = argv[i];
          if (!ours)
            invocation->next_argv[(*next_argc)++] = argv[i];
        }
      if (option.value != NULL)
        global_take (invocation, &option, option.value);
    }
  return argc;
}

/* Reads bundle and id; options may come after the id, as runc allows. The value of an option that only a later runtime has
   looks like a word of its own, so the id is the last word: runc and crun take one only. */
static void
create_parse (int argc, char **argv, int first, struct spark_invocation *invocation)
{
  bool options = true;
  for (int i = first; i < argc; i++)
    {
      struct option option;
      if (options && strcmp (argv[i], "--") == 0)
        {
          options = false;
          continue;
        }
      if (!options || !option_split (argv[i], &option))
        {
          invocation->id = argv[i];
          continue;
        }
      if (option.value == NULL && HOLDS (create_values, option.name, option.name_length) && i + 1 < argc)
        option.value = argv[++i];
      if (option.value == NULL)
        continue;
      if (option_is (&option, "bundle") || option_is (&option, "b"))
        invocation->bundle = option.value;
      if (option_is (&option, "config") || option_is (&option, "f"))
        invocation->config = option.value;
    }
}

int
spark_invocation_parse (int argc, char **argv, struct spark_invocation *invocation, struct spark_error *error)
{
  *invocation = (struct spark_invocation){
    .next_argv = calloc ((size_t) argc + 2, sizeof (char *)),
    .plan_file = SPARK_PLAN_DEFAULT_FILE,
    .bundle = ".",
    .config = "config.json",
  };
  if (invocation->next_argv == NULL)
    return spark_fail (error, ENOMEM, "cannot read the command line");
  int next_argc = 1;
  int after_verb = globals_parse (argc, argv, invocation, &next_argc, error);
  if (after_verb < 0)
    return -1;
  for (int i = after_verb; i < argc; i++)
    invocation->next_argv[next_argc++] = argv[i];
  if (spark_invocation_creates (invocation) || spark_invocation_restores (invocation))
    create_parse (argc, argv, after_verb, invocation);
  return 0;
}

bool
spark_invocation_creates (const struct spark_invocation *invocation)
{
  return invocation->verb != NULL && (strcmp (invocation->verb, "create") == 0 || strcmp (invocation->verb, "run") == 0);
}

bool
spark_invocation_restores (const struct spark_invocation *invocation)
{
  return invocation->verb != NULL && strcmp (invocation->verb, "restore") == 0;
}

/* Command lines as runc, crun, dockerd, containerd, Podman and CRI-O write them. */
#include "runtime/argv.h"
#include "runtime/plan.h"

#include "check.h"

#include <stdbool.h>

enum { ARGC_MAX = 24 };

static struct {
  struct spark_invocation invocation;
  char *argv[ARGC_MAX];
  int argc;
  char text[512]; /* what the next runtime gets, joined */
  int result;
  struct spark_error error;
} t;

static void
parse (const char *command_line)
{
  static char words[512];
  free (t.invocation.next_argv);
  memset (&t, 0, sizeof t);
  snprintf (words, sizeof words, "%s", command_line);
  for (char *save, *word = strtok_r (words, " ", &save); word != NULL; word = strtok_r (NULL, " ", &save))
    t.argv[t.argc++] = word;
  t.result = spark_invocation_parse (t.argc, t.argv, &t.invocation, &t.error);
  for (int i = 1; t.result == 0 && t.invocation.next_argv[i] != NULL; i++)
    {
      strcat (t.text, t.text[0] != '\0' ? " " : "");
      strcat (t.text, t.invocation.next_argv[i]);
    }
}

static void
test_verbs (void)
{
  static const struct {
    const char *line, *verb;
  } table[] = {
    { "rt --root R --log L --log-format json state x", "state" },
    { "rt --root=R --log=L state x", "state" },
    { "rt -root R state x", "state" },
    { "rt --debug --systemd-cgroup --rootless false kill x 9", "kill" },
    { "rt --cgroup-manager systemd delete --force x", "delete" },
    { "rt --log create state x", "state" },  /* a log file named create */
    { "rt --novel value delete x", "delete" }, /* an option that only a later runtime has */
    { "rt --novel delete x", "delete" },
    { "rt --novel=create delete x", "delete" },
    { "rt exec x create", "exec" },
    { "rt unheard-of x", "unheard-of" },
    { "rt --version", NULL },
    { "rt", NULL },
    { "rt --log", NULL },
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    {
      parse (table[i].line);
      CHECK (t.result == 0);
      if (table[i].verb == NULL)
        CHECK (t.invocation.verb == NULL);
      else
        CHECK_TEXT (t.invocation.verb, table[i].verb);
      CHECK_TEXT (t.text, strlen (table[i].line) > 3 ? table[i].line + 3 : "");
    }
  test_done ("the verb is found behind every option, and the next runtime gets the same words");
}

static void
test_create (void)
{
  parse ("rt --root R --log L --log-format json create --bundle /b --pid-file P id1");
  CHECK (spark_invocation_creates (&t.invocation));
  CHECK_TEXT (t.invocation.bundle, "/b");
  CHECK_TEXT (t.invocation.id, "id1");
  CHECK_TEXT (t.invocation.log_file, "L");
  CHECK (t.invocation.log_json);
  test_done ("create as containerd writes it");

  parse ("rt run -d --console-socket S -b /one --bundle=/two id2");
  CHECK (spark_invocation_creates (&t.invocation));
  CHECK_TEXT (t.invocation.bundle, "/two");
  CHECK_TEXT (t.invocation.id, "id2");
  CHECK_TEXT (t.invocation.config, "config.json");
  parse ("rt create id3 -bundle /late");
  CHECK_TEXT (t.invocation.bundle, "/late");
  CHECK_TEXT (t.invocation.id, "id3");
  parse ("rt create -f other.json -- -id");
  CHECK_TEXT (t.invocation.config, "other.json");
  CHECK_TEXT (t.invocation.bundle, ".");
  CHECK_TEXT (t.invocation.id, "-id");
  parse ("rt create --bundle");
  CHECK (t.invocation.id == NULL);
  test_done ("the last bundle wins, options may follow the id, -- ends options");

  parse ("rt create --pidfd-socket S --bundle /b id4");
  CHECK_TEXT (t.invocation.bundle, "/b");
  CHECK_TEXT (t.invocation.id, "id4");
  parse ("rt create --bundle /b id5 --pidfd-socket S");
  CHECK_TEXT (t.invocation.id, "id5");
  parse ("rt run --of-a-later-runtime S --bundle /b id6");
  CHECK_TEXT (t.invocation.id, "id6");
  CHECK_TEXT (t.text, "run --of-a-later-runtime S --bundle /b id6");
  test_done ("the value of an option that only a later runtime has is not the id");

  parse ("rt restore --image-path I --work-path W --bundle /b id7");
  CHECK (!spark_invocation_creates (&t.invocation) && spark_invocation_restores (&t.invocation));
  CHECK_TEXT (t.invocation.id, "id7");
  test_done ("restore says which container it brings back");

  parse ("rt delete --bundle /b create");
  CHECK (!spark_invocation_creates (&t.invocation));
  parse ("rt --log create exec create");
  CHECK (!spark_invocation_creates (&t.invocation));
  test_done ("a word that only looks like create is none");
}

static void
test_own_option (void)
{
  parse ("rt --spark-plan=/p.json --root R state x");
  CHECK_TEXT (t.invocation.plan_file, "/p.json");
  CHECK_TEXT (t.text, "--root R state x");
  parse ("rt --root R --spark-plan /p.json state x");
  CHECK_TEXT (t.invocation.plan_file, "/p.json");
  CHECK_TEXT (t.text, "--root R state x");
  parse ("rt state x");
  CHECK_TEXT (t.invocation.plan_file, SPARK_PLAN_DEFAULT_FILE);
  parse ("rt exec x program --spark-plan=/evil.json");
  CHECK_TEXT (t.invocation.plan_file, SPARK_PLAN_DEFAULT_FILE);
  CHECK_TEXT (t.text, "exec x program --spark-plan=/evil.json");
  parse ("rt --spark-plan");
  CHECK (t.result != 0 && strstr (t.error.text, "--spark-plan=FILE") != NULL);
  test_done ("--spark-plan is taken out before the verb and left alone after it");
}

int
main (void)
{
  test_verbs ();
  test_create ();
  test_own_option ();
  free (t.invocation.next_argv);
  return check_done ();
}

/* Kill after kill on real cgroups, while other containers start and stop: no wrong victim, nothing left over, nothing leaked.
   kills GUARD-PROGRAM KILLS [SEED] */
#include "test/check.h"
#include "test/guard/rig.h"
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 6, FIRST_CHURN_SLOT = 10, CHURN_SLOTS = 4, BYSTANDERS = 3, FIRST_BYSTANDER_SLOT = 20, DEATH_MS = 20000, WARM = 60 };

/* Between this process and the one that starts and stops innocent containers. */
static struct shared {
  volatile bool stop;
  volatile unsigned started, wrong_victims;
} *shared;

static unsigned wrong_victims, survivors, killed, ended_first;

/* --- starts and stops beside it ------------------------------------------------------------------------------------ */

/* An innocent one that dies of anything but our asking is a wrong victim. */
static void
stop_innocent (struct rig_container *c, volatile unsigned *wrong)
{
  bool unregister_first = rig_chance (2) == 0, unregister_at_all = rig_chance (4) != 0;

  if (unregister_first && unregister_at_all)
    rig_unregister (c);
  rig_ask (c);
  if (!rig_dies (c, DEATH_MS) || rig_was_killed (c))
    {
      printf ("# the innocent %s ended with status 0x%x\n", c->entry.name, (unsigned) c->status);
      ++*wrong;
    }
  rig_clean (c);
  if (!unregister_first && unregister_at_all)
    rig_unregister (c);
}

static void
churn (uint64_t seed)
{
  static struct rig_container containers[CHURN_SLOTS];
  char name[32], id[32];

  rig_seed (seed);
  while (!shared->stop)
    {
      unsigned i = (unsigned) rig_chance (CHURN_SLOTS);
      struct rig_container *c = &containers[i];
      if (c->started)
        stop_innocent (c, &shared->wrong_victims);
      snprintf (name, sizeof name, "churn-%u", ++shared->started);
      snprintf (id, sizeof id, "churn-slot-%u", i); /* the same one again and again */
      rig_start (c, FIRST_CHURN_SLOT + i, RIG_INNOCENT, name, id);
      rig_register (c);
      usleep ((useconds_t) rig_chance (20000));
    }
  for (unsigned i = 0; i < CHURN_SLOTS; i++)
    if (containers[i].started)
      {
        stop_innocent (&containers[i], &shared->wrong_victims);
        rig_unregister (&containers[i]);
      }
  _exit (0);
}

/* --- one kill ------------------------------------------------------------------------------------------------------ */

enum { GUILTY_MAX = 20000 };
static char outcome[GUILTY_MAX]; /* of each guilty one: 'k' killed, 'e' it ended itself */

static void
one_kill (unsigned number, struct rig_container *guilty, struct rig_container *heir)
{
  char name[32], id[32];
  unsigned slot = number % SLOTS;
  bool races = rig_chance (5) == 0;

  if (heir->started)
    stop_innocent (heir, &wrong_victims);
  snprintf (name, sizeof name, "guilty-%u", number);
  snprintf (id, sizeof id, "slot-%u", slot);
  rig_start (guilty, slot, RIG_GUILTY, name, id);
  rig_register (guilty);
  usleep ((useconds_t) rig_chance (3000));
  rig_short ();
  if (races)
    {
      usleep ((useconds_t) rig_chance (9000));
      rig_ask (guilty);
    }
  if (!rig_dies (guilty, DEATH_MS))
    {
      printf ("# %s lives on\n", name);
      survivors++;
      kill (-guilty->pid, SIGKILL);
      rig_dies (guilty, DEATH_MS);
    }
  rig_plenty ();
  outcome[number] = rig_was_killed (guilty) ? 'k' : 'e';
  *(rig_was_killed (guilty) ? &killed : &ended_first) += 1;
  rig_clean (guilty);
  if (rig_chance (2) == 0)
    rig_unregister (guilty);
  /* At once an innocent one in the same cgroups, under the same id. */
  if (rig_chance (2) == 0)
    {
      snprintf (name, sizeof name, "heir-%u", number);
      rig_start (heir, slot, RIG_INNOCENT, name, id);
      rig_register (heir);
    }
  rig_reap ();
  usleep ((useconds_t) (7000 + rig_chance (3000))); /* it sees that memory came back */
}

/* --- books --------------------------------------------------------------------------------------------------------- */

/* Waits until the guard has swept what ended without a word. */
static unsigned
settled_registry (void)
{
  unsigned left = 0;

  for (int tries = 0; tries < 1000 && (left = rig_registered ()) > 0; tries++)
    poll (NULL, 0, 10);
  return left;
}

static void
check_events (unsigned numbers)
{
  static unsigned count[GUILTY_MAX];
  unsigned events = 0, foreign = 0, missing = 0, twice = 0;

  for (char *line = strtok (rig_events (), "\n"); line != NULL; line = strtok (NULL, "\n"))
    {
      if (strstr (line, "\"type\":\"kill\"") == NULL)
        continue;
      events++;
      char *name = strstr (line, "\"name\":\"guilty-");
      unsigned number = name != NULL ? (unsigned) atoi (name + 15) : numbers;
      if (number < numbers)
        count[number]++;
      else
        foreign++;
    }
  for (unsigned i = 0; i < numbers; i++)
    {
      missing += outcome[i] == 'k' && count[i] == 0;
      twice += count[i] > 1;
    }
  printf ("# %u kill events: %u of others, %u missing, %u twice\n", events, foreign, missing, twice);
  CHECK (foreign == 0);
  CHECK (missing == 0);
  CHECK (twice == 0);
  test_done ("each kill has its event, once, and no other container has one");
}

int
main (int argc, char **argv)
{
  static struct rig_container guilty, heirs[SLOTS], bystanders[BYSTANDERS];
  const char *reason = "";
  unsigned kills = argc > 2 ? (unsigned) atoi (argv[2]) : 100;
  uint64_t seed = argc > 3 ? strtoull (argv[3], NULL, 10) : 1;
  char name[32];

  if (argc < 2 || kills > GUILTY_MAX / 2 || !rig_enter (argv[1], &reason))
    {
      test_skip ("kill after kill on real cgroups", reason);
      return check_done ();
    }
  rig_seed (seed);
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  rig_guard_start ();
  unsigned descriptors = rig_descriptors (rig_guard_pid ()), rss_kib = 0, warm_descriptors = 0;
  for (unsigned i = 0; i < BYSTANDERS; i++)
    {
      snprintf (name, sizeof name, "bystander-%u", i);
      rig_start (&bystanders[i], FIRST_BYSTANDER_SLOT + i, RIG_INNOCENT, name, name);
      rig_register (&bystanders[i]);
    }
  pid_t churner = fork ();
  if (churner == 0)
    churn (seed + 1000);

  uint64_t begin_us = rig_now_us ();
  unsigned number = 0;
  for (; killed < kills && number < GUILTY_MAX; number++)
    {
      one_kill (number, &guilty, &heirs[number % SLOTS]);
      if (number == WARM)
        rss_kib = rig_rss_kib (rig_guard_pid ());
    }
  double seconds = (double) (rig_now_us () - begin_us) / 1e6;

  shared->stop = true;
  waitpid (churner, NULL, 0);
  for (unsigned i = 0; i < SLOTS; i++)
    if (heirs[i].started)
      stop_innocent (&heirs[i], &wrong_victims);
  for (unsigned i = 0; i < BYSTANDERS; i++)
    stop_innocent (&bystanders[i], &wrong_victims);
  wrong_victims += shared->wrong_victims;
  printf ("# %u killed, %u ended before the blow, %u others started and stopped beside them, %.0f s\n", killed, ended_first,
          shared->started, seconds);
  CHECK (wrong_victims == 0);
  CHECK (survivors == 0 && killed == kills);
  test_done ("every guilty container dies, and nobody else");

  CHECK (settled_registry () == 0);
  test_done ("no registry file is left");
  rig_reap ();
  unsigned rss_end_kib = rig_rss_kib (rig_guard_pid ());
  warm_descriptors = rig_descriptors (rig_guard_pid ());
  printf ("# guard: %u descriptors at first, %u now; %u KiB resident when warm, %u now\n", descriptors, warm_descriptors, rss_kib, rss_end_kib);
  CHECK (warm_descriptors == descriptors);
  CHECK (rss_end_kib <= rss_kib + 64 || kills <= WARM);
  /* We, the guard, its scribe, its teller, its herald, its shrinker; the last ones' bodies may come a moment later. */
  for (int tries = 0; tries < 1000 && rig_processes () > 6; tries++)
    {
      rig_reap ();
      poll (NULL, 0, 10);
    }
  CHECK (rig_processes () == 6);
  test_done ("the guard holds what it held, and no process is left");
  check_events (number);
  CHECK (rig_guard_stop ());
  rig_reap ();
  CHECK (rig_leave () == 0);
  test_done ("it ends well, and every cgroup could be removed");
  return check_done ();
}

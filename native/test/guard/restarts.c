/* A guard that is killed by SIGKILL at random moments while memory falls, and started again at once: it knows every container, each kill is
   told once, and nobody else dies for the same fall.
   restarts GUARD-PROGRAM TIMES [SEED] */
#include "guard/intent.h"
#include "test/check.h"
#include "test/guard/rig.h"
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYSTANDERS = 3, FIRST_BYSTANDER_SLOT = 20, DEATH_MS = 20000, TOLD_MS = 10000 };
/* A guard waits 2 s for memory of a dead container before it judges again; a machine that is too busy for a cycle may pass that. */
#define PATIENCE_US UINT64_C (1800000)

/* When the guard is killed. */
enum moment {
  MOMENT_OF_THE_FALL, /* from memory being short on */
  MOMENT_OF_THE_BLOW, /* once the intent is written */
  MOMENT_OF_DEATH,    /* once the victim is dead */
  MOMENT_OF_WAITING,  /* while its memory is waited for */
  MOMENTS
};

static const char *const moment_names[MOMENTS] = { "in the fall", "at the blow", "at the death", "in the wait" };
static unsigned restarts, blows_seen, untold, told_twice, lost, second_victims, wrong_victims, torn_tombstones, late, told_otherwise[MOMENTS];
static int intent_fd = -1;

static void
busy_us (uint64_t us)
{
  uint64_t until = rig_now_us () + us;

  while (rig_now_us () < until)
    continue;
}

static enum intent_state
intent_now (void)
{
  uint32_t state = INTENT_NONE;

  return pread (intent_fd, &state, sizeof state, offsetof (struct intent, state)) == sizeof state ? state : INTENT_NONE;
}

/* Waits, without giving the processor away, for the moment that is meant. */
static void
wait_for (enum moment moment, struct rig_container *victim)
{
  struct pollfd end = { .fd = victim->pid_fd, .events = POLLIN };
  uint64_t until = rig_now_us () + 100000;

  switch (moment)
    {
    case MOMENT_OF_THE_BLOW:
      for (enum intent_state state = INTENT_NONE; state != INTENT_DECIDED && state != INTENT_STRUCK && rig_now_us () < until;)
        state = intent_now ();
      blows_seen += intent_now () == INTENT_DECIDED;
      busy_us (rig_chance (2) * rig_chance (400));
      break;
    case MOMENT_OF_DEATH:
    case MOMENT_OF_WAITING:
      while (poll (&end, 1, 0) == 0 && rig_now_us () < until)
        continue;
      busy_us (rig_chance (moment == MOMENT_OF_DEATH ? 1500 : 40000));
      break;
    case MOMENT_OF_THE_FALL:
    case MOMENTS:
      busy_us (rig_chance (14000));
      break;
    }
}

static void
restart (void)
{
  rig_guard_kill (rig_chance (4) == 0);
  restarts++;
  /* Sometimes again before it is ready. */
  while (rig_chance (6) == 0)
    {
      int ready_fd = rig_guard_spawn ();
      busy_us (rig_chance (30000));
      rig_guard_kill (false);
      close (ready_fd);
      restarts++;
    }
  rig_guard_start ();
}

static bool
tombstone_is_whole (const char *id)
{
  char path[256], first = 0, last[2] = "";

  snprintf (path, sizeof path, "%s/run/tombstones/%s.json", rig_base (), id);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  bool whole = fd >= 0 && fstat (fd, &status) == 0 && pread (fd, &first, 1, 0) == 1 && first == '{' && pread (fd, last, 2, status.st_size - 2) == 2
               && last[0] == '}';
  if (fd >= 0)
    close (fd);
  return whole;
}

static void
check_told (const char *name, enum moment moment)
{
  unsigned count = 0;

  for (int waited_ms = 0; waited_ms < TOLD_MS && ((count = rig_kill_events (name)) == 0 || !tombstone_is_whole (name)); waited_ms += 2)
    poll (NULL, 0, 2);
  if (count != 1)
    printf ("# %s, guard killed %s: %u events\n", name, moment_names[moment], count);
  untold += count == 0;
  told_twice += count > 1;
  told_otherwise[moment] += count != 1;
  torn_tombstones += !tombstone_is_whole (name);
}

static void
one_fall (unsigned number)
{
  static struct rig_container victim, next;
  char name[32], other[32];
  enum moment moment = (enum moment) (number % MOMENTS);

  snprintf (name, sizeof name, "first-%u", number);
  snprintf (other, sizeof other, "next-%u", number);
  rig_start (&victim, 0, RIG_GUILTY, name, name);
  rig_start (&next, 1, RIG_GUILTY, other, other);
  victim.entry.priority = -1; /* so that it is known who comes first */
  rig_register (&victim);
  rig_register (&next);
  usleep ((useconds_t) rig_chance (3000));
  uint64_t short_us = rig_now_us ();
  rig_short ();
  wait_for (moment, &victim);
  if (rig_chance (4) == 0 && rig_dies (&victim, 0))
    rig_unregister (&victim); /* as the engine's poststop hook does */
  restart ();
  if (!rig_dies (&victim, DEATH_MS))
    {
      printf ("# %s lives on\n", name);
      lost++;
    }
  if (rig_chance (4) == 0) /* and once more while memory is waited for */
    restart ();
  usleep ((useconds_t) rig_chance (40000));
  bool in_time = rig_now_us () - short_us < PATIENCE_US;
  rig_plenty ();
  if (rig_chance (4) == 0) /* when all is done but, perhaps, the telling */
    {
      busy_us (rig_chance (9000));
      restart ();
    }
  usleep (9000);
  if (rig_dies (&next, 0))
    *(in_time ? &second_victims : &late) += 1;
  check_told (name, moment);
  wrong_victims += in_time && rig_kill_events (other) > 0;
  rig_ask (&next);
  rig_dies (&next, DEATH_MS);
  rig_clean (&victim);
  rig_clean (&next);
  rig_unregister (&victim);
  rig_unregister (&next);
  rig_reap ();
}

/* Those that were there before the first restart are known after the last one: made guilty, they die. */
static void
check_known (struct rig_container *bystanders)
{
  unsigned known = 0;

  for (unsigned i = 0; i < BYSTANDERS; i++)
    {
      wrong_victims += rig_dies (&bystanders[i], 0);
      bystanders[i].entry.budget_bytes = 1;
      rig_register (&bystanders[i]);
      usleep (10000);
      rig_short ();
      known += rig_dies (&bystanders[i], DEATH_MS) && rig_was_killed (&bystanders[i]);
      rig_plenty ();
      usleep (20000);
      rig_clean (&bystanders[i]);
      rig_unregister (&bystanders[i]);
    }
  CHECK (known == BYSTANDERS);
  CHECK (lost == 0);
  test_done ("a restarted guard knows every container from before");
}

int
main (int argc, char **argv)
{
  static struct rig_container bystanders[BYSTANDERS];
  const char *reason = "";
  unsigned times = argc > 2 ? (unsigned) atoi (argv[2]) : 60;
  char text[320];

  if (argc < 2 || !rig_enter (argv[1], &reason))
    {
      test_skip ("SIGKILL of the guard at random moments", reason);
      return check_done ();
    }
  rig_seed (argc > 3 ? strtoull (argv[3], NULL, 10) : 1);
  rig_guard_start ();
  snprintf (text, sizeof text, "%s/run/%s", rig_base (), INTENT_FILE);
  intent_fd = open (text, O_RDONLY | O_CLOEXEC);
  for (unsigned i = 0; i < BYSTANDERS; i++)
    {
      snprintf (text, sizeof text, "bystander-%u", i);
      rig_start (&bystanders[i], FIRST_BYSTANDER_SLOT + i, RIG_INNOCENT, text, text);
      rig_register (&bystanders[i]);
    }
  uint64_t begin_us = rig_now_us ();
  unsigned falls = 0;
  for (; restarts < times; falls++)
    one_fall (falls);
  printf ("# %u falls, %u restarts (%u right between decision and blow), %.0f s; too slow to judge: %u\n", falls, restarts, blows_seen,
          (double) (rig_now_us () - begin_us) / 1e6, late);
  CHECK (untold == 0);
  CHECK (told_twice == 0);
  CHECK (torn_tombstones == 0);
  test_done ("each kill is told once, with a whole tombstone, wherever the guard was killed itself");
  for (unsigned i = 0; i < MOMENTS; i++)
    if (told_otherwise[i] > 0)
      printf ("# killed %s: %u not told once\n", moment_names[i], told_otherwise[i]);
  CHECK (second_victims == 0);
  CHECK (wrong_victims == 0);
  test_done ("nobody else dies for the same fall");
  check_known (bystanders);
  CHECK (rig_guard_stop ());
  for (int tries = 0; tries < 1000 && rig_processes () > 1; tries++)
    {
      rig_reap ();
      poll (NULL, 0, 10);
    }
  CHECK (rig_processes () == 1);
  CHECK (rig_registered () == 0);
  CHECK (rig_leave () == 0);
  test_done ("no process, no registry file and no cgroup is left");
  return check_done ();
}

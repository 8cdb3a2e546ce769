/* When the guard kills: readings in, verdict out. */
#include "guard/decide.h"
#include "guard/psi.h"
#include "guard/clock.h"
#include "test/check.h"

#define MIB (INT64_C (1) << 20)
#define RESERVE (1024 * MIB)

enum { READINGS = 64 };

struct reading {
  double ms;  /* after the reading before */
  int64_t mib; /* MemAvailable */
};

static struct samples samples;
static uint64_t now_ns;

static void
begin (void)
{
  memset (&samples, 0, sizeof samples);
  now_ns = 1000 * NS_PER_SECOND;
}

static void
add (double ms, int64_t mib)
{
  now_ns += (uint64_t) (ms * 1e6);
  samples_add (&samples, now_ns, (uint64_t) (mib * MIB));
}

static enum verdict
verdict (void)
{
  return decide (&samples, RESERVE).verdict;
}

/* Readings every `ms` while memory goes from `from` to `to` MiB at `pace` MiB/s; returns the most urgent verdict on the way. */
static enum verdict
fall (double ms, int64_t from, int64_t to, double pace)
{
  enum verdict worst = VERDICT_CALM;
  for (double at = (double) from; at >= (double) to; at -= pace * ms / 1000)
    {
      add (ms, (int64_t) at);
      if (verdict () > worst)
        worst = verdict ();
    }
  return worst;
}

static const struct {
  const char *what;
  struct reading readings[READINGS];
  enum verdict want; /* after the last */
} table[] = {
  { "one reading says nothing", { { 1, 10 } }, VERDICT_CALM },
  { "steady above the reserve", { { 100, 5000 }, { 100, 5000 }, { 100, 5000 }, { 100, 5000 } }, VERDICT_CALM },
  { "steady at the reserve", { { 1, 1024 }, { 1, 1024 }, { 1, 1024 } }, VERDICT_CALM },
  { "one dip under the reserve", { { 1, 1100 }, { 1, 1000 } }, VERDICT_CALM },
  { "a dip that was over at once", { { 1, 1100 }, { 1, 1000 }, { 1, 1100 } }, VERDICT_CALM },
  { "two readings under the reserve", { { 1, 1100 }, { 1, 1000 }, { 1, 1000 } }, VERDICT_UNDER_RESERVE },
  { "two under it, though rising", { { 1, 900 }, { 1, 950 } }, VERDICT_UNDER_RESERVE },
  { "noise just above the reserve",
    { { 1, 1030 }, { 1, 1026 }, { 1, 1029 }, { 1, 1025 }, { 1, 1028 }, { 1, 1026 }, { 1, 1030 }, { 1, 1025 } }, VERDICT_CALM },
  { "a cliff that ends above the reserve", { { 100, 9000 }, { 100, 9000 }, { 100, 1200 }, { 2, 1200 }, { 2, 1200 } }, VERDICT_CALM },
  { "the cliff's first reading", { { 100, 9000 }, { 100, 9000 }, { 100, 1200 } }, VERDICT_CALM },
  { "a slow fall near the reserve", { { 1, 1045 }, { 1, 1044 }, { 1, 1043 }, { 1, 1042 } }, VERDICT_CALM },
  { "5 GiB/s, 40 MiB above", { { 1, 1079 }, { 1, 1074 }, { 1, 1069 }, { 1, 1064 } }, VERDICT_CROSSING },
  { "the same, but it has stopped", { { 1, 1079 }, { 1, 1074 }, { 1, 1069 }, { 1, 1064 }, { 1, 1064 } }, VERDICT_CALM },
  { "the same, but it runs out", { { 1, 1079 }, { 1, 1074 }, { 1, 1069 }, { 1, 1068 } }, VERDICT_CALM },
  { "5 GiB/s, 100 MiB above", { { 1, 1139 }, { 1, 1134 }, { 1, 1129 }, { 1, 1124 } }, VERDICT_CALM },
  { "14 GiB/s, far above zero but within 150 ms of it", { { 10, 2600 }, { 10, 2450 }, { 10, 2300 }, { 10, 2150 } }, VERDICT_FALLING },
  { "a step of 8 MiB every 5 ms, five more fit",
    { { 1, 1080 }, { 1, 1072 }, { 3, 1072 }, { 1, 1072 }, { 1, 1064 }, { 3, 1064 } }, VERDICT_CALM },
  { "the same, the guard's reaction and the next one would cross",
    { { 1, 1070 }, { 1, 1062 }, { 3, 1062 }, { 1, 1062 }, { 1, 1054 }, { 3, 1054 } }, VERDICT_CROSSING },
  { "the same, the next one would cross",
    { { 1, 1046 }, { 1, 1038 }, { 3, 1038 }, { 1, 1038 }, { 1, 1030 }, { 3, 1030 } }, VERDICT_CROSSING },
  { "a page of 2 MiB every 2.4 ms, five more fit",
    { { 1.2, 1048 }, { 1.2, 1046 }, { 1.2, 1046 }, { 1.2, 1044 }, { 1.2, 1044 }, { 1.2, 1042 }, { 1.2, 1042 },
      { 1.2, 1040 }, { 1.2, 1040 }, { 1.2, 1038 }, { 1.2, 1038 }, { 1.2, 1036 }, { 1.2, 1036 }, { 1.2, 1034 } }, VERDICT_CROSSING },
  { "the same, between two pages",
    { { 1.2, 1048 }, { 1.2, 1046 }, { 1.2, 1046 }, { 1.2, 1044 }, { 1.2, 1044 }, { 1.2, 1042 }, { 1.2, 1042 },
      { 1.2, 1040 }, { 1.2, 1040 }, { 1.2, 1038 }, { 1.2, 1038 }, { 1.2, 1036 }, { 1.2, 1036 }, { 1.2, 1034 }, { 1.2, 1034 } }, VERDICT_CALM },
  { "the same, eight more fit",
    { { 1.2, 1054 }, { 1.2, 1052 }, { 1.2, 1052 }, { 1.2, 1050 }, { 1.2, 1050 }, { 1.2, 1048 }, { 1.2, 1048 },
      { 1.2, 1046 }, { 1.2, 1046 }, { 1.2, 1044 }, { 1.2, 1044 }, { 1.2, 1042 }, { 1.2, 1042 }, { 1.2, 1040 } }, VERDICT_CALM },
  { "one step alone may have been the last", { { 1, 1200 }, { 1, 1200 }, { 1, 1050 }, { 3, 1050 } }, VERDICT_CALM },
  { "steps that were given back", { { 1, 1038 }, { 1, 1030 }, { 3, 1038 }, { 1, 1038 }, { 1, 1030 }, { 3, 1038 } }, VERDICT_CALM },
};

static void
test_table (void)
{
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    {
      begin ();
      for (size_t k = 0; k < READINGS && table[i].readings[k].ms > 0; k++)
        add (table[i].readings[k].ms, table[i].readings[k].mib);
      CHECK (verdict () == table[i].want);
      test_done (table[i].what);
    }
}

static void
test_falls (void)
{
  begin ();
  CHECK (fall (10, 20000, 1200, 100) == VERDICT_CALM);
  test_done ("100 MiB/s down to 176 MiB above the reserve is nobody's business");
  CHECK (fall (1, 1200, 1024, 100) == VERDICT_CROSSING);
  test_done ("and is seen as crossing before it crosses");
  add (1, 1023);
  add (1, 1022);
  CHECK (verdict () == VERDICT_UNDER_RESERVE);
  test_done ("and as under the reserve after");

  begin ();
  fall (1, 1600, 1060, 7000);
  for (int i = 0; i < 100; i++)
    add (1, 1060);
  CHECK (verdict () == VERDICT_CALM);
  test_done ("an engine that stopped 36 MiB above the reserve is left alone");

  begin ();
  add (1, 900);
  add (1, 900);
  CHECK (decide (&samples, RESERVE).verdict == VERDICT_UNDER_RESERVE);
  CHECK (decide (&samples, 800 * MIB).verdict == VERDICT_CALM);
  fall (1, 900, 800, 1000);
  CHECK (decide (&samples, 500 * MIB).slope_bytes_per_second < -900 * MIB && decide (&samples, 500 * MIB).slope_bytes_per_second > -1100 * MIB);
  test_done ("the slope is in bytes per second");

  begin ();
  for (int i = 0; i < 3000; i++)
    add (1, 5000 - i % 2);
  CHECK (samples_recent (&samples, SAMPLES_RECENT) == NULL && samples_recent (&samples, SAMPLES_RECENT - 1) != NULL);
  CHECK (verdict () == VERDICT_CALM);
  test_done ("the ring goes round");
}

static void
test_psi (void)
{
  static const char some[] = "some avg10=99.00 avg60=1.00 avg300=0.00 total=5\n";
  char text[256];
  static const struct {
    const char *full;
    int permille;
  } rows[] = { { "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0 },   { "full avg10=12.34 avg60=9.00 avg300=0.00 total=1\n", 123 },
               { "full avg10=100.00 avg60=9.00 avg300=0.00 total=1\n", 1000 }, { "full avg10=7 avg60=0.00\n", 70 },
               { "full avg10=0.09 avg60=0.00\n", 0 },                        { "full avg10=101.00 avg60=0.00\n", -1 },
               { "full avg10=99999999999999999999 avg60=0\n", -1 },          { "full avg10=1.0x avg60=0\n", -1 },
               { "full avg10=", -1 },                                        { "full\n", -1 },
               { "", -1 } };

  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    {
      snprintf (text, sizeof text, "%s%s", some, rows[i].full);
      CHECK (psi_parse (text) == rows[i].permille);
    }
  CHECK (psi_parse ("full avg10=5.50 avg60=0\n") == 55 && psi_full_permille (-1) == -1 && psi_open ("/nowhere") == -1);
  test_done ("the kernel's witness: full avg10 in permille, nothing where it cannot be read");
}

static void
test_sleep_and_soft (void)
{
  CHECK (decide_sleep_ns (500 << 20, RESERVE) == NS_PER_MS);
  CHECK (decide_sleep_ns (RESERVE, RESERVE) == NS_PER_MS);
  CHECK (decide_sleep_ns (UINT64_MAX, RESERVE) == 100 * NS_PER_MS);
  CHECK (decide_sleep_ns (RESERVE + (UINT64_C (5) << 30), RESERVE) == 50 * NS_PER_MS);
  test_done ("sleep is half the time of the fastest fill, from 1 to 100 ms");

  CHECK (!decide_soft (false, 2 * RESERVE, RESERVE, -1) && decide_soft (false, 2 * RESERVE - 2 * MIB, RESERVE, -1));
  CHECK (decide_soft (true, 2 * RESERVE + 100 * MIB, RESERVE, -1) && !decide_soft (true, 2 * RESERVE + 130 * MIB, RESERVE, -1));
  CHECK (decide_soft (false, UINT64_MAX, UINT64_MAX, -1));
  CHECK (decide_soft (false, 3 * RESERVE, RESERVE, 100) && !decide_soft (false, 3 * RESERVE, RESERVE, 99));
  CHECK (!decide_soft (false, 4 * RESERVE, RESERVE, 1000));
  CHECK (decide_soft (true, 3 * RESERVE, RESERVE, 50) && !decide_soft (true, 3 * RESERVE, RESERVE, 49));
  test_done ("the soft line is twice the reserve, and left a little higher");
}

static void
test_after (void)
{
  const uint64_t second = NS_PER_SECOND, t = 100 * second, use = 8192 * MIB;
  struct aftermath a = { .killed_ns = t, .use_bytes = use, .lowest_bytes = 900 * MIB };

  CHECK (decide_after (&a, t + second, 900 * MIB, RESERVE) == AFTER_WAIT);
  CHECK (decide_after (&a, t + second, 9000 * MIB, RESERVE) == AFTER_WAIT);
  test_done ("while a process of it lives nobody else is judged, whatever memory does");
  CHECK (decide_after (&a, t + 11 * second, 900 * MIB, RESERVE) == AFTER_STUCK);
  test_done ("after 10 s it is stuck");

  a.empty_ns = t + second / 100;
  CHECK (decide_after (&a, t + second, 100 * MIB, RESERVE) == AFTER_WAIT);
  CHECK (decide_after (&a, a.empty_ns + 1900 * NS_PER_MS, 900 * MIB, RESERVE) == AFTER_WAIT);
  test_done ("a CUDA context gives nothing back for a second: no second victim");
  a.use_bytes = 0;
  a.highest_bytes = a.lowest_bytes;
  aftermath_follow (&a, t + second, 920 * MIB);
  aftermath_follow (&a, t + second + 100 * NS_PER_MS, 950 * MIB);
  CHECK (a.lowest_bytes == 900 * MIB && decide_after (&a, t + second + 500 * NS_PER_MS, 950 * MIB, RESERVE) == AFTER_WAIT);
  test_done ("nor while it comes back piece by piece, still under the reserve");
  CHECK (decide_after (&a, t + second + 601 * NS_PER_MS, 950 * MIB, RESERVE) == AFTER_RETURNED);
  CHECK (decide_after (&a, t + second + 200 * NS_PER_MS, 930 * MIB, RESERVE) == AFTER_RETURNED);
  test_done ("others are judged when no more comes, or when it goes again");
  a.use_bytes = use;
  CHECK (decide_after (&a, t + second, 900 * MIB + 1024 * MIB, RESERVE) == AFTER_RETURNED);
  test_done ("memory that moves ends the wait");
  CHECK (decide_after (&a, a.empty_ns + 2001 * NS_PER_MS, 900 * MIB, RESERVE) == AFTER_SHRINK);
  test_done ("after 2 s without it the shrinkers run");
  CHECK (decide_after (&a, a.empty_ns + 2001 * NS_PER_MS, 1100 * MIB, RESERVE) == AFTER_RETURNED);
  test_done ("unless the reserve is whole again");
  a.shrunk_ns = a.empty_ns + 2001 * NS_PER_MS;
  CHECK (decide_after (&a, a.shrunk_ns + 900 * NS_PER_MS, 900 * MIB, RESERVE) == AFTER_WAIT);
  CHECK (decide_after (&a, a.shrunk_ns + 1100 * NS_PER_MS, 900 * MIB, RESERVE) == AFTER_NOTHING);
  test_done ("once, and a second later others are judged");
}

int
main (void)
{
  test_table ();
  test_falls ();
  test_psi ();
  test_sleep_and_soft ();
  test_after ();
  return check_done ();
}

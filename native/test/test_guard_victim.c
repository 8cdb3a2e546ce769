/* Whom the guard kills. */
#include "guard/report.h"
#include "guard/usage.h"
#include "guard/victim.h"
#include "test/check.h"

#define G(n) ((uint64_t) (n) << 30)

struct row {
  const char *what;
  struct candidate candidates[4]; /* .created_ns 0 ends */
  struct loss loss;
  int victim;
  enum guilt guilt;
};

static const struct row rows[] = {
  { "nobody registered", { { 0 } }, { G (9), 0, false }, -1, GUILT_NOBODY },
  { "nobody who can be killed", { { false, 0, G (1), G (5), 0, 1, false } }, { G (9), 0, false }, -1, GUILT_NOBODY },
  { "the one over its budget", { { true, 0, G (8), G (8), G (8), 1, false }, { true, 0, G (1), G (2), G (2), 2, false } }, { G (9), 0, false }, 1, GUILT_OVER_BUDGET },
  { "the one over its budget, though the other has a lower priority and is larger",
    { { true, -5, G (80), G (70), G (1), 1, false }, { true, 5, G (1), G (2), G (2), 2, false } }, { G (80), 0, false }, 1, GUILT_OVER_BUDGET },
  { "of those over budget the lowest priority",
    { { true, 0, G (1), G (9), 0, 1, false }, { true, -1, G (1), G (2), 0, 2, false } }, { G (9), 0, false }, 1, GUILT_OVER_BUDGET },
  { "then the most over its budget, not the largest",
    { { true, 0, G (40), G (41), 0, 1, false }, { true, 0, G (1), G (5), 0, 2, false } }, { G (9), 0, false }, 1, GUILT_OVER_BUDGET },
  { "all within budget, they took the memory: the largest",
    { { true, 0, G (50), G (20), G (1), 1, false }, { true, 0, G (50), G (30), G (30), 2, false } }, { G (20), 0, false }, 1, GUILT_GROWTH },
  { "then the youngest",
    { { true, 0, G (50), G (20), 0, 1, false }, { true, 0, G (50), G (20), 0, 3, false }, { true, 0, G (50), G (20), 0, 2, false } }, { G (20), 0, false }, 1, GUILT_GROWTH },
  { "a host process took it: nobody", { { true, 0, G (50), G (20), G (20), 1, false } }, { G (60), 0, false }, -1, GUILT_FOREIGN },
  { "a host process took most of it: nobody", { { true, 0, G (50), G (21), G (20), 1, false } }, { G (60), 0, false }, -1, GUILT_FOREIGN },
  { "no book shows it: the first in order of those that use the GPU, though none is known to have grown",
    { { true, 0, G (50), G (1), G (1), 1, true }, { true, -5, G (50), 0, 0, 2, true }, { true, -9, G (50), G (9), G (9), 3, false } },
    { G (60), G (58), false }, 1, GUILT_HIDDEN },
  { "no book shows it, and nobody uses the GPU: nobody",
    { { true, 0, G (50), G (1), G (1), 1, false }, { true, -9, G (50), 0, 0, 2, false } }, { G (60), G (58), false }, -1, GUILT_HIDDEN },
  { "no book shows it, and the one that uses the GPU cannot be killed: nobody",
    { { true, 0, G (50), G (1), G (1), 1, false }, { false, -9, G (50), 0, 0, 2, true } }, { G (60), G (58), false }, -1, GUILT_HIDDEN },
  { "a host process took it, and the policy wants the largest: the first in order, then the largest",
    { { true, 0, G (50), G (20), G (20), 1, false }, { true, 0, G (50), G (30), G (30), 2, false } }, { G (60), 0, true }, 1, GUILT_LARGEST },
  { "the same, but one is over its budget: that one",
    { { true, 0, G (50), G (40), G (40), 1, false }, { true, 0, G (1), G (2), G (2), 2, false } }, { G (60), 0, true }, 1, GUILT_OVER_BUDGET },
  { "no book shows it, nobody uses the GPU, and the policy wants the largest",
    { { true, 0, G (50), G (3), G (3), 1, false }, { true, 0, G (50), G (1), G (1), 2, false } }, { G (60), G (58), true }, 0, GUILT_LARGEST },
  { "the policy wants the largest, but nobody can be killed: nobody", { { false, 0, G (1), G (5), 0, 1, false } }, { G (9), 0, true }, -1, GUILT_NOBODY },
  { "the policy wants the largest, but nobody holds anything: nobody", { { true, 0, G (1), 0, 0, 1, false } }, { G (9), 0, true }, -1, GUILT_FOREIGN },
  { "one without a budget was granted nothing", { { true, 0, 0, 1, 0, 1, false } }, { G (60), 0, false }, 0, GUILT_OVER_BUDGET },
  { "not one that is dying already", { { false, 0, G (1), G (9), 0, 1, false }, { true, 0, G (1), G (2), 0, 2, false } }, { G (9), 0, false }, 1, GUILT_OVER_BUDGET },
};

static void
test_rows (void)
{
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    {
      size_t count = 0;
      enum guilt guilt;
      while (count < 4 && rows[i].candidates[count].created_ns != 0)
        count++;
      CHECK (victim_choose (rows[i].candidates, count, &rows[i].loss, &guilt) == rows[i].victim);
      CHECK (guilt == rows[i].guilt);
      test_done (rows[i].what);
    }
}

static void
test_memory_stat (void)
{
  CHECK (usage_from_memory_stat ("anon 100\nfile 900\nshmem 50\ninactive_anon 20\nactive_anon 10\nunevictable 120\n", 1) == 150);
  CHECK (usage_from_memory_stat ("anon 100\nshmem 50\ninactive_anon 100\nactive_anon 50\nunevictable 30\n", 1) == 180);
  test_done ("cgroup v2: what cannot be dropped, locked pages counted once");
  CHECK (usage_from_memory_stat ("anon 100\nkernel 900\nkernel_stack 1\npagetables 2\nsec_pagetables 4\npercpu 8\nsock 16\nvmalloc 32\nshmem 50\n"
                                 "inactive_anon 100\nactive_anon 50\nslab_reclaimable 500\nslab_unreclaimable 64\nslab 564\n", 1) == 277);
  CHECK (usage_from_memory_stat ("anon 100\nkernel_stack 1\nsock 16\n", 1) == 117);
  test_done ("cgroup v2: what the kernel holds for it and cannot drop counts, what it can drop does not");
  CHECK (usage_from_memory_stat ("rss 1\nshmem 1\nunevictable 9\ntotal_rss 100\ntotal_shmem 50\ntotal_inactive_anon 100\ntotal_active_anon 50\ntotal_unevictable 20\n", 0) == 170);
  test_done ("cgroup v1: the same, with the children");
  CHECK (usage_from_memory_stat ("", 1) == 0 && usage_from_memory_stat ("anon", 1) == 0 && usage_from_memory_stat ("xanon 5\n", 0) == 0);
  test_done ("an empty or foreign text is no use");
}

static void
test_sentences (void)
{
  struct entry entry = { .id = "0123", .name = "llm", .budget_bytes = G (1), .driver_bytes = G (3) };
  struct judgement under = { VERDICT_UNDER_RESERVE, 0 }, falling = { VERDICT_FALLING, -(int64_t) G (7) };
  struct kill_record record;

  report_prepare (&record, &entry, GUILT_OVER_BUDGET, &under, G (1), G (2), -1, 1);
  CHECK_TEXT (record.sentence, "killed llm to save the host: 1.0 GiB of memory was available, and the reserve is 2.0 GiB; it held 3.0 GiB, over its budget of 1.0 GiB");
  entry.name[0] = '\0';
  entry.budget_bytes = G (8);
  report_prepare (&record, &entry, GUILT_GROWTH, &falling, G (1), G (2), -1, 1);
  CHECK_TEXT (record.sentence, "killed 0123 to save the host: 1.0 GiB of memory was available, falling by 7.0 GiB/s, and the reserve is 2.0 GiB; it held 3.0 GiB of its budget of 8.0 GiB; all containers are within their budgets, but they took the memory");
  report_prepare (&record, &entry, GUILT_HIDDEN, &under, G (1), G (2), -1, 1);
  CHECK_TEXT (record.sentence, "killed 0123 to save the host: 1.0 GiB of memory was available, and the reserve is 2.0 GiB; it held 3.0 GiB of its budget of 8.0 GiB; no book of the kernel or of a container shows where the memory went: of the containers that use the GPU it was the first in line");
  test_done ("the sentence says who, why and how much");
}

int
main (void)
{
  test_rows ();
  test_memory_stat ();
  test_sentences ();
  return check_done ();
}

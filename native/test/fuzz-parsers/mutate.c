/* A fuzzer without a compiler's help: takes the kept corpus, changes it by chance, and gives it to the same entry point as libFuzzer.
   mutate CORPUS-DIRECTORY SEED ROUNDS | mutate CORPUS-DIRECTORY SEED 0 SECONDS | mutate FILE...
   mutate pack DIRECTORY PACK | mutate unpack PACK DIRECTORY: many inputs as one file, each after its length in two bytes; every file of the
   corpus whose name ends in .pack is one.
   The sanitizers end it at a finding; the input is then in ./finding-<seed>. */
#include "targets.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { INPUTS_MAX = 1024, INPUT_MAX = 12288 };

void __sanitizer_set_death_callback (void (*callback) (void));

static struct input {
  uint8_t *bytes;
  size_t length;
} corpus[INPUTS_MAX];
static unsigned inputs;

static uint8_t now[INPUT_MAX];
static size_t now_length;
static unsigned long seed;

static uint64_t
chance (uint64_t below)
{
  static uint64_t state;

  if (state == 0)
    state = seed * UINT64_C (0x9e3779b97f4a7c15) + 1;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return below > 0 ? state % below : 0;
}

static void
keep_finding (void)
{
  char name[64];

  snprintf (name, sizeof name, "finding-%lu", seed);
  FILE *file = fopen (name, "w");
  if (file == NULL)
    return;
  fwrite (now, 1, now_length, file);
  fclose (file);
  fprintf (stderr, "the input is in ./%s\n", name);
}

static void
on_abort (int signal_number)
{
  (void) signal_number;
  keep_finding ();
}

/* Keeps `now`. */
static void
corpus_keep (void)
{
  if (inputs == INPUTS_MAX)
    abort ();
  corpus[inputs].bytes = malloc (now_length + 1);
  corpus[inputs].length = now_length;
  memcpy (corpus[inputs++].bytes, now, now_length);
}

static void
corpus_add (const char *path)
{
  const char *end = strrchr (path, '.');
  FILE *file = fopen (path, "r");
  uint8_t length[2];

  if (file == NULL)
    abort ();
  if (end != NULL && strcmp (end, ".pack") == 0)
    while (fread (length, 1, 2, file) == 2)
      {
        now_length = length[0] | (size_t) length[1] << 8;
        if (now_length > sizeof now || fread (now, 1, now_length, file) != now_length)
          abort ();
        corpus_keep ();
      }
  else
    {
      now_length = fread (now, 1, sizeof now, file);
      corpus_keep ();
    }
  fclose (file);
}

static int
by_name (const void *a, const void *b)
{
  return strcmp (a, b);
}

/* In the order of their names: the same seed then means the same inputs on every file system. */
static void
corpus_read (const char *directory)
{
  static char names[INPUTS_MAX][256];
  unsigned count = 0;
  DIR *dir = opendir (directory);

  for (struct dirent *entry; dir != NULL && (entry = readdir (dir)) != NULL;)
    if (entry->d_name[0] != '.' && count < INPUTS_MAX)
      snprintf (names[count++], sizeof names[0], "%s", entry->d_name);
  if (dir != NULL)
    closedir (dir);
  qsort (names, count, sizeof names[0], by_name);
  for (unsigned i = 0; i < count; i++)
    {
      char path[1024];
      snprintf (path, sizeof path, "%s/%s", directory, names[i]);
      corpus_add (path);
    }
}

static int
pack (const char *directory, const char *path)
{
  FILE *file = fopen (path, "w");

  corpus_read (directory);
  for (unsigned i = 0; i < inputs; i++)
    {
      const uint8_t length[2] = { (uint8_t) corpus[i].length, (uint8_t) (corpus[i].length >> 8) };
      fwrite (length, 1, 2, file);
      fwrite (corpus[i].bytes, 1, corpus[i].length, file);
    }
  return fclose (file);
}

static int
unpack (const char *path, const char *directory)
{
  char name[1024];

  corpus_add (path);
  for (unsigned i = 0; i < inputs; i++)
    {
      snprintf (name, sizeof name, "%s/%04u", directory, i);
      FILE *file = fopen (name, "w");
      if (file == NULL || fwrite (corpus[i].bytes, 1, corpus[i].length, file) != corpus[i].length || fclose (file) != 0)
        return 1;
    }
  return 0;
}

/* --- changes ------------------------------------------------------------------------------------------------------- */

/* Puts bytes in place of `cut` others; what does not fit is not done. The first byte stays: it names the parser. */
static void
splice (size_t at, size_t cut, const void *bytes, size_t length)
{
  if (at < 1 || at > now_length)
    return;
  if (cut > now_length - at)
    cut = now_length - at;
  if (now_length - cut + length > sizeof now)
    return;
  memmove (now + at + length, now + at + cut, now_length - at - cut);
  memcpy (now + at, bytes, length);
  now_length = now_length - cut + length;
}

static void
change (void)
{
  static const char *const words[]
    = { "\n", "=", " ", ":", "..", "/../", "kB", "end=1\n", "version=1\n", "version=2\n", "id=", "pid=", "\0", "\xff", "%s%n", "null", "{}", "[]", "\"",
        "18446744073709551615", "18446744073709551616", "9223372036854775808", "4294967297", "2147483648", "-1", "0", "1e999", "0x10", "MemAvailable:",
        "MemTotal:", " - cgroup2 ", "memory", "\\040", ")", "NSpid:\t1\t1\n", "v1;", "budget=", ";", "%", "GiB", "true", "env", "SPARK_RUN_REQUEST=v1;id=a" };
  uint8_t chunk[2048];
  size_t at = 1 + chance (now_length), length = 1 + chance (chance (8) == 0 ? 1500 : 12);

  switch (chance (9))
    {
    case 0:
      if (at < now_length)
        now[at] ^= (uint8_t) (1 << chance (8));
      break;
    case 1:
      if (at < now_length)
        now[at] = (uint8_t) chance (256);
      break;
    case 2:
      splice (at, length, "", 0);
      break;
    case 3:
      now_length = at < now_length ? at : now_length;
      break;
    case 4: /* once more, somewhere else */
      if (at + length <= now_length)
        {
          memcpy (chunk, now + at, length);
          splice (1 + chance (now_length), chance (2) * length, chunk, length);
        }
      break;
    case 5: /* the same byte many times */
      memset (chunk, now_length > at ? now[at] : 'a', length);
      splice (at, chance (2), chunk, length);
      break;
    case 6: /* a number in place of a number */
      while (at < now_length && (now[at] < '0' || now[at] > '9'))
        at++;
      length = 0;
      while (at + length < now_length && now[at + length] >= '0' && now[at + length] <= '9')
        length++;
      {
        const char *number = words[19 + chance (9)];
        splice (at, length, number, strlen (number));
      }
      break;
    case 7: /* a piece of another input */
      {
        const struct input *other = &corpus[chance (inputs)];
        size_t from = chance (other->length), many = other->length - from < length ? other->length - from : length;
        splice (at, chance (2) * length, other->bytes + from, many);
        break;
      }
    default:
      {
        const char *word = words[chance (sizeof words / sizeof words[0])];
        splice (at, chance (4), word, word[0] == '\0' ? 1 : strlen (word));
        break;
      }
    }
}

static void
one_round (void)
{
  const struct input *start = &corpus[chance (inputs)];

  now_length = start->length;
  memcpy (now, start->bytes, now_length);
  for (uint64_t changes = chance (6); changes > 0 && now_length > 0; changes--)
    change ();
  LLVMFuzzerTestOneInput (now, now_length);
}

int
main (int argc, char **argv)
{
  char *end = NULL;
  unsigned long rounds = 0, done = 0;

  if (argc == 4 && (strcmp (argv[1], "pack") == 0 || strcmp (argv[1], "unpack") == 0))
    return argv[1][0] == 'p' ? pack (argv[2], argv[3]) : unpack (argv[2], argv[3]);
  if (argc >= 4)
    {
      seed = strtoul (argv[2], &end, 10);
      rounds = strtoul (argv[3], NULL, 10);
    }
  __sanitizer_set_death_callback (keep_finding);
  signal (SIGABRT, on_abort);
  if (end == NULL || *end != '\0')
    {
      for (int i = 1; i < argc; i++)
        corpus_add (argv[i]);
      for (unsigned i = 0; i < inputs; i++)
        LLVMFuzzerTestOneInput (corpus[i].bytes, corpus[i].length);
      return 0;
    }
  corpus_read (argv[1]);
  if (inputs == 0)
    {
      fprintf (stderr, "mutate: no corpus in %s\n", argv[1]);
      return 2;
    }
  for (unsigned i = 0; i < inputs; i++)
    {
      now_length = corpus[i].length;
      memcpy (now, corpus[i].bytes, now_length);
      LLVMFuzzerTestOneInput (now, now_length);
    }
  time_t until = time (NULL) + (argc > 4 ? atol (argv[4]) : 0);
  while (rounds > 0 ? done < rounds : time (NULL) < until)
    for (unsigned i = 0; i < 100; i++, done++)
      one_round ();
  printf ("%lu inputs from seed %lu over a corpus of %u, nothing found\n", done, seed, inputs);
  return 0;
}

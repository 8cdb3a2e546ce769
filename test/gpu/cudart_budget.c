/* NVIDIA's runtime library (libcudart) under the shim, linked either way: what it tells a program, and whose functions it calls.

   cudart_budget BUDGET_MIB        on a GPU: cudaMemGetInfo says the budget, cudaMalloc is refused at it, and goes on afterwards
   cudart_budget --functions       anywhere: where the runtime's own table of driver functions points

   Prints one JSON object. Exit code 1 where something is not as it should be. Built without CUDA's headers:
   cc cudart_budget.c -L LIB -lcudart  or  cc cudart_budget.c LIB/libcudart_static.a -ldl -lpthread -lrt */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cudaGetDeviceCount (int *count);
int cudaMemGetInfo (size_t *free_bytes, size_t *total_bytes);
int cudaMalloc (void **pointer, size_t bytes);
int cudaMallocAsync (void **pointer, size_t bytes, void *stream);
int cudaHostAlloc (void **pointer, size_t bytes, unsigned flags);
int cudaFree (void *pointer);
int cudaFreeHost (void *pointer);
int cudaMemcpy (void *to, const void *from, size_t bytes, int kind);
int cudaGetLastError (void);
int cudaRuntimeGetVersion (int *version);
const char *cudaGetErrorName (int error);

enum { OUT_OF_MEMORY = 2, TO_DEVICE = 1, TO_HOST = 2, MOST_BLOCKS = 4096, PIECE_MIB = 64 };
static const size_t MIB = 1 << 20;

static int
failed (const char *what, int error)
{
  printf ("{\"failed\": \"%s\", \"error\": \"%s\"}\n", what, cudaGetErrorName (error));
  return 1;
}

static int
budget (size_t budget_bytes)
{
  size_t free_bytes, total_bytes, ignored, bytes_held = 0;
  void *blocks[MOST_BLOCKS], *refused = (void *) 42, *pinned = NULL, *ordered = NULL;
  int count = 0, version = 0, error = cudaMemGetInfo (&free_bytes, &total_bytes);
  char text[6] = "spark", back[6] = "";
  if (error != 0)
    return failed ("cudaMemGetInfo", error);
  cudaRuntimeGetVersion (&version);
  while (count < MOST_BLOCKS && (error = cudaMalloc (&blocks[count], PIECE_MIB * MIB)) == 0)
    {
      count++;
      bytes_held += PIECE_MIB * MIB;
    }
  if (error != OUT_OF_MEMORY)
    return failed ("the refusal of cudaMalloc", error);
  cudaGetLastError ();
  int ordered_error = cudaMallocAsync (&ordered, 2 * PIECE_MIB * MIB, NULL);
  cudaGetLastError ();
  int again = cudaMalloc (&refused, 2 * PIECE_MIB * MIB);
  cudaGetLastError ();
  /* Not sticky: what is freed can be had again, and holds bytes. */
  error = cudaFree (blocks[--count]);
  if (error == 0)
    error = cudaMalloc (&blocks[count], PIECE_MIB * MIB / 2);
  if (error == 0)
    error = cudaMemcpy (blocks[count], text, sizeof text, TO_DEVICE);
  if (error == 0)
    error = cudaMemcpy (back, blocks[count], sizeof back, TO_HOST);
  if (error == 0)
    error = cudaHostAlloc (&pinned, MIB, 0);
  if (error == 0)
    error = cudaFreeHost (pinned);
  if (error != 0)
    return failed ("going on after the refusal", error);
  for (int i = 0; i <= count; i++)
    cudaFree (blocks[i]);
  size_t free_after = 0;
  cudaMemGetInfo (&free_after, &ignored);
  bool right = total_bytes == budget_bytes && bytes_held > 0 && bytes_held <= budget_bytes && free_bytes <= budget_bytes
               && ordered_error == OUT_OF_MEMORY && again == OUT_OF_MEMORY && strcmp (text, back) == 0
               && free_after >= bytes_held;
  printf ("{\"runtime\": %d, \"totalBytes\": %zu, \"freeBytes\": %zu, \"heldBytes\": %zu, \"freeAfterBytes\": %zu, "
          "\"asyncRefused\": %s, \"right\": %s}\n",
          version, total_bytes, free_bytes, bytes_held, free_after, ordered_error == OUT_OF_MEMORY ? "true" : "false",
          right ? "true" : "false");
  return right ? 0 : 1;
}

/* A mapping of this process. */
struct mapping {
  uintptr_t start, end;
  bool writable;
  int owner; /* who it belongs to: nobody of interest, the shim, the driver */
};
enum { OTHERS, SHIM, DRIVER };
static const char *const owner_names[] = { "others", "shim", "driver" };

static size_t
read_mappings (struct mapping *mappings, size_t room)
{
  FILE *maps = fopen ("/proc/self/maps", "re");
  char line[8192], permissions[5];
  size_t count = 0;
  while (maps != NULL && count < room && fgets (line, sizeof line, maps) != NULL)
    {
      struct mapping *this = &mappings[count];
      int path = 0;
      if (sscanf (line, "%zx-%zx %4s %*s %*s %*s %n", &this->start, &this->end, permissions, &path) < 3)
        continue;
      this->writable = permissions[0] == 'r' && permissions[1] == 'w';
      this->owner = strstr (line + path, "/libspark-") != NULL ? SHIM : strstr (line + path, "/libcuda.so") != NULL ? DRIVER : OTHERS;
      /* What has no name and follows a library's data is that library's. */
      if (line[path] == '\0' && count > 0 && mappings[count - 1].end == this->start)
        this->owner = mappings[count - 1].owner;
      count++;
    }
  if (maps != NULL)
    fclose (maps);
  return count;
}

static const char *const names[] = { "cuMemGetInfo_v2", "cuDeviceTotalMem_v2", "cuMemAlloc_v2", "cuMemFree_v2", "cuMemAllocAsync",
                                     "cuMemFreeAsync", "cuMemAllocManaged", "cuMemHostAlloc", "cuDeviceGetName" /* never hooked */ };
enum { NAMES = sizeof names / sizeof names[0], MOST_MAPPINGS = 2048 };

/* Looks through all memory that is neither the shim's nor the driver's for addresses of the functions of both. */
static int
functions (void)
{
  static struct mapping mappings[MOST_MAPPINGS];
  static unsigned found[NAMES][3];
  int ignored, version = 0, error = cudaGetDeviceCount (&ignored);
  cudaRuntimeGetVersion (&version);
  size_t count = read_mappings (mappings, MOST_MAPPINGS);
  for (size_t m = 0; m < count; m++)
    for (uintptr_t at = mappings[m].start; mappings[m].writable && mappings[m].owner == OTHERS && at < mappings[m].end;
         at += sizeof (void *))
      {
        uintptr_t value = *(volatile uintptr_t *) at;
        const struct mapping *target = mappings;
        while (target < mappings + count && (value < target->start || value >= target->end))
          target++;
        Dl_info info;
        if (target == mappings + count || target->owner == OTHERS || dladdr ((void *) value, &info) == 0
            || info.dli_saddr != (void *) value)
          continue;
        for (size_t n = 0; n < NAMES; n++)
          if (strcmp (info.dli_sname, names[n]) == 0)
            found[n][target->owner]++;
      }
  printf ("{\"runtime\": %d, \"deviceCount\": \"%s\", \"functions\": {", version, cudaGetErrorName (error));
  for (size_t n = 0; n < NAMES; n++)
    printf ("%s\"%s\": {\"%s\": %u, \"%s\": %u}", n > 0 ? ", " : "", names[n], owner_names[SHIM], found[n][SHIM],
            owner_names[DRIVER], found[n][DRIVER]);
  puts ("}}");
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "--functions") == 0)
    return functions ();
  if (argc == 2 && strtoul (argv[1], NULL, 10) > 0)
    return budget (strtoul (argv[1], NULL, 10) * MIB);
  fputs ("usage: cudart_budget BUDGET_MIB | --functions\n", stderr);
  return 2;
}

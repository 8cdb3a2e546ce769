/* Memory by handle in the fuzz driver. */
#include "driver_books.h"

enum { OBJECTS = 4096, HANDLES = 4096, MAPPINGS = 4096 };

static struct object { uint64_t bytes; int references, mappings, lent; } objects[OBJECTS];
static struct handle { uint32_t object; uint32_t next_free; } handles[HANDLES];
static uint32_t free_handle, fresh_handle = 1;
static struct mapping { uint64_t at, bytes; uint32_t object; } mappings[MAPPINGS];

static int
new_handle (uint64_t *value, uint32_t object)
{
  uint32_t index = free_handle != 0 ? free_handle : fresh_handle < HANDLES ? fresh_handle++ : 0;
  if (index == 0)
    return OUT_OF_MEMORY;
  if (index == free_handle)
    free_handle = handles[index].next_free;
  handles[index] = (struct handle){ .object = object };
  *value = index;
  return 0;
}

static void
settle_object (uint32_t object)
{
  if (objects[object].references != 0 || objects[object].mappings != 0)
    return;
  driver_truth->held_bytes -= objects[object].lent ? 0 : objects[object].bytes;
  objects[object].bytes = 0;
}

static int
create (uint64_t *handle, uint64_t bytes)
{
  uint32_t object = 1;
  *handle = 0xdeadbeef;
  if (bytes % (2u << 20) != 0)
    return INVALID;
  int error = bytes > (uint64_t) 1 << 60 ? OUT_OF_MEMORY : driver_fails ();
  while (object < OBJECTS && objects[object].bytes != 0)
    object++;
  if (error == 0)
    error = object == OBJECTS ? OUT_OF_MEMORY : new_handle (handle, object);
  if (error != 0)
    return error;
  objects[object] = (struct object){ .bytes = bytes, .references = 1 };
  driver_hold (bytes, 0);
  return 0;
}

static int
known_handle (uint64_t handle)
{
  return handle > 0 && handle < fresh_handle && handles[handle].object != 0;
}

/* A small number is a handle of this process's own, exported: the driver gives out the one that there is. Any other is another
   process's memory of so many pages. */
static int
import (uint64_t *handle, uint64_t from)
{
  uint32_t object = 1;
  if (from < HANDLES)
    return !known_handle (from) ? INVALID : (objects[handles[from].object].references++, *handle = from, 0);
  int error = driver_fails ();
  while (object < OBJECTS && objects[object].bytes != 0)
    object++;
  if (error == 0)
    error = object == OBJECTS ? OUT_OF_MEMORY : new_handle (handle, object);
  if (error == 0)
    objects[object] = (struct object){ .bytes = from / HANDLES << 21, .references = 1, .lent = 1 };
  return error;
}

static int
release (uint64_t handle)
{
  if (!known_handle (handle))
    return INVALID;
  uint32_t object = handles[handle].object;
  if (--objects[object].references == 0)
    {
      handles[handle] = (struct handle){ .next_free = free_handle };
      free_handle = (uint32_t) handle;
    }
  settle_object (object);
  return 0;
}

static int
map (uint64_t at, uint64_t bytes, uint64_t handle)
{
  int place = -1;
  if (!known_handle (handle) || bytes == 0 || bytes > objects[handles[handle].object].bytes)
    return INVALID;
  for (int i = 0; i < MAPPINGS; i++)
    {
      if (mappings[i].bytes == 0)
        place = i;
      else if (at < mappings[i].at + mappings[i].bytes && mappings[i].at < at + bytes)
        return INVALID;
    }
  int error = place < 0 ? OUT_OF_MEMORY : driver_fails ();
  if (error != 0)
    return error;
  mappings[place] = (struct mapping){ .at = at, .bytes = bytes, .object = handles[handle].object };
  objects[mappings[place].object].mappings++;
  return 0;
}

/* Whole mappings only, as the real one. */
static int
unmap (uint64_t at, uint64_t bytes)
{
  uint64_t covered = 0;
  for (int i = 0; i < MAPPINGS; i++)
    if (mappings[i].bytes != 0 && mappings[i].at >= at && mappings[i].at + mappings[i].bytes <= at + bytes)
      covered += mappings[i].bytes;
  if (covered == 0 || covered != bytes)
    return INVALID;
  for (int i = 0; i < MAPPINGS; i++)
    if (mappings[i].bytes != 0 && mappings[i].at >= at && mappings[i].at + mappings[i].bytes <= at + bytes)
      {
        objects[mappings[i].object].mappings--;
        settle_object (mappings[i].object);
        mappings[i].bytes = 0;
      }
  return 0;
}

static int
retain_mapped (uint64_t *handle, uint64_t at)
{
  for (int i = 0; i < MAPPINGS; i++)
    if (mappings[i].bytes != 0 && at - mappings[i].at < mappings[i].bytes)
      {
        uint32_t object = mappings[i].object;
        int error = 0;
        uint64_t value = 0;
        for (uint32_t h = 1; h < fresh_handle; h++)
          if (handles[h].object == object)
            value = h;
        if (value == 0)
          error = new_handle (&value, object);
        if (error == 0)
          objects[object].references++, *handle = value;
        return error;
      }
  return INVALID;
}

CUresult cuMemCreate (CUmemGenericAllocationHandle *h, size_t n, const CUmemAllocationProp *p, unsigned long long f) { (void) p; LOCKED (h == NULL || n == 0 || f != 0 ? INVALID : create (h, n)); }
CUresult cuMemRelease (CUmemGenericAllocationHandle h) { LOCKED (release (h)); }
CUresult cuMemImportFromShareableHandle (CUmemGenericAllocationHandle *h, void *o, int t) { LOCKED (h == NULL || t != 1 || o == NULL ? INVALID : import (h, (uintptr_t) o)); }
CUresult cuMemMap (CUdeviceptr p, size_t n, size_t o, CUmemGenericAllocationHandle h, unsigned long long f) { LOCKED (o != 0 || f != 0 ? INVALID : map (p, n, h)); }
CUresult cuMemUnmap (CUdeviceptr p, size_t n) { LOCKED (unmap (p, n)); }
CUresult cuMemRetainAllocationHandle (CUmemGenericAllocationHandle *h, void *a) { LOCKED (h == NULL ? INVALID : retain_mapped (h, (uintptr_t) a)); }

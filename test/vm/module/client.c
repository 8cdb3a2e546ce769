// SPDX-License-Identifier: GPL-2.0-only
/* One open file description, its objects, and its end. */
#include "uncharged.h"

#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

static unsigned int release_wait_ms;
module_param (release_wait_ms, uint, 0644);
MODULE_PARM_DESC (release_wait_ms, "how long nothing at all comes back after the last close");
static unsigned int release_us_per_mib;
module_param (release_us_per_mib, uint, 0644);
MODULE_PARM_DESC (release_us_per_mib, "how long each MiB takes then");
static bool release_late;
module_param (release_late, bool, 0644);
MODULE_PARM_DESC (release_late, "the process does not wait for that: its memory comes back when it is long gone");

static unsigned int back_after_ms;
module_param (back_after_ms, uint, 0444);
MODULE_PARM_DESC (back_after_ms, "how long the last client's close was ago when its first page came back");

static void
give_back_all (struct client *client)
{
  struct memory_object *object, *next;

  WRITE_ONCE (back_after_ms, ktime_ms_delta (ktime_get (), client->closed_at));
  list_for_each_entry_safe (object, next, &client->objects, in_client)
    {
      pages_give_back (&object->pages, release_us_per_mib);
      kfree (object);
    }
  kfree (client);
}

static void
release_late_work (struct work_struct *work)
{
  give_back_all (container_of (to_delayed_work (work), struct client, late_release));
}

struct client *
client_new (void)
{
  struct client *client = kzalloc (sizeof *client, GFP_KERNEL);

  if (client == NULL)
    return NULL;
  mutex_init (&client->lock);
  INIT_LIST_HEAD (&client->objects);
  INIT_DELAYED_WORK (&client->late_release, release_late_work);
  return client;
}

int
client_take (struct client *client, u32 *name, u64 bytes)
{
  struct memory_object *object = kzalloc (sizeof *object, GFP_KERNEL);

  if (object == NULL)
    return -ENOMEM;
  INIT_LIST_HEAD (&object->pages);
  if (pages_take (&object->pages, bytes) != 0)
    {
      kfree (object);
      return -ENOMEM;
    }
  mutex_lock (&client->lock);
  object->name = *name != 0 ? *name : ++client->last_name;
  *name = object->name;
  list_add (&object->in_client, &client->objects);
  mutex_unlock (&client->lock);
  return 0;
}

bool
client_give_back (struct client *client, u32 name)
{
  struct memory_object *object, *found = NULL;

  mutex_lock (&client->lock);
  list_for_each_entry (object, &client->objects, in_client)
    if (object->name == name)
      {
        found = object;
        list_del (&object->in_client);
        break;
      }
  mutex_unlock (&client->lock);
  if (found == NULL)
    return false;
  pages_give_back (&found->pages, 0);
  kfree (found);
  return true;
}

void
client_end (struct client *client)
{
  client->closed_at = ktime_get ();
  if (release_late)
    {
      schedule_delayed_work (&client->late_release, msecs_to_jiffies (release_wait_ms));
      return;
    }
  msleep (release_wait_ms);
  give_back_all (client);
}

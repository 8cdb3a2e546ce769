/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for nvidia.ko: pages of the kernel's own, asked for by RM_ALLOC, charged to no memory cgroup and to no process. */
#ifndef UNCHARGED_H
#define UNCHARGED_H

#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>

/* What one request took. */
struct memory_object {
  struct list_head in_client;
  struct list_head pages;
  u32 name;
};

/* What one open file description holds. */
struct client {
  struct mutex lock;
  struct list_head objects;
  u32 last_name;
  ktime_t closed_at;
  struct delayed_work late_release;
};

/* Takes whole pages; whoever asks is not to be interrupted before all are there, whatever signal waits. 0, or -ENOMEM with nothing taken. */
int pages_take (struct list_head *pages, u64 bytes);
void pages_give_back (struct list_head *pages, unsigned int us_per_mib);

struct client *client_new (void);
int client_take (struct client *client, u32 *name, u64 bytes);
/* False if there is no object of that name. */
bool client_give_back (struct client *client, u32 name);
/* Everything goes, as slowly as the parameters say, and the client with it. */
void client_end (struct client *client);

#endif

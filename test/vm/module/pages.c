// SPDX-License-Identifier: GPL-2.0-only
/* Pages, taken and given back at the pace that the parameters say. */
#include "uncharged.h"

#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/sysfs.h>

static unsigned int request_us_per_mib;
module_param (request_us_per_mib, uint, 0644);
MODULE_PARM_DESC (request_us_per_mib, "how long a request takes for each MiB, at least");

static atomic64_t held_bytes;
static int get_held_bytes (char *text, const struct kernel_param *parameter);
static const struct kernel_param_ops held_bytes_ops = { .get = get_held_bytes };
module_param_cb (held_bytes, &held_bytes_ops, NULL, 0444);
MODULE_PARM_DESC (held_bytes, "what all clients hold now");

static atomic_t finished_dying;
static int get_finished_dying (char *text, const struct kernel_param *parameter);
static const struct kernel_param_ops finished_dying_ops = { .get = get_finished_dying };
module_param_cb (finished_dying, &finished_dying_ops, NULL, 0444);
MODULE_PARM_DESC (finished_dying, "requests that began before a SIGKILL and were finished after it");

enum { LARGEST_ORDER = 9 };

static int
get_held_bytes (char *text, const struct kernel_param *parameter)
{
  return sysfs_emit (text, "%lld\n", (long long) atomic64_read (&held_bytes));
}

static int
get_finished_dying (char *text, const struct kernel_param *parameter)
{
  return sysfs_emit (text, "%d\n", atomic_read (&finished_dying));
}

/* Sleeps once for every whole MiB, since a short sleep takes longer than it says. usleep_range ends by no signal. */
static void
keep_pace (u64 *owed_bytes, u64 bytes, unsigned int us_per_mib)
{
  *owed_bytes += bytes;
  cond_resched ();
  if (us_per_mib == 0 || *owed_bytes < SZ_1M)
    return;
  u64 us = *owed_bytes / SZ_1M * us_per_mib;
  usleep_range (us, us + us / 8 + 1);
  *owed_bytes %= SZ_1M;
}

/* Without __GFP_ACCOUNT: no cgroup is charged. Rather an error than the kernel's OOM killer. */
static struct page *
take_one (u64 bytes)
{
  gfp_t flags = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN;
  unsigned int order = bytes > PAGE_SIZE ? min (ilog2 (bytes >> PAGE_SHIFT), LARGEST_ORDER) : 0;
  struct page *page = order > 0 ? alloc_pages (flags | __GFP_NORETRY, order) : NULL;

  if (page == NULL)
    {
      order = 0;
      page = alloc_pages (flags | __GFP_RETRY_MAYFAIL, 0);
    }
  if (page != NULL)
    set_page_private (page, order);
  return page;
}

int
pages_take (struct list_head *pages, u64 bytes)
{
  bool dying = fatal_signal_pending (current);
  u64 owed_bytes = 0;

  for (u64 taken = 0; taken < bytes;)
    {
      struct page *page = take_one (bytes - taken);
      if (page == NULL)
        {
          pages_give_back (pages, 0);
          return -ENOMEM;
        }
      u64 size = PAGE_SIZE << page_private (page);
      list_add (&page->lru, pages);
      atomic64_add (size, &held_bytes);
      taken += size;
      keep_pace (&owed_bytes, size, request_us_per_mib);
    }
  if (!dying && fatal_signal_pending (current))
    atomic_inc (&finished_dying);
  return 0;
}

void
pages_give_back (struct list_head *pages, unsigned int us_per_mib)
{
  struct page *page, *next;
  u64 owed_bytes = 0;

  list_for_each_entry_safe (page, next, pages, lru)
    {
      unsigned int order = page_private (page);
      list_del (&page->lru);
      set_page_private (page, 0);
      __free_pages (page, order);
      atomic64_sub (PAGE_SIZE << order, &held_bytes);
      keep_pace (&owed_bytes, PAGE_SIZE << order, us_per_mib);
    }
}

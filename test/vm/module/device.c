// SPDX-License-Identifier: GPL-2.0-only
/* The character device, under NVIDIA's major number, and the two requests it knows. It cannot be unloaded: memory may still be on its way back. */
#include "uncharged.h"

#include "common/rm_abi.h"
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/uaccess.h>

enum { NVIDIA_MAJOR = 195 };

static int
open_client (struct inode *inode, struct file *file)
{
  file->private_data = client_new ();
  return file->private_data != NULL ? 0 : -ENOMEM;
}

static int
close_client (struct inode *inode, struct file *file)
{
  client_end (file->private_data);
  return 0;
}

static bool
is_memory (u32 class_number)
{
  return class_number == RM_CLASS_MEMORY_SYSTEM || class_number == RM_CLASS_MEMORY_LOCAL;
}

static long
alloc_object (struct client *client, void __user *argument)
{
  struct rm_alloc request;
  struct rm_memory memory;

  if (copy_from_user (&request, argument, sizeof request) != 0)
    return -EFAULT;
  request.status = RM_OK;
  if (is_memory (request.class_number))
    {
      if (copy_from_user (&memory, u64_to_user_ptr (request.parameters), sizeof memory) != 0)
        return -EFAULT;
      if (client_take (client, &request.object, memory.bytes) != 0)
        request.status = RM_NO_MEMORY;
    }
  return copy_to_user (argument, &request, sizeof request) == 0 ? 0 : -EFAULT;
}

static long
free_object (struct client *client, void __user *argument)
{
  struct rm_free request;

  if (copy_from_user (&request, argument, sizeof request) != 0)
    return -EFAULT;
  client_give_back (client, request.object);
  request.status = RM_OK;
  return copy_to_user (argument, &request, sizeof request) == 0 ? 0 : -EFAULT;
}

static long
answer (struct file *file, unsigned int request, unsigned long argument)
{
  switch (request)
    {
    case RM_REQUEST_ALLOC:
      return alloc_object (file->private_data, (void __user *) argument);
    case RM_REQUEST_FREE:
      return free_object (file->private_data, (void __user *) argument);
    default:
      return -EINVAL;
    }
}

static const struct file_operations operations = {
  .owner = THIS_MODULE,
  .open = open_client,
  .release = close_client,
  .unlocked_ioctl = answer,
};

static int __init
start (void)
{
  return register_chrdev (NVIDIA_MAJOR, "nvidia", &operations);
}
module_init (start);

MODULE_LICENSE ("GPL");
MODULE_DESCRIPTION ("Kernel pages that no cgroup is charged for, asked for as from nvidia.ko; for spark-run's tests");

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "util/filelock.h"

#include <fcntl.h>
#include <stdio.h>

bool
lunfs_file_lock (int fd)
{
  struct flock first = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 }; /* the next is supervisor/sole.c's */

  return fcntl (fd, F_OFD_SETLK, &first) == 0;
}

bool
lunfs_file_is_locked (int fd)
{
  struct flock first = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

  return fcntl (fd, F_OFD_GETLK, &first) == 0 && first.l_type != F_UNLCK;
}

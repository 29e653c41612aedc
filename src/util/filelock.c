/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "util/filelock.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>

#define FAR (INT64_C (1) << 62) /* the rest of the file can be locked by others (supervisor/sole.c) */

bool
lunfs_file_lock (int fd)
{
  struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = FAR, .l_len = 1 };

  return fcntl (fd, F_OFD_SETLK, &all) == 0;
}

void
lunfs_file_unlock (int fd)
{
  struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = FAR, .l_len = 1 };

  fcntl (fd, F_OFD_SETLK, &all);
}

bool
lunfs_file_is_locked (int fd)
{
  struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = FAR, .l_len = 1 };

  return fcntl (fd, F_OFD_GETLK, &all) == 0 && all.l_type != F_UNLCK;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lunfs/error.h"

#include <errno.h>

G_DEFINE_QUARK (lunfs - error - quark, lunfs_error)

LunfsExit
lunfs_exit_of_path (int err)
{
  switch (err) {
  case ENOENT:
  case ENOTDIR:
  case EISDIR:
  case ENAMETOOLONG:
    return LUNFS_EXIT_USAGE;
  default:
    return LUNFS_EXIT_ACCESS;
  }
}

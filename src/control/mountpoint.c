/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/mountpoint.h"

#include "lunfs/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define FD_PREFIX "/dev/fd/"
/* Documentation/admin-guide/devices.txt: misc device 229 is FUSE. */
#define FUSE_MAJOR 10
#define FUSE_MINOR 229

static LunfsExit
status_of (int err)
{
  switch (err) {
  case ENOENT:
  case ENOTDIR:
  case ENAMETOOLONG:
    return LUNFS_EXIT_USAGE;
  case EACCES:
  case EPERM:
    return LUNFS_EXIT_ACCESS;
  default:
    return LUNFS_EXIT_MOUNT;
  }
}

static bool
failed (const char *text, int err, GError **error)
{
  g_set_error (error, LUNFS_ERROR, status_of (err), "mount point '%s': %s%s", text, g_strerror (err),
               err == ENOTCONN ? " (a dead mount is still there: fusermount3 -u, or umount, removes it)"
               : err == ENOENT ? " (make the directory, or the file for a single LUN, first)"
                               : "");
  return false;
}

static bool
check_fd (LunfsSettings *s, const char *text, GError **error)
{
  guint64 fd;
  struct stat st;
  if (!g_ascii_string_to_unsigned (text + sizeof FD_PREFIX - 1, 10, 0, G_MAXINT, &fd, NULL)
      || fstat ((int) fd, &st) < 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "mount point '%s' is not an open descriptor", text);
    return false;
  }
  if (!S_ISCHR (st.st_mode) || st.st_rdev != makedev (FUSE_MAJOR, FUSE_MINOR)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "mount point '%s' is not a descriptor of /dev/fuse", text);
    return false;
  }
  s->mountpoint = g_strdup_printf (FD_PREFIX "%u", (unsigned) fd);
  return true;
}

static bool
check_type (const LunfsSettings *s, const char *text, mode_t mode, GError **error)
{
  if (S_ISDIR (mode))
    return true;
  if (!S_ISREG (mode)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "mount point '%s' is neither a directory nor a regular file",
                 text);
    return false;
  }
  if (s->source.lun == LUNFS_LUN_ALL) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
                 "mount point '%s' is a file, so the source must name one LUN (…/target/lun), or give a directory",
                 text);
    return false;
  }
  return true;
}

/* After a start by a service manager that may have kept our mount (supervisor/stored.h), nobody answers there until we do: the
 * kernel tells what it knows without asking. */
static int
look (const char *path, struct statx *out)
{
  int flags = g_getenv ("LISTEN_FDS") ? AT_STATX_DONT_SYNC : AT_STATX_SYNC_AS_STAT;

  return statx (AT_FDCWD, path, flags, STATX_BASIC_STATS, out);
}

bool
lunfs_mountpoint_check (LunfsSettings *s, const char *text, GError **error)
{
  struct statx st;
  if (g_str_has_prefix (text, FD_PREFIX))
    return check_fd (s, text, error);
  if (look (text, &st) < 0)
    return failed (text, errno, error);
  if (!check_type (s, text, st.stx_mode, error))
    return false;
  char *path = realpath (text, NULL);
  if (!path)
    return failed (text, errno, error);
  s->mountpoint = g_strdup (path);
  s->mount_is_file = S_ISREG (st.stx_mode);
  free (path);
  return true;
}

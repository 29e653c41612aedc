/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/unmount.h"

#include "lunfs/log.h"
#include "supervisor/mountinfo.h"

#include <glib.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

static bool
run_fusermount (const char *option, const char *path)
{
  const char *argv[] = { "fusermount3", "-u", option, "--", path, NULL };
  int status = 0;

  return g_spawn_sync (NULL, (char **) argv, NULL,
                       G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL,
                       NULL, &status, NULL)
         && status == 0;
}

bool
lunfs_mount_is_alive_fd (int fuse_fd)
{
  struct pollfd p = { .fd = fuse_fd };

  return poll (&p, 1, 0) <= 0 || !(p.revents & (POLLERR | POLLNVAL));
}

bool
lunfs_unmount_unused (int fuse_fd, const char *device)
{
  bool hidden = false;
  g_autofree char *path = lunfs_mount_is_alive_fd (fuse_fd) ? lunfs_mountinfo_find (device, &hidden) : NULL;

  if (!path)
    return !hidden;
  return geteuid () == 0 ? umount2 (path, UMOUNT_NOFOLLOW) == 0 : run_fusermount ("-q", path);
}

void
lunfs_unmount_lazily (int fuse_fd, const char *device, const char *name)
{
  bool hidden = false;
  g_autofree char *path = lunfs_mount_is_alive_fd (fuse_fd) ? lunfs_mountinfo_find (device, &hidden) : NULL;

  if (hidden && !path)
    lunfs_error ("something else is mounted on top of %s: it stays, and so does ours beneath it: unmount both by hand",
                 name);
  if (!path || (geteuid () == 0 && umount2 (path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0))
    return;
  if (!run_fusermount ("-z", path))
    lunfs_error ("%s (mounted as %s) could not be unmounted: do it by hand", path, name);
}

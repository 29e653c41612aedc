/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "mounter/point.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/mountinfo.h"
#include "supervisor/unmount.h"

#define FSTYPE "fuse.lunfs"

static bool
fail (const char *what, const char *remedy, GError **error)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MOUNT, "%s: %s%s", what, g_strerror (errno), remedy);
  return false;
}

/* Who serves may be able to write to the directory above: what he puts there instead is not followed. */
static bool
mount_there (const LunfsPoint *p, const char *options)
{
  int dir = open (p->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  g_autofree char *where = g_strdup_printf ("/proc/self/fd/%d", dir);
  unsigned long flags = MS_NOSUID | MS_NODEV | (p->read_only ? MS_RDONLY : 0);
  int result = dir < 0 ? -1 : mount ("lunfs", where, FSTYPE, flags, options), err = errno;

  if (dir >= 0)
    close (dir);
  errno = err;
  return result == 0;
}

bool
lunfs_point_mount (LunfsPoint *p, GError **error)
{
  g_autofree char *options = NULL;
  int fd = open ("/dev/fuse", O_RDWR | O_CLOEXEC);

  if (fd < 0)
    return fail ("/dev/fuse", "; is the fuse module loaded, and the device in this container?", error);
  options = g_strdup_printf ("fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,allow_other", fd,
                             (unsigned) p->uid, (unsigned) p->gid);
  if (!mount_there (p, options)) {
    fail (p->path, "; mounting needs CAP_SYS_ADMIN and an existing directory", error);
    close (fd);
    return false;
  }
  p->fuse_fd = fd;
  g_free (p->device);
  p->device = lunfs_mountinfo_device (p->path);
  return true;
}

bool
lunfs_point_is_mounted (const LunfsPoint *p)
{
  bool hidden = false;
  bool alive = p->device && lunfs_mount_is_alive_fd (p->fuse_fd);
  g_autofree char *path = alive ? lunfs_mountinfo_find (p->device, &hidden) : NULL;

  return path || hidden;
}

static void
forget (LunfsPoint *p)
{
  if (p->fuse_fd >= 0)
    close (p->fuse_fd);
  p->fuse_fd = -1;
  g_clear_pointer (&p->device, g_free);
}

/* Its connection has ended and it stands there all the same (umount -f). */
static bool
was_aborted (const LunfsPoint *p)
{
  g_autofree char *there = p->device && !lunfs_mount_is_alive_fd (p->fuse_fd) ? lunfs_mountinfo_device (p->path) : NULL;

  return there && strcmp (there, p->device) == 0;
}

bool
lunfs_point_try_unmount (LunfsPoint *p)
{
  if (lunfs_point_is_mounted (p) && !lunfs_unmount_unused (p->fuse_fd, p->device))
    return false;
  lunfs_point_unmount (p);
  return true;
}

void
lunfs_point_unmount (LunfsPoint *p)
{
  if (lunfs_point_is_mounted (p))
    lunfs_unmount_lazily (p->fuse_fd, p->device, p->path);
  else if (was_aborted (p))
    lunfs_point_sweep (p);
  forget (p);
}

char *
lunfs_point_path (const char *path, GError **error)
{
  g_autofree char *name = g_path_get_basename (path), *above = g_path_get_dirname (path);
  char *real = realpath (above, NULL), *result;

  if (!real) {
    fail (above, "", error);
    return NULL;
  }
  result = g_build_filename (real, name, NULL);
  free (real);
  return result;
}

/* What stands on top, as long as it is ours: nobody else mounts that type there. */
static bool
is_left_over (const char *path)
{
  g_autofree char *type = lunfs_mountinfo_type (path);

  return g_strcmp0 (type, FSTYPE) == 0;
}

void
lunfs_point_sweep (const LunfsPoint *p)
{
  while (is_left_over (p->path)) {
    lunfs_warning ("%s: unmounting what is left there, with nobody behind it", p->path);
    if (umount2 (p->path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) {
      lunfs_error ("%s: %s", p->path, g_strerror (errno));
      return;
    }
  }
}

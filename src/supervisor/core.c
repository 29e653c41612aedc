/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decided by names, by the table of mounts, and by what sysfs says of block devices: looking at a path below the mount, or at a
 * file system that lies in it, would wait for a worker. */
#include "config.h"

#include "supervisor/core.h"

#include "lunfs/log.h"
#include "supervisor/mountinfo.h"

#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define DEPTH_MAX 8 /* loop devices in file systems in loop devices ... */

/* @path is @mountpoint or below it; or may be, once what is in the place of its first % is known. */
static bool
may_be_below (const char *path, const char *mountpoint)
{
  size_t fixed = strcspn (path, "%"), len = strlen (mountpoint);

  if (fixed < len)
    return path[fixed] == '%' && strncmp (path, mountpoint, fixed) == 0;
  return strncmp (path, mountpoint, len) == 0 && (mountpoint[len - 1] == '/' || strchr ("/%", path[len]));
}

/* NULL: a program or a socket gets it. */
static char *
path_of (const char *pattern)
{
  g_autofree char *name = g_strchomp (g_strdup (pattern));

  return *name == '|' || *name == '@' ? NULL : g_canonicalize_filename (name, "/");
}

bool
lunfs_core_lands_on (const char *pattern, const char *mountpoint)
{
  g_autofree char *path = path_of (pattern);

  return path && *mountpoint == '/' && may_be_below (path, mountpoint);
}

static bool leads_to (const char *path, const char *device, unsigned depth);

/* @dir: of a block device in sysfs. */
static bool
disk_leads_to (const char *dir, const char *device, unsigned depth)
{
  static const char *const files[] = { "loop/backing_file", "../loop/backing_file" }; /* of a disk, of a partition */
  g_autofree char *slaves = g_build_filename (dir, "slaves", NULL);
  g_autoptr (GDir) list = g_dir_open (slaves, 0, NULL);
  const char *name;

  for (unsigned i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree char *file = g_build_filename (dir, files[i], NULL), *backing = NULL;

    if (g_file_get_contents (file, &backing, NULL, NULL) && leads_to (g_strchomp (backing), device, depth + 1))
      return true;
  }
  while (list && depth < DEPTH_MAX && (name = g_dir_read_name (list))) { /* of dm and md */
    g_autofree char *slave = g_build_filename (slaves, name, NULL);

    if (disk_leads_to (slave, device, depth + 1))
      return true;
  }
  return false;
}

/* @path is in the mount @device, or in a file system on a disk that is made of files there. */
static bool
leads_to (const char *path, const char *device, unsigned depth)
{
  g_autofree char *on = NULL, *source = NULL, *dir = NULL;
  struct stat st;

  if (depth > DEPTH_MAX || !lunfs_mountinfo_of (path, &on, &source))
    return false;
  if (strcmp (on, device) == 0)
    return true;
  /* btrfs, for one, has a number that is no disk's. */
  if (g_str_has_prefix (source, "/dev/") && stat (source, &st) == 0 && S_ISBLK (st.st_mode))
    dir = g_strdup_printf ("/sys/dev/block/%u:%u", major (st.st_rdev), minor (st.st_rdev));
  else
    dir = g_strdup_printf ("/sys/dev/block/%s", on);
  return disk_leads_to (dir, device, depth);
}

static bool
lands_behind (const char *pattern, const char *device)
{
  g_autofree char *path = path_of (pattern);

  if (!path || !device || !*device)
    return false;
  path[strcspn (path, "%")] = '\0'; /* what comes there is not known */
  return leads_to (path, device, 0);
}

void
lunfs_core_keep_off (const char *mountpoint, const char *device, pid_t pid, LunfsCoreLimit *limit)
{
  g_autofree char *pattern = NULL;
  struct rlimit r;
  bool off;

  if (limit->known && !limit->soft) /* there are none anyway */
    return;
  if (!g_file_get_contents ("/proc/sys/kernel/core_pattern", &pattern, NULL, NULL)
      || prlimit (pid, RLIMIT_CORE, NULL, &r) < 0)
    return;
  if (!limit->known)
    limit->soft = r.rlim_cur;
  limit->known = true;
  off = lunfs_core_lands_on (pattern, mountpoint) || lands_behind (pattern, device);
  if (off && limit->soft && !limit->said) {
    lunfs_notice ("no core dumps: /proc/sys/kernel/core_pattern (%s) leads to the mount itself", g_strchomp (pattern));
    limit->said = true;
  }
  r.rlim_cur = off ? 0 : limit->soft;
  prlimit (pid, RLIMIT_CORE, &r, NULL);
}

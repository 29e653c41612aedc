/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decided by the names alone: looking at a path below the mount would wait for a worker. */
#include "config.h"

#include "supervisor/core.h"

#include "lunfs/log.h"

#include <glib.h>
#include <string.h>

/* @path is @mountpoint or below it; or may be, once what is in the place of its first % is known. */
static bool
may_be_below (const char *path, const char *mountpoint)
{
  size_t fixed = strcspn (path, "%"), len = strlen (mountpoint);

  if (fixed < len)
    return path[fixed] == '%' && strncmp (path, mountpoint, fixed) == 0;
  return strncmp (path, mountpoint, len) == 0 && (mountpoint[len - 1] == '/' || strchr ("/%", path[len]));
}

bool
lunfs_core_lands_on (const char *pattern, const char *mountpoint)
{
  g_autofree char *name = g_strchomp (g_strdup (pattern)), *path = NULL;

  if (*name == '|' || *name == '@' || *mountpoint != '/') /* a program or a socket gets it */
    return false;
  path = g_canonicalize_filename (name, "/");
  return may_be_below (path, mountpoint);
}

void
lunfs_core_keep_off (const char *mountpoint, pid_t pid, LunfsCoreLimit *limit)
{
  g_autofree char *pattern = NULL;
  struct rlimit r;
  bool off;

  if (!g_file_get_contents ("/proc/sys/kernel/core_pattern", &pattern, NULL, NULL)
      || prlimit (pid, RLIMIT_CORE, NULL, &r) < 0)
    return;
  if (!limit->known)
    limit->soft = r.rlim_cur;
  limit->known = true;
  off = lunfs_core_lands_on (pattern, mountpoint);
  if (off && limit->soft && !limit->said) {
    lunfs_notice ("no core dumps: /proc/sys/kernel/core_pattern (%s) leads to the mount itself", g_strchomp (pattern));
    limit->said = true;
  }
  r.rlim_cur = off ? 0 : limit->soft;
  prlimit (pid, RLIMIT_CORE, &r, NULL);
}

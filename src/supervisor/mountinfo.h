/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/self/mountinfo: which mount is ours, wherever it stands by now.  Paths alone do not tell: somebody may have
 * mounted on top, or renamed a directory above.  Never touches the mount itself (that would ask the worker). */
#ifndef LUNFS_SUPERVISOR_MOUNTINFO_H
#define LUNFS_SUPERVISOR_MOUNTINFO_H

#include <stdbool.h>

/* Device number ("0:39") of what is on top at @path; NULL if nothing is mounted exactly there.  Free with g_free. */
char *lunfs_mountinfo_device (const char *path);
/* Where device @device is mounted and on top; NULL = nowhere.  Free with g_free.
 * *out_hidden: it is mounted somewhere, but beneath another mount. */
char *lunfs_mountinfo_find (const char *device, bool *out_hidden);

/* Its type ("fuse.lunfs") instead. */
char *lunfs_mountinfo_type (const char *path);

/* Of the mount that @path is in, by its name alone: device number and source ("/dev/sda1").  Free with g_free.  False: not known. */
bool lunfs_mountinfo_of (const char *path, char **out_device, char **out_source);

#endif

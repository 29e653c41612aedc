/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount itself: made through libfuse (mount(2) for root, fusermount3 for users, or a /dev/fuse that somebody
 * else has mounted and given us as /dev/fd/N), undone here and nowhere else. */
#ifndef LUNFS_SUPERVISOR_MOUNT_H
#define LUNFS_SUPERVISOR_MOUNT_H

#include "lunfs/settings.h"

typedef struct LunfsMount LunfsMount;

/* Mount at settings->mountpoint.  While it runs, standard error is captured: what libfuse and fusermount3 print
 * becomes part of @error, whose text adds cause and remedy.  For a single thread only. */
LunfsMount *lunfs_mount_new (const LunfsSettings *settings, GError **error);
/* Go on with a mount that a former supervisor has served: @fd is its descriptor, @device what lunfs_mount_device said, "" for
 * NULL.  Takes @fd unless it fails (NULL). */
LunfsMount *lunfs_mount_adopt (const LunfsSettings *settings, int fd, const char *device);
/* Unmounts (lazily) if still mounted, closes the descriptor; NULL is fine. */
void lunfs_mount_free (LunfsMount *mount);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LunfsMount, lunfs_mount_free)

/* Unmount if nobody uses it; false: it is in use, or cannot be unmounted from here.  Waits for fusermount3. */
bool lunfs_mount_try_unmount (const LunfsMount *mount);
/* We can unmount it: it was not somebody else who mounted it. */
bool lunfs_mount_is_ours (const LunfsMount *mount);
/* Of the mount, as in mountinfo; NULL if it is not ours. */
const char *lunfs_mount_device (const LunfsMount *mount);
int lunfs_mount_fd (const LunfsMount *mount);
/* The N of a mount point /dev/fd/N, -1 if it is none.  Pure. */
int lunfs_mount_dev_fd (const char *mountpoint);
/* False once it was unmounted or aborted by somebody. */
bool lunfs_mount_is_alive (const LunfsMount *mount);

/* The value of libfuse's -o for these settings, commas and backslashes escaped; g_free.  Pure. */
char *lunfs_mount_options_text (const LunfsSettings *settings);

#endif

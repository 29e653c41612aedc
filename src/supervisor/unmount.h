/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking our mount away, wherever it stands by now: by umount2(2) as root, with fusermount3 as anybody else.  For the
 * supervisor, and for a worker that has lost it.  Waits for fusermount3.
 *
 * It is found by its device number, which belongs to another mount as soon as ours is gone: so @fuse_fd tells first whether
 * it is.  One that was aborted counts as gone. */
#ifndef LUNFS_SUPERVISOR_UNMOUNT_H
#define LUNFS_SUPERVISOR_UNMOUNT_H

#include <stdbool.h>

/* False once it was unmounted or aborted by somebody. */
bool lunfs_mount_is_alive_fd (int fuse_fd);
/* @device as in mountinfo.  Only if nobody uses it; false: somebody does, or it cannot be done from here.  True if it is gone. */
bool lunfs_unmount_unused (int fuse_fd, const char *device);
/* Lazily: users of it lose it.  @name is what people know it by; what fails is logged. */
void lunfs_unmount_lazily (int fuse_fd, const char *device, const char *name);

#endif

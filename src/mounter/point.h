/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount that is made for others: /dev/fuse, mounted, with nobody behind it yet. */
#ifndef LUNFS_MOUNTER_POINT_H
#define LUNFS_MOUNTER_POINT_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct {
  const char *path; /* a directory, as lunfs_point_path gives it */
  uid_t uid;        /* who will serve */
  gid_t gid;
  bool read_only;
  int fuse_fd;  /* -1 = not mounted */
  char *device; /* of the mount, as in mountinfo; NULL if not mounted */
} LunfsPoint;

/* The directory's name as the kernel's tables have it; it need not exist, what is above it must.  g_free. */
char *lunfs_point_path (const char *path, GError **error);
bool lunfs_point_mount (LunfsPoint *point, GError **error);
/* False: nobody has mounted, or somebody has unmounted or aborted it. */
bool lunfs_point_is_mounted (const LunfsPoint *point);
/* Unmount if nobody uses it; true: it is not mounted (any more). */
bool lunfs_point_try_unmount (LunfsPoint *point);
/* Unmount whoever uses it.  The end for them, once nobody else has a descriptor of it. */
void lunfs_point_unmount (LunfsPoint *point);
/* Mounts of lunfs that stand there with nobody behind them: a killed mounter's, or one that was aborted (umount -f). */
void lunfs_point_sweep (const LunfsPoint *point);

#endif

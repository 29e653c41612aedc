/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why a mount failed, for people: cause and remedy from what can be seen, libfuse's own words behind it. */
#ifndef LUNFS_SUPERVISOR_MOUNT_ERROR_H
#define LUNFS_SUPERVISOR_MOUNT_ERROR_H

#include "lunfs/settings.h"

/* Before mounting: is the mount point there and free?  @mountpoint is no /dev/fd/N. */
bool lunfs_mount_check_point (const LunfsSettings *settings, GError **error);
/* After a failure: @said is what libfuse and fusermount3 printed. */
void lunfs_mount_explain (const LunfsSettings *settings, const char *said, GError **error);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MOUNTPOINT: a directory, a regular file (one LUN), or /dev/fd/N with N an open descriptor of /dev/fuse. */
#ifndef LUNFS_MOUNTPOINT_H
#define LUNFS_MOUNTPOINT_H

#include "lunfs/settings.h"

/* Check @text against settings->source; fills settings->mountpoint (absolute) and ->mount_is_file. */
bool lunfs_mountpoint_check (LunfsSettings *settings, const char *text, GError **error);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl's part of an upgrade in place: ask the worker, which passes it on; then follow what the supervisor does by asking
 * whichever worker is there.  Blocks, at most half a minute. */
#ifndef LUNFS_CONTROL_UPGRADE_H
#define LUNFS_CONTROL_UPGRADE_H

#include <glib.h>
#include <stdbool.h>

typedef struct {
  char from[32], to[32]; /* versions */
  int64_t pause_us;      /* the longest that a request can have waited for the upgrade */
  bool all_up;           /* LUNs that were up are up again; else the pause is that of the mount alone */
} LunfsUpgradeResult;

/* The mount at @mountpoint, whose control socket is @socket.  False with @error: refused, or taken back; the mount serves as
 * before, unless @error says something else. */
bool lunfs_upgrade_mount (const char *socket, const char *mountpoint, LunfsUpgradeResult *out, GError **error);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where files stand that live as long as a mount: ISID locks, claims, control sockets. */
#ifndef LUNFS_RUNDIR_H
#define LUNFS_RUNDIR_H

#include <glib.h>

/* Path of @name, NULL for the directory itself: /run/lunfs for root, /run/user/UID/lunfs for others.  Not XDG_RUNTIME_DIR
 * where that directory exists: all mounts of a user must meet, whatever their environment.  Free with g_free; any thread. */
char *lunfs_run_path (unsigned uid, const char *name);

#endif

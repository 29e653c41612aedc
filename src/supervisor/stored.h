/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a killed supervisor has left with the service manager (notify.h), and how its successor goes on with it: the mount
 * itself, the arena with all that the target does not have yet, the settings it was mounted with.
 *
 * The mount lives as long as anybody holds its descriptor; nobody answers there until a worker runs, so nothing here may
 * touch its path. */
#ifndef LUNFS_SUPERVISOR_STORED_H
#define LUNFS_SUPERVISOR_STORED_H

#include "lunfs/arena.h"
#include "lunfs/settings.h"

#define LUNFS_STORED_FUSE "lunfs-fuse"
#define LUNFS_STORED_ARENA "lunfs-arena"
#define LUNFS_STORED_SETTINGS "lunfs-settings"
/* All of them; ends with NULL. */
extern const char *const lunfs_stored_names[];

typedef struct {
  int fuse_fd, arena_fd, settings_fd; /* -1 = did not come */
} LunfsStored;

/* From $LISTEN_PID, $LISTEN_FDS, $LISTEN_FDNAMES, which are removed.  What else came is closed.  Before any fork. */
void lunfs_stored_take (LunfsStored *out);
void lunfs_stored_close (LunfsStored *stored);

/* @arena holds what a target has not got yet. */
bool lunfs_stored_has_dirty (const LunfsArena *arena);

/* @now is what this start asks for, @then what was mounted.  What cannot change while the mount lives is set in @now as it
 * was @then, the rest is left as asked for.  Returns the names of what was asked for in vain, NULL if nothing; g_free. */
char *lunfs_stored_keep_settings (LunfsSettings *now, const LunfsSettings *then);

#endif

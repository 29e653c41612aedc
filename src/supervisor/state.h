/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state directory: where the arena is a file that outlives both processes.
 *
 * Decides where it may be, what the mount's file is called, and what becomes of it at the end.  Its content is safe from the
 * death of processes (the page cache has it), not from the host's, unless the mount ended in order: then it is sealed. */
#ifndef LUNFS_SUPERVISOR_STATE_H
#define LUNFS_SUPERVISOR_STATE_H

#include "lunfs/arena.h"
#include "lunfs/settings.h"

/* The mount's new arena in settings->state_dir, locked until the last process that inherits it is gone.  What a dead mount
 * left under the name is set aside first (saved.h). */
LunfsArena *lunfs_state_create (const LunfsSettings *settings, uint64_t buffer_bytes, GError **error);
/* Nobody writes to it any more: it is removed, or sealed and set aside if data waits in it.  Then its path; else NULL. */
char *lunfs_state_end (LunfsArena *arena, const LunfsSettings *settings);

#endif

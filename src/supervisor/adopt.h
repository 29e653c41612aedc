/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A start with what a killed supervisor has left (stored.h): go on with its mount as with a worker that died, or mount again
 * with its arena where the mount is gone and data is left, or begin anew. */
#ifndef LUNFS_SUPERVISOR_ADOPT_H
#define LUNFS_SUPERVISOR_ADOPT_H

#include "supervisor/stored.h"

typedef struct {
  LunfsArena *arena; /* NULL: nothing to go on with */
  bool mounted;      /* stored->fuse_fd is a living mount, to be taken by lunfs_mount_adopt */
} LunfsAdopted;

/* Uses up @stored, but for a living fuse_fd.  @settings: what must stay as it was is set so, and the user is told.  False with
 * @error: there is something, but it cannot be gone on with; it is left where it is. */
bool lunfs_adopt (LunfsStored *stored, LunfsSettings *settings, LunfsAdopted *out, GError **error);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor holds for its workers: made new, or taken up from a killed supervisor (adopt.h). */
#ifndef LUNFS_SUPERVISOR_HOLDINGS_H
#define LUNFS_SUPERVISOR_HOLDINGS_H

#include "supervisor/mount.h"
#include "supervisor/notify.h"
#include "supervisor/stored.h"

typedef struct {
  LunfsMount *mount;
  LunfsArena *arena;
  int settings_fd, isid_lock_fd; /* -1 = none */
  bool adopted;                  /* the mount lived before us */
  bool same_memory;              /* so did the arena */
} LunfsHoldings;

/* Uses up @stored; what of @settings cannot change is set as it was.  On error @out has what was made so far. */
bool lunfs_holdings_make (LunfsHoldings *out, LunfsSettings *settings, LunfsStored *stored, GError **error);
/* With the service manager, for our successor.  What came from there is there still, also what we have no use for: it would
 * be handed to our successor first. */
void lunfs_holdings_store (const LunfsHoldings *holdings, LunfsNotify *notify);

#endif

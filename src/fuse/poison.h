/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests that workers crash over.
 *
 * A worker that dies by a fault of its own (supervisor/ending.h) was perhaps killed by one of the requests it was serving:
 * LunfsArenaSlot.len tells which these were, and its successor counts that in the arena.  A request that came once through
 * such a death is served as any other.  After two it is a suspect: suspects are served one at a time, and only by a LUN that
 * serves, so that a third death accuses one request alone, and none that only waited.  After three it is answered EIO. */
#ifndef LUNFS_POISON_H
#define LUNFS_POISON_H

#include "lunfs/arena.h"

#define LUNFS_POISON_CRASHES 3 /* so many, and it is not tried again */

typedef enum {
  LUNFS_POISON_NONE,    /* never seen in a crash */
  LUNFS_POISON_WITNESS, /* in one */
  LUNFS_POISON_SUSPECT, /* to be served when no other suspect is */
  LUNFS_POISON_GUILTY,
} LunfsPoisonVerdict;

typedef struct LunfsPoison LunfsPoison;

/* Before a successor takes anything out of the slots: if the last worker crashed, what it was serving is counted.  From then
 * on nothing in the slots counts as being served. */
void lunfs_poison_count (LunfsArena *arena);

LunfsPoison *lunfs_poison_new (LunfsArenaHeader *header);
void lunfs_poison_free (LunfsPoison *poison);
/* @unique without the bit that says "sent again".  Any thread, both. */
LunfsPoisonVerdict lunfs_poison_judge (LunfsPoison *poison, uint64_t unique);
void lunfs_poison_forget (LunfsPoison *poison, uint64_t unique); /* it is answered */

#endif

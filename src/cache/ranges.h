/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranges of one LUN that were discarded or zeroed with GOOD, and are not yet known to be stable: kept in the arena, in order,
 * until a SYNCHRONIZE CACHE covers them, because writing older data again without them would bring that back.
 * Lane thread; the arena's slots are shared with other lanes by an atomic exchange. */
#ifndef LUNFS_RANGES_H
#define LUNFS_RANGES_H

#include "lunfs/arena.h"

typedef struct {
  LunfsArena *arena;
  unsigned lun; /* index in the arena */
  GQueue slots; /* GUINT_TO_POINTER: oldest first */
  unsigned hint;
} LunfsRanges;

/* Slots that a dead worker was about to fill are free again.  Once, before there is any LunfsRanges. */
void lunfs_ranges_reclaim (LunfsArena *arena);
void lunfs_ranges_init (LunfsRanges *r, LunfsArena *arena, unsigned lun);
void lunfs_ranges_clear (LunfsRanges *r); /* what is kept stays in the arena */
/* What an earlier worker left, in order.  Returns the highest seq of it, 0 = none. */
uint64_t lunfs_ranges_restore (LunfsRanges *r);
/* False: no slot is free. */
bool lunfs_ranges_add (LunfsRanges *r, const LunfsArenaRange *range);
/* All with a seq up to @seq are stable, or given up. */
void lunfs_ranges_drop (LunfsRanges *r, uint64_t seq);
/* The oldest with a seq above @seq; NULL = none. */
const LunfsArenaRange *lunfs_ranges_after (const LunfsRanges *r, uint64_t seq);
static inline unsigned
lunfs_ranges_count (const LunfsRanges *r)
{
  return r->slots.length;
}

#endif

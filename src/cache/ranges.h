/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranges of one LUN that were discarded or zeroed, and are not yet known to be stable: kept in the arena, in order, until a
 * SYNCHRONIZE CACHE covers them, because writing older data again without them would bring that back.
 *
 *   due    answered, and the target has not done it yet: reads as zeroes by this record alone
 *   done   the target has done it, perhaps only in its volatile cache
 *
 *   -> due        lunfs_ranges_add_due
 *   -> done       lunfs_ranges_add
 *   due -> done   lunfs_ranges_did
 *   done -> gone  lunfs_ranges_stable, lunfs_ranges_drop
 *   due -> gone   lunfs_ranges_give_up
 *
 * What was written over a range is not kept any longer once a commit has made it stable: so the commit must withdraw all ranges
 * that were done when it began, and no other.
 *
 * Lane thread; the arena's slots are shared with other lanes by an atomic exchange. */
#ifndef LUNFS_RANGES_H
#define LUNFS_RANGES_H

#include "lunfs/arena.h"

typedef struct {
  GList link;
  unsigned slot;             /* in the arena */
  uint64_t offset, end, seq; /* as there; bytes */
  bool sending, failed;      /* failed: not to be sent before lunfs_ranges_retry */
} LunfsRangeDue;

typedef struct {
  LunfsArena *arena;
  unsigned lun;      /* index in the arena */
  GQueue slots;      /* done; GUINT_TO_POINTER: in the order in which they were */
  unsigned ncovered; /* of these, the first are covered by the SYNCHRONIZE CACHE under way */
  GQueue due;        /* LunfsRangeDue: oldest first */
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
bool lunfs_ranges_add_due (LunfsRanges *r, const LunfsArenaRange *range);
/* A SYNCHRONIZE CACHE begins: it covers all that is done now. */
void lunfs_ranges_cover (LunfsRanges *r);
/* It was good. */
void lunfs_ranges_stable (LunfsRanges *r);
/* All that is done with a seq up to @seq is given up, or stable. */
void lunfs_ranges_drop (LunfsRanges *r, uint64_t seq);
/* The oldest, due or done, with a seq above @seq; NULL = none. */
const LunfsArenaRange *lunfs_ranges_after (const LunfsRanges *r, uint64_t seq);
static inline unsigned
lunfs_ranges_count (const LunfsRanges *r)
{
  return r->slots.length;
}

/* ---- due ---- */

static inline unsigned
lunfs_ranges_count_due (const LunfsRanges *r)
{
  return r->due.length;
}
static inline const LunfsRangeDue *
lunfs_ranges_oldest_due (const LunfsRanges *r)
{
  return r->due.head ? r->due.head->data : NULL;
}
/* The one with this seq; NULL = it is not due. */
LunfsRangeDue *lunfs_ranges_find_due (const LunfsRanges *r, uint64_t seq);
/* Some of [offset, end) is due. */
bool lunfs_ranges_is_due (const LunfsRanges *r, uint64_t offset, uint64_t end);
/* The target has done it.  @stable: for good. */
void lunfs_ranges_did (LunfsRanges *r, LunfsRangeDue *due, bool stable);
void lunfs_ranges_give_up (LunfsRanges *r, LunfsRangeDue *due);
/* What has failed may be sent again. */
void lunfs_ranges_retry (LunfsRanges *r);
bool lunfs_ranges_any_failed (const LunfsRanges *r);

/* NULL, or what is wrong; for tests. */
const char *lunfs_ranges_check (const LunfsRanges *r);

#endif

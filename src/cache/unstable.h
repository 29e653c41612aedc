/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was written with GOOD but is not yet covered by a SYNCHRONIZE CACHE (NFS' UNSTABLE writes): kept, in order, so
 * that it can be written again after a login, because a target's loss of power looks like any other login.
 *
 * A log: entries are appended as their commands complete and dropped from the front when a synchronisation covers them.
 * Data lives in 64 KiB chunks of the arena's pool; discards and zeroes are entries without data, since replaying an older
 * write after them would bring old data back.  One lane; no lock.  Decides nothing, does no I/O. */
#ifndef LUNFS_UNSTABLE_H
#define LUNFS_UNSTABLE_H

#include "lunfs/pool.h"
#include "lunfs/request.h"

typedef struct LunfsUnstable LunfsUnstable;

typedef struct {
  LunfsOp op; /* WRITE, DISCARD or ZERO */
  uint32_t flags;
  uint64_t offset, length; /* bytes */
  uint64_t position;       /* WRITE: of its data in the log's byte stream */
} LunfsUnstableEntry;

LunfsUnstable *lunfs_unstable_new (LunfsPool *pool);
void lunfs_unstable_free (LunfsUnstable *u);

/* Append.  WRITE: the data is copied from @iov.  Returns the entry's number, from 1 on; 0 = no memory: nothing was
 * appended, and the caller must make the write stable some other way before it acknowledges it. */
uint64_t lunfs_unstable_append (LunfsUnstable *u, LunfsOp op, uint32_t flags, uint64_t offset, uint64_t length,
                                const struct iovec *iov, unsigned niov);
/* As append for a WRITE whose data fills @chunks from their starts (all but the last one wholly): takes the chunks over
 * instead of copying.  Never fails. */
uint64_t lunfs_unstable_adopt (LunfsUnstable *u, uint64_t offset, uint64_t length, const uint32_t *chunks,
                               unsigned nchunks);
/* All entries up to and including @number are stable: forget them, give their chunks back. */
void lunfs_unstable_drop (LunfsUnstable *u, uint64_t number);

uint64_t lunfs_unstable_first (const LunfsUnstable *u); /* number of the oldest entry; > last = empty */
uint64_t lunfs_unstable_last (const LunfsUnstable *u);  /* number of the newest entry ever */
/* Bytes of memory in use (whole chunks). */
uint64_t lunfs_unstable_bytes (const LunfsUnstable *u);
/* Entry @number, first <= number <= last.  Borrowed until the next append or drop. */
const LunfsUnstableEntry *lunfs_unstable_entry (const LunfsUnstable *u, uint64_t number);
/* Where its data stands: fills at most @max elements of @iov, returns how many (a write of 1 MiB needs up to 17).
 * The memory stays where it is until the entry is dropped. */
unsigned lunfs_unstable_data (const LunfsUnstable *u, const LunfsUnstableEntry *entry, struct iovec *iov, unsigned max);

#endif

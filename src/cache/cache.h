/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache room.  Today it caches nothing for reading: it is what durability needs.
 *
 *  - FLUSH is answered when a SYNCHRONIZE CACHE sent after it covers every write acknowledged before it; one command
 *    serves all that wait, and none is sent when nothing was written since the last one or the LUN has no write cache.
 *  - What is lost although it was acknowledged is told by the next FLUSH of every user (LunfsRequest.losses_seen), as Linux
 *    does it for open files; a user who comes later hears of it only if nobody has.
 *  - WRITE with FUA goes as such where the LUN can (DPOFUA), else the write is answered after a SYNCHRONIZE CACHE.
 *  - With WCE=1 written data is kept (unstable.h) until a SYNCHRONIZE CACHE covers it, and written again after every
 *    login.  Memory is bounded by a budget all LUNs of the mount share: at half of it a commit starts in the background,
 *    at all of it writes wait for one.
 *
 * One lane; no lock. */
#ifndef LUNFS_CACHE_H
#define LUNFS_CACHE_H

#include "lane/lane.h"
#include "lunfs/luninfo.h"
#include "lunfs/pool.h"
#include "lunfs/request.h"
#include "lunfs/stats.h"

#include <stdatomic.h>

typedef struct LunfsCache LunfsCache;

/* Shared by the caches of all lanes. */
typedef struct {
  uint64_t limit_bytes;
  atomic_uint_least64_t used_bytes;
} LunfsBudget;

/* @lower is borrowed. @recovered: everything unstable has been written again after lunfs_cache_up; the session may serve. */
LunfsCache *lunfs_cache_new (LunfsLane *lane, LunfsLayer *lower, LunfsPool *pool, LunfsBudget *budget,
                             LunfsStats *stats, void (*recovered) (void *user), void *user);
void lunfs_cache_free (LunfsCache *cache); /* nothing in flight; unstable data is forgotten */
LunfsLayer *lunfs_cache_layer (LunfsCache *cache);
/* An earlier worker wrote to the LUN and nobody knows whether it flushed: the first FLUSH is never skipped. */
void lunfs_cache_assume_written (LunfsCache *cache);
/* The session has proven the LUN: write again what is unstable, then call recovered() (at once if nothing is). */
void lunfs_cache_up (LunfsCache *cache, const LunfsLunInfo *info);
/* The target lost data it had acknowledged.  What is kept is written again at the next lunfs_cache_up; if nothing is kept
 * the next FLUSH reports @err (positive errno). */
void lunfs_cache_lost (LunfsCache *cache, int err);
/* Another initiator has, or had, the LUN to itself: what is kept so far is never written again over its data.  If a login
 * comes before it is synchronised, the next FLUSH reports EIO. */
void lunfs_cache_disown (LunfsCache *cache);
/* Bytes acknowledged to users and not known to be on stable storage. */
uint64_t lunfs_cache_unstable_bytes (const LunfsCache *cache);

#endif

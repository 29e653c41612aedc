/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache of one LUN, and what durability needs.
 *
 *  - writeback: a WRITE is answered when its data is in memory that outlives the worker (the arena); it is sent soon after,
 *    with what lies beside it.  writethrough: it is answered when the target has it.  Both: reads are served from memory,
 *    and what a stream of reads will ask for next is fetched ahead.  none, page: reads go to the target.
 *    writeback also answers most discards and zeroes before the target has done them (zero.c).
 *  - FLUSH is answered when everything written before it is at the target and a SYNCHRONIZE CACHE sent after that covers it;
 *    one command serves all that wait, and none is sent when nothing was written since the last one or the LUN has no write
 *    cache.  A few dirty pages alone go with FUA instead, if the LUN can.
 *  - A WRITE with FUA is on stable storage when it is answered, in every mode.
 *  - With WCE=1 written data is kept until a SYNCHRONIZE CACHE covers it, and written again after every login.  A WRITE that
 *    fails after it was answered is tried again, and each FLUSH fails until it succeeds.
 *  - What is lost although it was acknowledged is told by the next FLUSH of every user (LunfsRequest.losses_seen), as Linux
 *    does it for open files; a user who comes later hears of it only if nobody has.
 *  - Memory is bounded (frames.h).  At the limits writers wait for the target, each for about one WRITE.
 *
 * One lane; no lock. */
#ifndef LUNFS_CACHE_H
#define LUNFS_CACHE_H

#include "cache/frames.h"
#include "lane/lane.h"
#include "lunfs/luninfo.h"
#include "lunfs/request.h"
#include "lunfs/settings.h"
#include "lunfs/stats.h"

typedef struct LunfsCache LunfsCache;

typedef struct {
  LunfsLane *lane;
  LunfsLayer *lower;   /* borrowed, as all here */
  LunfsFrames *frames; /* of the mount */
  unsigned lun;        /* index in the arena */
  const char *label;   /* of the LUN, in messages; copied */
  LunfsCacheMode mode;
  int64_t write_delay_us;
  uint64_t read_ahead_bytes;
  int request_limit_s; /* no request waits longer here; 0 = no such limit */
  LunfsStats *stats;
  /* Everything unstable has been written again after lunfs_cache_up; the session may serve. */
  void (*recovered) (void *user);
  void *user;
} LunfsCacheConf;

LunfsCache *lunfs_cache_new (const LunfsCacheConf *conf);
void lunfs_cache_free (LunfsCache *cache); /* nothing in flight; what is kept stays in the arena */
LunfsLayer *lunfs_cache_layer (LunfsCache *cache);
/* An earlier worker has used the LUN, and its size was this: what it left is taken over, and since nobody knows whether it
 * flushed, the first FLUSH is never skipped. */
void lunfs_cache_inherit (LunfsCache *cache, uint64_t nblocks, uint32_t block_size);
/* The session has proven the LUN: write again what is unstable, then call recovered() (at once if nothing is).  What was only
 * read is forgotten: another initiator may have been there. */
void lunfs_cache_up (LunfsCache *cache, const LunfsLunInfo *info);
/* Another initiator may have written to the LUN: nothing that was only read is served from memory any more. */
void lunfs_cache_forget (LunfsCache *cache);
/* The target lost data it had acknowledged.  What is kept is written again at the next lunfs_cache_up; if nothing is kept
 * the next FLUSH reports @err (positive errno). */
void lunfs_cache_lost (LunfsCache *cache, int err);
/* Another initiator has, or had, the LUN to itself: what is kept so far is never written over its data.  What the target
 * does not have is given up; the rest, if a login comes before it is synchronised.  The next FLUSH reports EIO. */
void lunfs_cache_disown (LunfsCache *cache);
/* The layer below has begun to refuse requests (LunfsLayerOps.refuses): whoever waits for it gets EIO. */
void lunfs_cache_failing (LunfsCache *cache);
/* The limit of all caches was lowered: give back clean pages until it is kept, or none are left. */
void lunfs_cache_shrink (LunfsCache *cache);
/* Bytes acknowledged to users and not known to be on stable storage. */
uint64_t lunfs_cache_unstable_bytes (const LunfsCache *cache);

/* NULL, or what is wrong with the page table; for tests, slow. */
const char *lunfs_cache_check (const LunfsCache *cache);

#endif

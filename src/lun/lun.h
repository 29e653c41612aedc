/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A LUN as a disk: byte ranges of any alignment in, whole blocks within the LUN's limits out; overlapping writes in
 * turn; holes and zeroes; the way a LUN ends.
 *
 * Belongs to one lane; functions marked "any thread" read published facts only. */
#ifndef LUNFS_LUN_H
#define LUNFS_LUN_H

#include "lane/lane.h"
#include "lunfs/luninfo.h"
#include "lunfs/pool.h"
#include "lunfs/request.h"
#include "lunfs/stats.h"

#include <stdatomic.h>

typedef struct LunfsLun LunfsLun;

/* Facts of the LUN as the last probe published them; any thread. */
typedef struct {
  uint64_t size_bytes; /* 0 = never been up */
  uint32_t block_size, physical_block_size;
  uint32_t granularity_bytes; /* good size and alignment for discards; at least a block */
  bool read_only, write_cache, can_unmap;
} LunfsGeometry;

/* @lower: the cache's layer, borrowed.
 * @reads_in_order: a READ waits for the overlapping WRITEs that came before it.  The kernel's page cache needs that: a page
 * of which the WRITE is under way is valid and clean there, so it may be dropped, and what is then read again stays. */
LunfsLun *lunfs_lun_new (LunfsLane *lane, LunfsLayer *lower, LunfsPool *pool, LunfsStats *stats, bool force_read_only,
                         bool reads_in_order);
void lunfs_lun_free (LunfsLun *lun); /* idle */
LunfsLane *lunfs_lun_lane (LunfsLun *lun);

/* After a probe.  False if the LUN cannot be used (block size); @why says so. */
bool lunfs_lun_update (LunfsLun *lun, const LunfsLunInfo *info, const char **why);
/* What is known from an earlier worker, so that files exist before the login. */
void lunfs_lun_preset (LunfsLun *lun, uint64_t nblocks, uint32_t block_size);
/* How many losses of acknowledged data somebody has been told of: what a new user starts with.  Any thread. */
uint64_t lunfs_lun_losses_told (LunfsLun *lun);
/* What the kernel has cached of the file may be old: from each time that the LUN is up, and from the start, until it was asked
 * for.  Any thread. */
void lunfs_lun_expire_cached (LunfsLun *lun);
bool lunfs_lun_take_expired (LunfsLun *lun);
/* Any thread. */
void lunfs_lun_geometry (LunfsLun *lun, LunfsGeometry *out);
/* Copy of the last probe's info; false if there has been none.  Any thread. */
bool lunfs_lun_info (LunfsLun *lun, LunfsLunInfo *out);

/* Lane thread.  READ, WRITE: inside the LUN (the fuse room clips them to its size), at most LUNFS_MAX_WRITE bytes in at
 * most 17 iovs.  DISCARD, ZERO, EXTENT: any range inside.  done() may come from inside. */
void lunfs_lun_submit (LunfsLun *lun, LunfsRequest *req);
/* The user of @req, submitted and not done, does not want to wait any longer: it ends with -EINTR, perhaps from inside, if
 * it waits because there is no session (LunfsLayerOps.cancel).  Otherwise nothing changes. */
bool lunfs_lun_cancel (LunfsLun *lun, LunfsRequest *req, bool dying);
/* Refuse new requests with EIO, wait until all are answered, FLUSH, then @done (0 or the flush's -errno). */
void lunfs_lun_drain (LunfsLun *lun, void (*done) (void *user, int result), void *user);

#endif

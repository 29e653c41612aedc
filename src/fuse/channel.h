/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The /dev/fuse descriptor: reads requests into slots and chunks of the arena, sends READ and WRITE on their way itself
 * (data.c), gives everything else to libfuse (ops.c).
 *
 * One lane reads.  A request's payload lands in 64 KiB chunks that are already present in memory; what a request does not
 * use stays on offer for the next.  A request stands in its slot from the read to the answer, so that a successor finds it
 * (inbox.h), and knows what was being served when a worker crashed (poison.h).  Reading stops while slots or chunks are
 * short: then the kernel holds the requests. */
#ifndef LUNFS_CHANNEL_H
#define LUNFS_CHANNEL_H

#include "fuse/fuse_api.h"
#include "fuse/ops.h"
#include "fuse/tree.h"
#include "lane/lane.h"
#include "lunfs/pool.h"

typedef struct LunfsChannel LunfsChannel;

typedef struct {
  int fuse_fd; /* borrowed */
  LunfsArena *arena;
  LunfsPool *pool;
  LunfsTree *tree;
  struct fuse_session *se; /* for all but READ and WRITE */
  LunfsOps *ops;           /* the same */
  bool inbox;              /* what an earlier worker left is in the slots (inbox.h), not sent again by the kernel */
  /* The mount is gone (unmounted or aborted); on the lane, once. */
  void (*unmounted) (void *user);
  void *user;
} LunfsChannelConf;

LunfsChannel *lunfs_channel_new (LunfsLane *lane, const LunfsChannelConf *conf);
void lunfs_channel_free (LunfsChannel *ch); /* stopped and idle */
/* Serve what was found in the slots, and start reading.  @resend: there was an earlier worker; without an inbox the kernel is
 * asked for the requests that it read and did not answer. */
void lunfs_channel_start (LunfsChannel *ch, bool resend);
/* Stop reading; requests read so far go on.  Lane thread. */
void lunfs_channel_stop (LunfsChannel *ch);
/* READ and WRITE requests not yet answered; any thread. */
unsigned lunfs_channel_in_flight (LunfsChannel *ch);
/* With those that are not even being served: a dead worker's for which there was no room yet, suspects (poison.h). */
unsigned lunfs_channel_unanswered (LunfsChannel *ch);

/* Tells the kernel to ask for the attributes of node @ino again. */
void lunfs_channel_inval (LunfsChannel *ch, uint64_t ino);

#endif

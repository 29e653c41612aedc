/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The /dev/fuse descriptor: reads requests into slots and chunks of the arena, sends READ and WRITE on their way itself
 * (data.c), gives everything else to libfuse (ops.c).
 *
 * One lane reads.  A request's payload lands in 64 KiB chunks that are already present in memory; what a request does not
 * use stays on offer for the next.  Reading stops while slots or chunks are short: then the kernel holds the requests. */
#ifndef LUNFS_CHANNEL_H
#define LUNFS_CHANNEL_H

#include "fuse/fuse_api.h"
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
  /* The mount is gone (unmounted or aborted); on the lane, once. */
  void (*unmounted) (void *user);
  void *user;
} LunfsChannelConf;

LunfsChannel *lunfs_channel_new (LunfsLane *lane, const LunfsChannelConf *conf);
void lunfs_channel_free (LunfsChannel *ch); /* stopped and idle */
/* Start reading.  @resend: ask the kernel for the requests that an earlier worker read and did not answer. */
void lunfs_channel_start (LunfsChannel *ch, bool resend);
/* Stop reading; requests read so far go on.  Lane thread. */
void lunfs_channel_stop (LunfsChannel *ch);
/* READ and WRITE requests not yet answered; any thread. */
unsigned lunfs_channel_in_flight (LunfsChannel *ch);

/* Tells the kernel to ask for the attributes of node @ino again.  What it has cached of its data stays (opens.c). */
void lunfs_channel_inval (LunfsChannel *ch, uint64_t ino);

#endif

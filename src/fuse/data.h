/* SPDX-License-Identifier: GPL-2.0-or-later */
/* READ and WRITE, decoded from the kernel's bytes and answered without libfuse: the hot path allocates nothing. */
#ifndef LUNFS_DATA_H
#define LUNFS_DATA_H

#include "fuse/channel.h"
#include "lunfs/request.h"

#include <linux/fuse.h>

#define LUNFS_CALL_CHUNKS LUNFS_CHUNKS_PER_REQUEST

/* A request being served; one per slot of the arena. */
typedef struct LunfsCall LunfsCall;
struct LunfsCall {
  LunfsRequest req;
  LunfsMail mail; /* to the LUN's lane */
  LunfsChannel *channel;
  LunfsArenaSlot *slot;
  LunfsLun *lun; /* NULL: of something else */
  LunfsCall *next_free;
  uint64_t key;            /* in LunfsChannel.others */
  int64_t held_us;         /* since when it waits for its turn: poison.h */
  uint64_t accused;        /* its number, if it is among the suspects of poison.h; else 0 */
  _Atomic uint64_t unique; /* of a READ or WRITE, LUNFS_UNIQUE_RESEND off; 0 = none under way */
  unsigned nchunks;
  uint32_t chunk[LUNFS_CALL_CHUNKS]; /* its data */
  struct iovec iov[LUNFS_CALL_CHUNKS];
  struct fuse_out_header out;
  struct fuse_write_out write_out;
};

typedef struct {
  int fuse_fd;
  LunfsPool *pool;
  /* The call is answered; its chunks were given back. */
  void (*release) (LunfsCall *call);
  bool inbox; /* LunfsChannelConf */
} LunfsDataEnv;

/* Serve the request in @call->slot.  WRITE: @call->chunk holds the payload.  Answers at once on error. */
void lunfs_data_read (const LunfsDataEnv *env, LunfsCall *call);
void lunfs_data_write (const LunfsDataEnv *env, LunfsCall *call);
/* What is asked for, for the log.  Free with g_free. */
char *lunfs_data_describe (const LunfsCall *call);
/* For tests: a READ or WRITE of @offset ends the process as a fault would. */
void lunfs_data_crash (const LunfsCall *call, uint64_t offset);
const LunfsDataEnv *lunfs_channel_data_env (LunfsChannel *ch);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* READ and WRITE, decoded from the kernel's bytes and answered without libfuse: the hot path allocates nothing. */
#ifndef LUNFS_DATA_H
#define LUNFS_DATA_H

#include "fuse/channel.h"
#include "lunfs/request.h"

#include <linux/fuse.h>

#define LUNFS_CALL_CHUNKS LUNFS_CHUNKS_PER_REQUEST

/* A READ or WRITE being served; one per slot of the arena. */
typedef struct LunfsCall LunfsCall;
struct LunfsCall {
  LunfsRequest req;
  LunfsMail mail; /* to the LUN's lane */
  LunfsChannel *channel;
  LunfsArenaSlot *slot;
  LunfsLun *lun;
  LunfsCall *next_free;
  _Atomic uint64_t unique; /* of the kernel's request, UNIQUE_RESEND off; 0 = none under way */
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
} LunfsDataEnv;

/* Serve the request in @call->slot.  WRITE: @call->chunk holds the payload.  Answers at once on error. */
void lunfs_data_read (const LunfsDataEnv *env, LunfsCall *call);
void lunfs_data_write (const LunfsDataEnv *env, LunfsCall *call);
const LunfsDataEnv *lunfs_channel_data_env (LunfsChannel *ch);

#endif

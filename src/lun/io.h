/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One request on its way through the lun room: its blocks, its pieces, its edges.  Lane thread; used by lun.c only. */
#ifndef LUNFS_IO_H
#define LUNFS_IO_H

#include "lun/discard.h"
#include "lun/order.h"
#include "lun/split.h"
#include "lunfs/pool.h"
#include "lunfs/request.h"
#include "lunfs/stats.h"

#define LUNFS_IO_PARTS 4 /* pieces at the target at once */
#define LUNFS_IO_IOV 20  /* 17 of the request, two edges, one spare */

typedef struct LunfsIo LunfsIo;

typedef struct {
  LunfsRequest req;
  LunfsIo *io;
  bool busy;
  struct iovec iov[LUNFS_IO_IOV];
} LunfsIoPart;

/* What an Io needs of its LUN. */
typedef struct {
  LunfsLayer *lower;
  LunfsPool *pool;
  const LunfsLunInfo *info;
  LunfsStats *stats;
  uint32_t block_size;
  uint64_t max_bytes; /* of one READ or WRITE command */
  LunfsZeroRefused zero_refused;
} LunfsIoContext;

struct LunfsIo {
  LunfsOrderNode node; /* writes only */
  bool ordered;
  GList link; /* free list of the LUN */
  void *lun;  /* for the owner */
  LunfsIoContext *context;
  LunfsRequest *req;
  void (*done) (LunfsIo *io);

  LunfsSpan span;
  uint64_t start, next, end; /* bytes: the run of whole blocks the pieces cover; next: not yet submitted */
  enum { LUNFS_IO_EDGE_READ, LUNFS_IO_EDGE_WRITE, LUNFS_IO_DATA, LUNFS_IO_VERIFY } stage;
  LunfsZeroMethod method;
  unsigned verify_steps;
  unsigned busy, ended; /* pieces under way, pieces done */
  int error;
  bool have_chunk, again, sending;
  uint8_t *bounce; /* a chunk of the pool, or of the heap */
  uint32_t bounce_chunk;
  struct iovec iov[LUNFS_IO_IOV]; /* the request's, with the edge blocks' surroundings around it */
  unsigned niov;
  LunfsIoPart part[LUNFS_IO_PARTS];
};

void lunfs_io_init (LunfsIo *io);
/* Run @io->req; @io->done when it has ended, with io->error 0 or -errno (may be from inside). */
void lunfs_io_start (LunfsIo *io, LunfsIoContext *context, LunfsRequest *req);

/* The user does not want to wait: as LunfsLayerOps.cancel. */
bool lunfs_io_cancel (LunfsIo *io, bool dying);

#endif

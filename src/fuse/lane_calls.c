/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FSYNC, FALLOCATE and LSEEK: to the LUN's lane as a LunfsRequest, answered from there.  A signal may end them. */
#include "config.h"

#include "fuse/ops-private.h"

#include "fuse/interrupt.h"
#include "lunfs/request.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#define MAX_EXTENTS 256 /* LSEEK holds the inode lock: no endless walk */

struct LunfsLaneCalls {
  LunfsInterrupts *interrupts;
  GMutex lock;           /* Protects what follows. */
  GHashTable *under_way; /* serial -> LaneCall */
  size_t next_serial;
};

typedef struct {
  LunfsMail mail;
  LunfsRequest lreq;
  LunfsLaneCalls *calls;
  fuse_req_t req;
  LunfsLun *lun;
  size_t serial;
  uint64_t fh; /* FSYNC */
  int whence;  /* LSEEK */
  unsigned steps;
  uint64_t size_bytes;
} LaneCall;

/* ---- under way: signals, start and end ---- */

static void
lane_call_deliver (LunfsMail *mail)
{
  LaneCall *call = (LaneCall *) mail;

  lunfs_lun_submit (call->lun, &call->lreq);
}

/* It ends on the LUN's lane.  (LunfsInterruptFind) */
static LunfsRequest *
find_request (void *user, uint64_t serial, LunfsLun **lun)
{
  LunfsLaneCalls *calls = user;
  LaneCall *call;

  g_mutex_lock (&calls->lock);
  call = g_hash_table_lookup (calls->under_way, GSIZE_TO_POINTER (serial));
  g_mutex_unlock (&calls->lock);
  if (!call)
    return NULL;
  *lun = call->lun;
  return &call->lreq;
}

/* libfuse holds a lock of the request meanwhile: nothing is answered from in here. */
static void
interrupted (fuse_req_t req, void *serial)
{
  LunfsLaneCalls *calls = lunfs_ops_of (req)->lane_calls;
  LunfsLane *lane = NULL;
  LaneCall *call;

  g_mutex_lock (&calls->lock);
  call = g_hash_table_lookup (calls->under_way, serial); /* it ends on its lane, but not while we hold the lock */
  if (call)
    lane = lunfs_lun_lane (call->lun);
  g_mutex_unlock (&calls->lock);
  if (lane)
    lunfs_interrupts_add (calls->interrupts, lane, (uint32_t) fuse_req_ctx (req)->pid, calls,
                          GPOINTER_TO_SIZE (serial));
}

/* Every LaneCall ends here, before its answer. */
static void
lane_call_end (LaneCall *call)
{
  LunfsLaneCalls *calls = call->calls;

  g_mutex_lock (&calls->lock);
  g_hash_table_remove (calls->under_way, GSIZE_TO_POINTER (call->serial));
  g_mutex_unlock (&calls->lock);
}

static void
simple_done (LunfsRequest *lreq)
{
  LaneCall *call = lreq->owner;

  lane_call_end (call);
  fuse_reply_err (call->req, -lreq->result);
  g_free (call);
}

static LaneCall *
lane_call_new (fuse_req_t req, LunfsLun *lun, LunfsOp op, uint64_t offset, uint64_t length)
{
  LunfsLaneCalls *calls = lunfs_ops_of (req)->lane_calls;
  LaneCall *call = g_new0 (LaneCall, 1);

  call->calls = calls;
  call->mail.deliver = lane_call_deliver;
  call->req = req;
  call->lun = lun;
  lunfs_request_init (&call->lreq);
  call->lreq.op = op;
  call->lreq.offset = offset;
  call->lreq.length = length;
  call->lreq.done = simple_done;
  call->lreq.owner = call;
  g_mutex_lock (&calls->lock);
  call->serial = ++calls->next_serial;
  g_hash_table_insert (calls->under_way, GSIZE_TO_POINTER (call->serial), call);
  g_mutex_unlock (&calls->lock);
  fuse_req_interrupt_func (req, interrupted, GSIZE_TO_POINTER (call->serial));
  return call;
}

static void
lane_call_start (LaneCall *call)
{
  LunfsLane *lane = lunfs_lun_lane (call->lun);

  if (lunfs_lane_is_current (lane))
    lunfs_lun_submit (call->lun, &call->lreq);
  else
    lunfs_lane_post (lane, &call->mail);
}

/* ---- the operations ---- */

static void
fsync_done (LunfsRequest *lreq)
{
  LaneCall *call = lreq->owner;

  if (lreq->result < 0 && lreq->result != -EINTR)
    lunfs_opens_set_losses_seen (lunfs_ops_of (call->req)->opens, call->fh, call->lun, lreq->losses_seen);
  simple_done (lreq);
}

void
lunfs_op_fsync (fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  LunfsLun *lun = lunfs_ops_lun (req, ino);
  LaneCall *call;

  if (!lun) {
    fuse_reply_err (req, 0);
    return;
  }
  call = lane_call_new (req, lun, LUNFS_OP_FLUSH, 0, 0);
  call->fh = fi->fh;
  call->lreq.losses_seen = lunfs_opens_losses_seen (lunfs_ops_of (req)->opens, fi->fh);
  call->lreq.done = fsync_done;
  lane_call_start (call);
}

void
lunfs_op_fallocate (fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
  LunfsLun *lun = lunfs_ops_lun (req, ino);
  uint64_t off = (uint64_t) offset, len = (uint64_t) length;
  LunfsGeometry g;
  LunfsOp op;

  if (!lun) {
    fuse_reply_err (req, EOPNOTSUPP);
    return;
  }
  lunfs_lun_geometry (lun, &g);
  if (g.read_only) {
    fuse_reply_err (req, EROFS);
    return;
  }
  switch (mode) {
  case 0:
  case FALLOC_FL_KEEP_SIZE: /* the blocks are the target's: all there is to say is whether they exist */
    fuse_reply_err (req, off + len > g.size_bytes ? ENOSPC : 0);
    return;
  case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
    op = LUNFS_OP_DISCARD;
    break;
  case FALLOC_FL_ZERO_RANGE:
    if (off + len > g.size_bytes) {
      fuse_reply_err (req, ENOSPC);
      return;
    }
    /* fall through */
  case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
    op = LUNFS_OP_ZERO;
    break;
  default:
    fuse_reply_err (req, EOPNOTSUPP);
    return;
  }
  if (off >= g.size_bytes)
    fuse_reply_err (req, 0); /* as on any file: nothing there */
  else
    lane_call_start (lane_call_new (req, lun, op, off, MIN (len, g.size_bytes - off)));
}

/* One run of blocks at a time until the wanted kind is found. */
static void
lseek_done (LunfsRequest *lreq)
{
  LaneCall *call = lreq->owner;
  bool found = lreq->result == 0 && lreq->extent_mapped == (call->whence == SEEK_DATA);
  uint64_t next = lreq->offset + lreq->extent_length;
  uint64_t at = call->lreq.length; /* where the caller asked, or where this run began */

  if (lreq->result >= 0 && !found && call->steps + 1 <= MAX_EXTENTS && next < call->size_bytes) {
    call->steps++;
    call->lreq.offset = call->lreq.length = next;
    lunfs_lun_submit (call->lun, &call->lreq);
    return;
  }
  lane_call_end (call);
  if (lreq->result < 0) {
    fuse_reply_err (call->req, -lreq->result);
  } else if (found || next < call->size_bytes) {
    /* Too long a walk: data is always a right answer to "where is data", the end to "where is a hole". */
    fuse_reply_lseek (call->req, (off_t) (found || call->whence == SEEK_DATA ? at : call->size_bytes));
  } else if (call->whence == SEEK_HOLE) {
    fuse_reply_lseek (call->req, (off_t) call->size_bytes); /* the end of a file is a hole */
  } else {
    fuse_reply_err (call->req, ENXIO);
  }
  g_free (call);
}

void
lunfs_op_lseek (fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
  LunfsLun *lun = lunfs_ops_lun (req, ino);
  LunfsGeometry g = { 0 };
  LaneCall *call;

  if (lun)
    lunfs_lun_geometry (lun, &g);
  if (!lun || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
    fuse_reply_err (req, EINVAL);
    return;
  }
  if (off < 0 || (uint64_t) off >= g.size_bytes) {
    fuse_reply_err (req, ENXIO);
    return;
  }
  /* EXTENT has no length: that field remembers the position asked for, which EXTENT rounds down to a block. */
  call = lane_call_new (req, lun, LUNFS_OP_EXTENT, (uint64_t) off, (uint64_t) off);
  call->lreq.done = lseek_done;
  call->whence = whence;
  call->size_bytes = g.size_bytes;
  lane_call_start (call);
}

/* ---- life ---- */

unsigned
lunfs_lane_calls_count (LunfsLaneCalls *calls)
{
  unsigned n;

  g_mutex_lock (&calls->lock);
  n = g_hash_table_size (calls->under_way);
  g_mutex_unlock (&calls->lock);
  return n;
}

LunfsLaneCalls *
lunfs_lane_calls_new (void)
{
  LunfsLaneCalls *calls = g_new0 (LunfsLaneCalls, 1);

  g_mutex_init (&calls->lock);
  calls->under_way = g_hash_table_new (NULL, NULL);
  calls->interrupts = lunfs_interrupts_new (find_request);
  return calls;
}

void
lunfs_lane_calls_free (LunfsLaneCalls *calls)
{
  lunfs_interrupts_free (calls->interrupts);
  g_hash_table_unref (calls->under_way);
  g_mutex_clear (&calls->lock);
  g_free (calls);
}

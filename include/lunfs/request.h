/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The request, and the ops table every layer of the data path has.
 *
 * A request goes right: fuse -> lun -> cache -> session.  Whoever it is submitted to owns it until done(), which is
 * called exactly once, for errors too, on the lane of the LUN, and never from inside submit() of the session layer
 * (so callers need no recursion guard).  One lane owns a LUN's whole row: no layer has a lock. */
#ifndef LUNFS_REQUEST_H
#define LUNFS_REQUEST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef enum {
  LUNFS_OP_READ,
  LUNFS_OP_WRITE,
  LUNFS_OP_FLUSH,   /* all writes done before it are on stable storage; no range */
  LUNFS_OP_DISCARD, /* range reads as zeroes afterwards, space may be given back */
  LUNFS_OP_ZERO,    /* range reads as zeroes afterwards, space stays allocated */
  LUNFS_OP_EXTENT,  /* is the run of blocks at offset mapped, and how long is it */
} LunfsOp;

enum {
  LUNFS_REQ_FUA = 1 << 0,      /* WRITE: on stable storage when done */
  LUNFS_REQ_UNMAP = 1 << 1,    /* session level: DISCARD by UNMAP rather than WRITE SAME with UNMAP bit */
  LUNFS_REQ_UNKEPT = 1 << 3,   /* cache: written, but there was no memory to keep the data */
  LUNFS_REQ_RECOVERY = 1 << 2, /* sent while the session recovers, before it serves others */
  /* READ: the elements of iov may be made to point to other memory, which is right until done() returns: no copy.  As many
   * as niov said at first. */
  LUNFS_REQ_LEND = 1 << 4,
  LUNFS_REQ_PASSED = 1 << 5, /* lun: went on as it is */
  /* cache: not kept over the loss of a session or a change of the LUN, but given back with -ECANCELED; so it is also if there
   * is no session. */
  LUNFS_REQ_RETURN = 1 << 6,
};

#define LUNFS_REQUEST_IOV 40 /* most elements of a request's iov from the cache on */

typedef struct LunfsRequest LunfsRequest;
struct LunfsRequest {
  GList link; /* for the queue of whoever owns it now; link.data = the request */
  LunfsOp op;
  uint32_t flags;
  /* Bytes.  In the fuse and lun rooms any range inside the LUN; from the cache on whole blocks, and from the session
   * on small enough for one SCSI command. */
  uint64_t offset, length;
  struct iovec *iov; /* READ: filled; WRITE: source.  Valid and unchanged until done(). */
  unsigned niov;
  /* WRITE: pool chunks whose contents, from their starts, are exactly the data.  Who wants to keep the data takes them
   * over by setting nchunks to 0, not before done() is due.  0: not offered. */
  const uint32_t *chunks;
  unsigned nchunks;
  int result; /* 0 or -errno, valid in done() */
  /* EXTENT: answer in bytes from offset */
  uint64_t extent_length;
  bool extent_mapped;
  void (*done) (LunfsRequest *req);
  void *owner; /* the submitter's */
  /* The lun and cache rooms may put their own done() above and keep the submitter's here meanwhile. */
  void (*lun_done) (LunfsRequest *req);
  void *lun_owner;
  void (*outer_done) (LunfsRequest *req);
  void *outer_owner;
  int64_t submit_us;  /* lane clock when it entered the lun room; for latency and deadlines */
  uint64_t losses_seen; /* FLUSH: how many losses its user knows of; after it all there were (cache/cache.h) */
  unsigned login;     /* cache: how many there had been when it was sent */
  uint64_t seq;       /* session: order of arrival, kept over replays */
  int64_t due_us;     /* session: when a delayed retry is due */
  uint8_t tries, uas; /* session: attempts so far, unit attentions in a row */
  bool sent;          /* session: to the target, answered or not */
};

static inline void
lunfs_request_init (LunfsRequest *req)
{
  req->link.data = req;
  req->link.next = req->link.prev = NULL;
  req->lun_owner = NULL;
}

typedef struct LunfsLayer LunfsLayer;
typedef struct {
  /* Take the request.  Lane thread of the LUN only. */
  void (*submit) (LunfsLayer *layer, LunfsRequest *req);
  /* The user does not want to wait any longer: end @req, which this layer owns, with -EINTR if it waits because there is
   * no session.  What changes data is given up only as long as nothing of it was sent, unless the user is dying
   * (@dying) and will not see the answer.  True: it ends so; done() comes at the end of the pass. */
  bool (*cancel) (LunfsLayer *layer, LunfsRequest *req, bool dying);
  /* There is no session at present. */
  bool (*stalled) (const LunfsLayer *layer);
  /* Requests end with -EIO at once, for now: replacement_timeout has passed, or nothing may be written. */
  bool (*refuses) (const LunfsLayer *layer);
} LunfsLayerOps;
struct LunfsLayer {
  const LunfsLayerOps *ops;
};

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/data.h"

#include "lunfs/unique.h"
#include "lunfs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static void
send_reply (LunfsCall *call, int error, struct iovec *iov, unsigned niov)
{
  const LunfsDataEnv *env = lunfs_channel_data_env (call->channel);
  struct iovec out[1 + LUNFS_CALL_CHUNKS];
  size_t len = sizeof call->out;
  const struct fuse_in_header *in = lunfs_slot_header (call->slot);

  for (unsigned i = 0; i < niov; i++) {
    out[1 + i] = iov[i];
    len += iov[i].iov_len;
  }
  call->out = (struct fuse_out_header){ .len = (uint32_t) len, .error = error, .unique = in->unique };
  out[0] = (struct iovec){ &call->out, sizeof call->out };
  if (writev (env->fuse_fd, out, (int) (1 + niov)) < 0 && errno != ENOENT && errno != ENODEV)
    lunfs_warning ("answering the kernel failed: %s", g_strerror (errno)); /* ENOENT: the caller is gone */
  lunfs_slot_clear (call->slot);                                           /* before its chunks are anybody else's */
  if (call->req.chunks && call->req.nchunks == 0)                          /* the data is kept: so are the chunks */
    call->nchunks = 0;
  lunfs_pool_give (env->pool, call->chunk, call->nchunks);
  call->nchunks = 0;
  env->release (call);
}

static void
done (LunfsRequest *req)
{
  LunfsCall *call = req->owner;

  if (req->result < 0) {
    send_reply (call, req->result, NULL, 0);
  } else if (req->op == LUNFS_OP_READ) {
    send_reply (call, 0, call->iov, req->niov);
  } else {
    struct iovec iov = { &call->write_out, sizeof call->write_out };

    call->write_out = (struct fuse_write_out){ .size = (uint32_t) req->length };
    send_reply (call, 0, &iov, 1);
  }
}

static void
deliver (LunfsMail *mail)
{
  LunfsCall *call = (LunfsCall *) ((char *) mail - offsetof (LunfsCall, mail));

  lunfs_lun_submit (call->lun, &call->req);
}

static void
submit (LunfsCall *call, LunfsOp op, uint64_t offset, uint64_t length, uint32_t flags)
{
  const LunfsDataEnv *env = lunfs_channel_data_env (call->channel);
  LunfsRequest *req = &call->req;
  LunfsLane *lane = lunfs_lun_lane (call->lun);

  lunfs_request_init (req);
  req->op = op;
  req->flags = flags;
  req->offset = offset;
  req->length = length;
  req->iov = call->iov;
  req->chunks = NULL;
  req->nchunks = 0;
  /* What waits in the cache for a commit (FUA) might lose its memory to others before it is answered: then it could not be
   * done again from there.  Whatever else takes it over is answered at once. */
  if (op == LUNFS_OP_WRITE && !(env->inbox && (flags & LUNFS_REQ_FUA))
      && length > (call->nchunks - 1) * (uint64_t) LUNFS_CHUNK_BYTES) { /* not cut short by the LUN's end */
    req->chunks = call->chunk;
    req->nchunks = call->nchunks;
  }
  req->done = done;
  req->owner = call;
  lunfs_debug (FUSE, "%s offset=%" G_GUINT64_FORMAT " len=%" G_GUINT64_FORMAT " flags=%x",
               op == LUNFS_OP_READ ? "read" : "write", offset, length, flags);
  if (lunfs_lane_is_current (lane)) {
    lunfs_lun_submit (call->lun, req);
  } else {
    call->mail.deliver = deliver;
    lunfs_lane_post (lane, &call->mail);
  }
}

/* Point call->iov at @length bytes in its chunks. */
static void
map_chunks (const LunfsDataEnv *env, LunfsCall *call, uint64_t length)
{
  unsigned n = 0;

  for (; length > 0; n++) {
    size_t len = MIN (length, LUNFS_CHUNK_BYTES);

    call->iov[n] = (struct iovec){ lunfs_pool_chunk (env->pool, call->chunk[n]), len };
    length -= len;
  }
  call->req.niov = n;
}

/* O_DIRECT must be aligned to the logical block: programs such as qemu find the block size by trying. */
static bool
misaligned (uint32_t open_flags, uint64_t offset, uint64_t size, const LunfsGeometry *g)
{
  return (open_flags & O_DIRECT) && g->block_size && ((offset | size) & (g->block_size - 1));
}

void
lunfs_data_read (const LunfsDataEnv *env, LunfsCall *call)
{
  const struct fuse_read_in *in = (const void *) (lunfs_slot_header (call->slot) + 1);
  uint64_t length = MIN (in->size, LUNFS_MAX_WRITE);
  unsigned nchunks;
  LunfsGeometry g;

  lunfs_lun_geometry (call->lun, &g);
  if (misaligned (in->flags, in->offset, in->size, &g)) {
    send_reply (call, -EINVAL, NULL, 0);
    return;
  }
  if (in->offset >= g.size_bytes || length == 0) {
    send_reply (call, 0, NULL, 0);
    return;
  }
  length = MIN (length, g.size_bytes - in->offset);
  nchunks = (unsigned) ((length + LUNFS_CHUNK_BYTES - 1) / LUNFS_CHUNK_BYTES);
  if (!lunfs_pool_take (env->pool, call->chunk, nchunks)) {
    send_reply (call, -ENOMEM, NULL, 0); /* reading stops well before: channel.c */
    return;
  }
  call->nchunks = nchunks;
  map_chunks (env, call, length);
  submit (call, LUNFS_OP_READ, in->offset, length, LUNFS_REQ_LEND);
}

void
lunfs_data_write (const LunfsDataEnv *env, LunfsCall *call)
{
  const struct fuse_write_in *in = (const void *) (lunfs_slot_header (call->slot) + 1);
  /* Written back from a mapping: flags and fh are not the writer's. */
  uint32_t flags = in->write_flags & FUSE_WRITE_CACHE ? 0 : in->flags;
  uint64_t length = in->size;
  LunfsGeometry g;

  lunfs_lun_geometry (call->lun, &g);
  if (LUNFS_SLOT_HEADER_BYTES + (uint64_t) in->size > call->slot->len) {
    send_reply (call, -EIO, NULL, 0); /* the kernel never sends less than it says; a worker that ran wild may have left it */
    return;
  }
  if (misaligned (flags, in->offset, in->size, &g)) {
    send_reply (call, -EINVAL, NULL, 0);
    return;
  }
  if (in->offset >= g.size_bytes && length > 0) {
    send_reply (call, -ENOSPC, NULL, 0);
    return;
  }
  length = MIN (length, g.size_bytes - in->offset);
  map_chunks (env, call, length);
  /* O_SYNC includes O_DSYNC's bit.  In direct mode the kernel sends no FSYNC for it: the write itself must be stable. */
  submit (call, LUNFS_OP_WRITE, in->offset, length, flags & O_DSYNC ? LUNFS_REQ_FUA : 0);
}

/* ---- for crashes ---- */

/* False: no READ or WRITE. */
static bool
range (const LunfsCall *call, uint64_t *offset, uint32_t *size)
{
  const struct fuse_in_header *in = lunfs_slot_header (call->slot);
  const struct fuse_read_in *read_in = (const void *) (in + 1);
  const struct fuse_write_in *write_in = (const void *) (in + 1);

  if (in->opcode != FUSE_READ && in->opcode != FUSE_WRITE)
    return false;
  *offset = in->opcode == FUSE_READ ? read_in->offset : write_in->offset;
  *size = in->opcode == FUSE_READ ? read_in->size : write_in->size;
  return true;
}

char *
lunfs_data_describe (const LunfsCall *call)
{
  const struct fuse_in_header *in = lunfs_slot_header (call->slot);
  uint64_t offset;
  uint32_t size;

  if (!range (call, &offset, &size))
    return g_strdup_printf ("FUSE request %u of node %" G_GUINT64_FORMAT, in->opcode, in->nodeid);
  return g_strdup_printf ("%s of %u bytes at %" G_GUINT64_FORMAT, in->opcode == FUSE_READ ? "read" : "write", size,
                          offset);
}

void
lunfs_data_crash (const LunfsCall *call, uint64_t at)
{
  uint64_t offset;
  uint32_t size;

  if (!range (call, &offset, &size) || at < offset || at - offset >= size)
    return;
  signal (SIGSEGV, SIG_DFL); /* a sanitizer's handler would exit */
  raise (SIGSEGV);
}

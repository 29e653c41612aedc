/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lun/lun.h"

#include "lun/io.h"
#include "lunfs/log.h"

#include <errno.h>
#include <string.h>

#define MAX_PHYSICAL_BYTES (1u << 20)
#define MAX_GRANULARITY_BYTES (1u << 30)
#define MAX_BLOCK_BYTES (LUNFS_CHUNK_BYTES / 2) /* two of them fit the bounce chunk */

struct LunfsLun {
  LunfsLane *lane;
  LunfsStats *stats;
  bool force_read_only, reads_in_order;
  LunfsLunInfo info;
  bool have_info;
  LunfsIoContext context;
  LunfsOrder order;
  GQueue free_ios;
  unsigned active;

  bool draining, drain_sent;
  LunfsRequest drain_flush;
  void (*drained) (void *user, int result);
  void *drained_user;

  atomic_bool cached_expired;

  /* Protects published and published_info: copies in and out only. */
  GMutex publish_lock;
  LunfsGeometry published;
  LunfsLunInfo published_info;
};

/* ---- geometry ---- */

/* Up to 2^15 blocks in theory: nobody wants a st_blksize of that. */
static uint32_t
physical_bytes (const LunfsLunInfo *info)
{
  uint32_t bytes = info->capacity.physical_block_size;

  return bytes > MAX_PHYSICAL_BYTES ? info->capacity.block_size : bytes;
}

static uint32_t
granularity_bytes (const LunfsLunInfo *info)
{
  uint64_t bytes = (uint64_t) info->limits.unmap_granularity_blocks * info->capacity.block_size;

  if (bytes == 0 || bytes > MAX_GRANULARITY_BYTES || (bytes & (bytes - 1)))
    bytes = physical_bytes (info);
  return (uint32_t) MAX (bytes, info->capacity.block_size);
}

/* A LUN that shrank keeps its old size for users. */
static uint64_t
file_bytes (const LunfsLun *lun)
{
  return MAX (lun->info.capacity.nblocks, lun->info.shrunk_from_nblocks) * lun->info.capacity.block_size;
}

static void
publish (LunfsLun *lun)
{
  LunfsGeometry g = {
    .size_bytes = file_bytes (lun),
    .block_size = lun->info.capacity.block_size,
    .physical_block_size = physical_bytes (&lun->info),
    .granularity_bytes = granularity_bytes (&lun->info),
    .read_only = lun->force_read_only || lun->info.modes.write_protected,
    .write_cache = lun->info.modes.wce,
    .can_unmap = lunfs_can_unmap (&lun->info),
  };

  g_mutex_lock (&lun->publish_lock);
  lun->published = g;
  lun->published_info = lun->info;
  g_mutex_unlock (&lun->publish_lock);
}

bool
lunfs_lun_update (LunfsLun *lun, const LunfsLunInfo *info, const char **why)
{
  uint64_t max_bytes = LUNFS_MAX_WRITE;

  if (info->capacity.block_size > MAX_BLOCK_BYTES) {
    *why = "blocks over 32 KiB are not supported";
    return false;
  }
  lun->info = *info;
  lun->have_info = true;
  if (info->limits.max_transfer_blocks)
    max_bytes = MIN (max_bytes, (uint64_t) info->limits.max_transfer_blocks * info->capacity.block_size);
  lun->context.info = &lun->info;
  lun->context.block_size = info->capacity.block_size;
  lun->context.max_bytes = MAX (max_bytes, info->capacity.block_size);
  lun->context.zero_refused = 0;
  publish (lun);
  return true;
}

void
lunfs_lun_preset (LunfsLun *lun, uint64_t nblocks, uint32_t block_size)
{
  g_mutex_lock (&lun->publish_lock);
  lun->published.size_bytes = nblocks * block_size;
  lun->published.block_size = lun->published.physical_block_size = lun->published.granularity_bytes = block_size;
  lun->published.read_only = lun->force_read_only;
  g_mutex_unlock (&lun->publish_lock);
  lun->info.capacity.nblocks = nblocks;
  lun->info.capacity.block_size = lun->info.capacity.physical_block_size = block_size;
  lun->info.modes.wce = true;
  lun->context.info = &lun->info;
  lun->context.block_size = block_size;
  lun->context.max_bytes = LUNFS_CHUNK_BYTES; /* its limit is not known again yet */
}

void
lunfs_lun_geometry (LunfsLun *lun, LunfsGeometry *out)
{
  g_mutex_lock (&lun->publish_lock);
  *out = lun->published;
  g_mutex_unlock (&lun->publish_lock);
}

bool
lunfs_lun_info (LunfsLun *lun, LunfsLunInfo *out)
{
  g_mutex_lock (&lun->publish_lock);
  *out = lun->published_info;
  g_mutex_unlock (&lun->publish_lock);
  return out->capacity.nblocks > 0;
}

uint64_t
lunfs_lun_losses_told (LunfsLun *lun)
{
  return LUNFS_VALUE (lun->stats, losses_told);
}

void
lunfs_lun_expire_cached (LunfsLun *lun)
{
  atomic_store (&lun->cached_expired, true);
}

bool
lunfs_lun_take_expired (LunfsLun *lun)
{
  return atomic_exchange (&lun->cached_expired, false);
}

LunfsLane *
lunfs_lun_lane (LunfsLun *lun)
{
  return lun->lane;
}

/* ---- requests ---- */

static void
flush_for_drain (LunfsLun *lun)
{
  if (lun->drain_sent)
    return;
  lun->drain_sent = true;
  lun->drain_flush.op = LUNFS_OP_FLUSH;
  lun->drain_flush.losses_seen = LUNFS_VALUE (lun->stats, losses_told);
  lun->drain_flush.submit_us = lunfs_lane_now_us (lun->lane);
  lun->context.lower->ops->submit (lun->context.lower, &lun->drain_flush);
}

static void
count (LunfsLun *lun, const LunfsRequest *req)
{
  LunfsStats *st = lun->stats;
  int64_t us = lunfs_lane_now_us (lun->lane) - req->submit_us;

  if (req->result == -EINTR)
    LUNFS_COUNT (st, interrupted, 1);
  else if (req->result < 0)
    lunfs_stats_error (st, -req->result);
  switch (req->op) {
  case LUNFS_OP_READ:
    LUNFS_COUNT (st, reads, 1);
    LUNFS_COUNT (st, read_bytes, req->result < 0 ? 0 : req->length);
    lunfs_latency_add (&st->read_latency, us);
    break;
  case LUNFS_OP_WRITE:
    LUNFS_COUNT (st, writes, 1);
    LUNFS_COUNT (st, write_bytes, req->result < 0 ? 0 : req->length);
    lunfs_latency_add (&st->write_latency, us);
    break;
  case LUNFS_OP_FLUSH:
    LUNFS_COUNT (st, flushes, 1);
    lunfs_latency_add (&st->flush_latency, us);
    break;
  case LUNFS_OP_DISCARD:
    LUNFS_COUNT (st, discards, 1);
    break;
  case LUNFS_OP_ZERO:
    LUNFS_COUNT (st, zeroes, 1);
    break;
  case LUNFS_OP_EXTENT:
    LUNFS_COUNT (st, extents, 1);
    break;
  }
}

static void
answer (LunfsLun *lun, LunfsRequest *req, int result)
{
  req->result = result;
  lun->active--;
  count (lun, req);
  req->done (req);
  if (lun->draining && lun->active == 0)
    flush_for_drain (lun);
}

static void
start (LunfsLun *lun, LunfsIo *io)
{
  lunfs_io_start (io, &lun->context, io->req);
}

static void
io_done (LunfsIo *io)
{
  LunfsLun *lun = io->lun;
  LunfsRequest *req = io->req;
  int error = io->error;
  bool ordered;
  LunfsOrderNode *node;

  if (io->ordered)
    lunfs_order_leave (&lun->order, &io->node);
  ordered = io->ordered;
  g_queue_push_head_link (&lun->free_ios, &io->link);
  answer (lun, req, error);
  if (ordered) /* answered in their order, even if the next one ends at once */
    while ((node = lunfs_order_next (&lun->order)))
      start (lun, (LunfsIo *) ((char *) node - offsetof (LunfsIo, node)));
}

static LunfsIo *
take_io (LunfsLun *lun)
{
  GList *link = g_queue_pop_head_link (&lun->free_ios);
  LunfsIo *io = link ? link->data : NULL;

  if (!io) { /* more in flight than ever before; kept from now on */
    io = g_new0 (LunfsIo, 1);
    lunfs_io_init (io);
    io->lun = lun;
    io->done = io_done;
  }
  return io;
}

static void
submit_io (LunfsLun *lun, LunfsRequest *req)
{
  LunfsIo *io = take_io (lun);
  LunfsSpan span = lunfs_span (req->offset, req->length, lun->context.block_size);

  io->req = req;
  req->lun_owner = io;
  io->ordered = req->op != LUNFS_OP_READ || lun->reads_in_order;
  if (!io->ordered
      || lunfs_order_enter (&lun->order, &io->node, span.start / lun->context.block_size,
                            span.end / lun->context.block_size, req->op == LUNFS_OP_READ))
    start (lun, io);
}

static void
pass_done (LunfsRequest *req)
{
  LunfsLun *lun = req->owner;

  req->done = req->lun_done;
  req->owner = req->lun_owner;
  if (req->op == LUNFS_OP_EXTENT && req->result == -EOPNOTSUPP) { /* all of it is data, as far as anyone can tell */
    req->extent_mapped = true;
    req->extent_length = file_bytes (lun) - req->offset;
    req->result = 0;
  }
  answer (lun, req, req->result);
}

/* FLUSH and EXTENT go on as they are, and a READ that is one command of whole blocks. */
static void
pass (LunfsLun *lun, LunfsRequest *req)
{
  req->flags |= LUNFS_REQ_PASSED;
  req->lun_done = req->done;
  req->lun_owner = req->owner;
  req->done = pass_done;
  req->owner = lun;
  if (req->op == LUNFS_OP_EXTENT) {
    req->offset -= req->offset % lun->context.block_size;
    if (lun->have_info && !lun->info.capacity.lbpme) { /* fully provisioned */
      req->result = -EOPNOTSUPP;
      pass_done (req);
      return;
    }
  }
  lun->context.lower->ops->submit (lun->context.lower, req);
}

static bool
is_one_command (const LunfsLun *lun, const LunfsRequest *req)
{
  return ((req->offset | req->length) & (lun->context.block_size - 1)) == 0 && req->length <= lun->context.max_bytes
         && req->niov <= LUNFS_IO_IOV;
}

void
lunfs_lun_submit (LunfsLun *lun, LunfsRequest *req)
{
  uint64_t size = lun->info.capacity.nblocks * lun->info.capacity.block_size;
  bool writes = req->op == LUNFS_OP_WRITE || req->op == LUNFS_OP_DISCARD || req->op == LUNFS_OP_ZERO;

  req->submit_us = lunfs_lane_now_us (lun->lane);
  req->flags &= ~LUNFS_REQ_PASSED;
  lun->active++;
  if (lun->draining || size == 0) {
    answer (lun, req, -EIO);
  } else if (writes && (lun->force_read_only || lun->info.modes.write_protected)) {
    answer (lun, req, -EROFS);
  } else if (writes && lun->info.shrunk_from_nblocks) {
    answer (lun, req, -EIO);
  } else if (req->op == LUNFS_OP_FLUSH || req->op == LUNFS_OP_EXTENT) {
    pass (lun, req);
  } else if (req->offset > size || req->length > size - req->offset) {
    answer (lun, req, writes ? -ENOSPC : -EIO); /* it shrank meanwhile */
  } else if (req->length == 0) {
    answer (lun, req, 0);
  } else if (req->op == LUNFS_OP_READ && !lun->reads_in_order && is_one_command (lun, req)) {
    pass (lun, req);
  } else {
    submit_io (lun, req);
  }
}

bool
lunfs_lun_cancel (LunfsLun *lun, LunfsRequest *req, bool dying)
{
  LunfsLayer *lower = lun->context.lower;
  LunfsIo *io = req->lun_owner;

  if (req->flags & LUNFS_REQ_PASSED)
    return lower->ops->cancel (lower, req, dying);
  if (!io) /* not submitted yet: a signal that came before the request */
    return false;
  if (!io->ordered || io->node.running)
    return lunfs_io_cancel (io, dying);
  if (!lower->ops->stalled (lower))
    return false;
  io->error = -EINTR; /* it waits for another one that waits */
  io_done (io);
  return true;
}

/* ---- the end ---- */

static void
drain_flushed (LunfsRequest *req)
{
  LunfsLun *lun = req->owner;
  void (*drained) (void *, int) = lun->drained;

  lun->drained = NULL;
  drained (lun->drained_user, req->result);
}

void
lunfs_lun_drain (LunfsLun *lun, void (*done) (void *user, int result), void *user)
{
  if (lun->draining)
    return;
  lun->draining = true;
  lun->drained = done;
  lun->drained_user = user;
  if (lun->active == 0)
    flush_for_drain (lun);
}

LunfsLun *
lunfs_lun_new (LunfsLane *lane, LunfsLayer *lower, LunfsPool *pool, LunfsStats *stats, bool force_read_only,
               bool reads_in_order)
{
  LunfsLun *lun = g_new0 (LunfsLun, 1);

  lun->lane = lane;
  lun->stats = stats;
  lun->force_read_only = force_read_only;
  lun->reads_in_order = reads_in_order;
  lun->context.lower = lower;
  lun->context.pool = pool;
  lun->context.stats = stats;
  lun->context.block_size = 512;
  lun->context.max_bytes = LUNFS_CHUNK_BYTES;
  lun->context.info = &lun->info;
  lunfs_request_init (&lun->drain_flush);
  lun->drain_flush.done = drain_flushed;
  lun->drain_flush.owner = lun;
  g_mutex_init (&lun->publish_lock);
  atomic_init (&lun->cached_expired, true);
  return lun;
}

void
lunfs_lun_free (LunfsLun *lun)
{
  GList *link;

  if (!lun)
    return;
  g_assert (lun->active == 0);
  while ((link = g_queue_pop_head_link (&lun->free_ios)))
    g_free (link->data);
  g_mutex_clear (&lun->publish_lock);
  g_free (lun);
}

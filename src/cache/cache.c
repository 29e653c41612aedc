/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/cache-private.h"

#include "lunfs/log.h"
#include "util/zeroes.h"

#include <errno.h>

/* Zeroes up to this are written like any data, and answered at once; more is left to the target's WRITE SAME.  Those
 * and discards are through.c's. */
#define ZERO_BYTES (128u << 10)
#define EXPIRE_US 500000 /* how often ages are looked at where the kernel has a limit */

static struct iovec zeroes_iov = { lunfs_zeroes, ZERO_BYTES };

/* ---- answering ---- */

/* Its done() is the submitter's again. */
static void
hand_back (LunfsRequest *req)
{
  req->done = req->outer_done;
  req->owner = req->outer_owner;
}

void
lunfs_cache_pass (LunfsCache *c, LunfsRequest *req)
{
  hand_back (req);
  c->lower->ops->submit (c->lower, req);
}

void
lunfs_cache_give_back (LunfsRequest *req, int result)
{
  hand_back (req);
  req->result = result;
  req->done (req);
}

static void
finish_run (LunfsDefer *defer)
{
  LunfsCache *c = (LunfsCache *) ((char *) defer - offsetof (LunfsCache, finish));
  GList *link;

  while ((link = g_queue_pop_head_link (&c->finished))) {
    LunfsRequest *req = link->data;

    req->done (req);
  }
}

void
lunfs_cache_finish_later (LunfsCache *c, LunfsRequest *req, int result)
{
  hand_back (req);
  req->result = result;
  g_queue_push_tail_link (&c->finished, &req->link);
  lunfs_lane_defer (c->lane, &c->finish);
}

/* ---- waiting ---- */

/* What came then or earlier has waited as long as it may. */
static int64_t
too_old_us (const LunfsCache *c)
{
  return lunfs_lane_now_us (c->lane) - (int64_t) c->conf.request_limit_s * G_USEC_PER_SEC;
}

void
lunfs_cache_wait (LunfsCache *c, GQueue *queue, LunfsRequest *req)
{
  g_queue_push_tail_link (queue, &req->link);
  lunfs_cache_watch_age (c);
  if (c->conf.request_limit_s && req->submit_us <= too_old_us (c)) { /* it has waited elsewhere, behind others */
    g_queue_unlink (queue, &req->link);
    LUNFS_COUNT (c->stats, timeouts, 1);
    lunfs_cache_finish_later (c, req, -EIO);
  }
}

void
lunfs_cache_watch_age (LunfsCache *c)
{
  if (c->conf.request_limit_s && !c->expire.slot)
    lunfs_lane_arm (c->lane, &c->expire, EXPIRE_US);
}

/* What waits below is looked at there. */
static void
expire_fired (LunfsTimer *timer)
{
  LunfsCache *c = (LunfsCache *) ((char *) timer - offsetof (LunfsCache, expire));
  GQueue *queues[] = { &c->held, &c->blocked, &c->wanting, &c->draining };
  int64_t oldest_us = too_old_us (c);
  bool left = false;

  for (unsigned i = 0; i < G_N_ELEMENTS (queues); i++)
    for (GList *l = queues[i]->head, *next; l; l = next) {
      LunfsRequest *req = l->data;

      next = l->next;
      if (req->submit_us > oldest_us) {
        left = true;
        continue;
      }
      g_queue_unlink (queues[i], l);
      LUNFS_COUNT (c->stats, timeouts, 1);
      lunfs_cache_finish_later (c, req, -EIO);
    }
  if (lunfs_cache_expire_readers (c, oldest_us) || left)
    lunfs_lane_arm (c->lane, &c->expire, EXPIRE_US);
}

/* ---- what all need ---- */

/* A range that the target has yet to zero counts for little, but not for nothing. */
static uint64_t
due_bytes (const LunfsCache *c)
{
  return (uint64_t) lunfs_ranges_count_due (&c->ranges) * LUNFS_PAGE_BYTES;
}

void
lunfs_cache_count (LunfsCache *c)
{
  uint64_t dirty = lunfs_pages_dirty_bytes (&c->pages) + due_bytes (c);

  lunfs_frames_count_kept (c->conf.frames, &c->pages.user, lunfs_pages_kept_bytes (&c->pages));
  LUNFS_GAUGE (c->stats, unstable_bytes, lunfs_cache_unstable_bytes (c));
  LUNFS_GAUGE (c->stats, dirty_bytes, dirty);
  if (dirty == 0)
    LUNFS_GAUGE (c->stats, dirty_since_us, 0);
  else if (LUNFS_VALUE (c->stats, dirty_since_us) == 0)
    LUNFS_GAUGE (c->stats, dirty_since_us, lunfs_lane_now_us (c->lane));
  LUNFS_GAUGE (c->stats, cached_bytes, atomic_load_explicit (&c->pages.user.bytes, memory_order_relaxed));
  LUNFS_GAUGE (c->stats, unsynced_writes, c->written - c->synced);
}

void
lunfs_cache_shrink (LunfsCache *c)
{
  uint64_t over;
  uint32_t clean;

  /* Chunks that are in use in part may cost more pages than one round takes. */
  do {
    over = lunfs_frames_over (c->conf.frames);
    clean = c->pages.count[LUNFS_PAGE_CLEAN];
    if (over)
      lunfs_pages_shrink (&c->pages, over);
  } while (over && c->pages.count[LUNFS_PAGE_CLEAN] < clean);
  lunfs_cache_count (c);
}

bool
lunfs_cache_refuses (const LunfsCache *c)
{
  return c->fenced || c->lower->ops->refuses (c->lower);
}

void
lunfs_cache_set_size (LunfsCache *c, uint64_t nblocks, uint32_t block_size, uint64_t max_transfer_blocks)
{
  uint64_t max_bytes = LUNFS_CACHE_IO_BYTES;

  if (max_transfer_blocks)
    max_bytes = MIN (max_bytes, max_transfer_blocks * block_size);
  if (max_bytes > LUNFS_PAGE_BYTES)
    max_bytes -= max_bytes % LUNFS_PAGE_BYTES;
  lunfs_pages_geometry (&c->pages, block_size, nblocks);
  c->size_bytes = nblocks * block_size;
  c->max_bytes = MAX (max_bytes, block_size);
  /* Blocks that are larger than a page, nobody has seen them lately: half a block must never be written (again), and a page
   * knows nothing of its neighbour.  Nor a target that takes less than a page at a time. */
  c->keeps = block_size <= LUNFS_PAGE_BYTES;
  c->cached = (c->conf.mode == LUNFS_CACHE_WRITEBACK || c->conf.mode == LUNFS_CACHE_WRITETHROUGH) && c->keeps
              && max_bytes >= LUNFS_PAGE_BYTES;
  c->delayed = c->cached && c->conf.mode == LUNFS_CACHE_WRITEBACK;
}

uint64_t
lunfs_cache_unstable_bytes (const LunfsCache *c)
{
  return lunfs_pages_kept_bytes (&c->pages) + due_bytes (c);
}

const char *
lunfs_cache_check (const LunfsCache *c)
{
  const char *wrong = lunfs_pages_check (&c->pages);

  return wrong ? wrong : lunfs_cache_zero_check (c);
}

/* ---- the layer ---- */

/* What is written through needs memory, too, until it is stable. */
static bool
must_wait (LunfsCache *c)
{
  if (!c->wce)
    return false;
  return c->held.length
         || (c->pages.user.kept_bytes > 0
             && c->pages.user.kept_bytes >= lunfs_frames_may_keep (c->conf.frames, &c->pages.user));
}

static void
write_through (LunfsCache *c, LunfsRequest *req)
{
  if (must_wait (c)) {
    lunfs_cache_wait (c, &c->held, req);
    if (lunfs_pages_pending (&c->pages) == 0)
      lunfs_cache_start_commit (c);
    lunfs_cache_kick (c);
  } else {
    lunfs_cache_through (c, req);
  }
}

static void
submit (LunfsLayer *layer, LunfsRequest *req)
{
  LunfsCache *c = (LunfsCache *) layer;

  lunfs_debug (CACHE, "op %d offset=%" G_GUINT64_FORMAT " len=%" G_GUINT64_FORMAT " flags=%x", (int) req->op,
               req->offset, req->length, req->flags);
  req->link.data = req;
  req->outer_done = req->done;
  req->outer_owner = req->owner;
  switch (req->op) {
  case LUNFS_OP_WRITE:
    if (c->delayed && !(req->flags & LUNFS_REQ_FUA) && !c->send_error)
      lunfs_cache_write (c, req);
    else
      write_through (c, req);
    break;
  case LUNFS_OP_ZERO:
    if (c->delayed && req->length <= ZERO_BYTES && !c->send_error) {
      req->iov = &zeroes_iov;
      req->niov = 1;
      lunfs_cache_write (c, req);
      break;
    }
    /* fall through */
  case LUNFS_OP_DISCARD:
    write_through (c, req);
    break;
  case LUNFS_OP_FLUSH:
  case LUNFS_OP_EXTENT: /* the target must know of all data before it says what is mapped */
    lunfs_cache_flush (c, req);
    break;
  case LUNFS_OP_READ:
    /* One that is gone, or another one under its number, is not there in parts either. */
    if (c->cached && (c->fenced || !c->lower->ops->refuses (c->lower)))
      lunfs_cache_read (c, req);
    else
      c->lower->ops->submit (c->lower, req);
    break;
  }
}

static bool
stalled (const LunfsLayer *layer)
{
  const LunfsCache *c = (const LunfsCache *) layer;

  return c->lower->ops->stalled (c->lower);
}

static bool
refuses (const LunfsLayer *layer)
{
  return lunfs_cache_refuses ((const LunfsCache *) layer);
}

/* What waits here has been written, or is a FLUSH: the commit goes on without it. */
static bool
cancel (LunfsLayer *layer, LunfsRequest *req, bool dying)
{
  LunfsCache *c = (LunfsCache *) layer;
  GQueue *queues[] = { &c->held, &c->blocked, &c->wanting, &c->draining, &c->waiting, &c->covered };

  for (unsigned i = 0; i < G_N_ELEMENTS (queues); i++) {
    if (!g_queue_find (queues[i], req))
      continue;
    if (!stalled (layer)
        || (req->op != LUNFS_OP_FLUSH && (queues[i] == &c->waiting || queues[i] == &c->covered) && !dying))
      return false;
    g_queue_unlink (queues[i], &req->link);
    lunfs_cache_finish_later (c, req, -EINTR);
    return true;
  }
  if (req->op == LUNFS_OP_READ)
    return lunfs_cache_read_cancel (c, req, dying);
  return c->lower->ops->cancel (c->lower, req, dying);
}

static const LunfsLayerOps ops = { .submit = submit, .cancel = cancel, .stalled = stalled, .refuses = refuses };

void
lunfs_cache_failing (LunfsCache *c)
{
  lunfs_cache_kick (c);
}

/* ---- life ---- */

LunfsCache *
lunfs_cache_new (const LunfsCacheConf *conf)
{
  LunfsCache *c = g_new0 (LunfsCache, 1);

  c->base.ops = &ops;
  c->conf = *conf;
  c->conf.label = g_strdup (conf->label);
  c->lane = conf->lane;
  c->lower = conf->lower;
  c->stats = conf->stats;
  c->wce = c->keeps = true; /* until we know better */
  c->finish.run = finish_run;
  c->expire.fire = expire_fired;
  lunfs_pages_init (&c->pages, conf->frames, conf->lane, conf->lun);
  lunfs_ranges_init (&c->ranges, lunfs_frames_arena (conf->frames), conf->lun);
  lunfs_cache_read_init (c);
  lunfs_cache_write_init (c);
  lunfs_cache_commit_init (c);
  lunfs_cache_zero_init (c);
  return c;
}

void
lunfs_cache_free (LunfsCache *c)
{
  if (!c)
    return;
  g_assert (!lunfs_cache_zero_busy (c));
  lunfs_cache_read_clear (c);
  lunfs_cache_write_clear (c);
  lunfs_cache_commit_clear (c);
  lunfs_lane_undefer (c->lane, &c->finish);
  lunfs_lane_cancel (c->lane, &c->expire);
  lunfs_ranges_clear (&c->ranges);
  lunfs_pages_clear (&c->pages);
  g_free ((char *) c->conf.label);
  g_free (c);
}

LunfsLayer *
lunfs_cache_layer (LunfsCache *c)
{
  return &c->base;
}

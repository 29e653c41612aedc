/* SPDX-License-Identifier: GPL-2.0-or-later */
/* WRITEs into memory, and how many of them.
 *
 * How much may be dirty: what the target takes in DRAIN_US, by the rate it was seen to take (writeback.c), so that a flush is
 * quick; what is kept in all (with what is only unstable): the part of cache_max_dirty that frames.c allows.  Who comes at
 * these limits is held, and goes on in order as the target makes room. */
#include "config.h"

#include "cache/cache-private.h"

#include "util/iov.h"

#include <errno.h>

#define STREAM_BYTES (UINT64_C (12) << 20)
#define LARGE_BYTES (64u << 10) /* requests from this size on are sent at once, and only so many of them taken */
#define ONCE_BYTES (128u << 10) /* requests from this size on are not expected to be read soon */
#define DRAIN_US 50000
#define LEAST_DIRTY_BYTES (UINT64_C (512) << 10)
#define STORE_TRIES 3
#define ADOPT_BYTES (LUNFS_CHUNK_BYTES / 2) /* less is copied: a chunk each would be a waste */

/* ---- into memory ---- */

static bool
may_adopt (const LunfsRequest *req)
{
  return req->nchunks > 0 && req->length >= ADOPT_BYTES && req->offset % LUNFS_PAGE_BYTES == 0
         && req->length % LUNFS_PAGE_BYTES == 0;
}

/* The request's own memory becomes the pages'. */
static bool
adopt (LunfsCache *c, LunfsRequest *req, LunfsPageState state)
{
  uint64_t number = req->offset / LUNFS_PAGE_BYTES;
  unsigned npages = (unsigned) (req->length / LUNFS_PAGE_BYTES);

  if (!lunfs_pages_adopt (&c->pages, req->chunks, req->nchunks, npages))
    return false;
  for (unsigned k = 0; k < npages; k++) {
    uint32_t i = req->chunks[k / LUNFS_PAGES_PER_CHUNK] * LUNFS_PAGES_PER_CHUNK + k % LUNFS_PAGES_PER_CHUNK;

    lunfs_pages_replace (&c->pages, i, number + k, state);
    if (req->length >= ONCE_BYTES)
      lunfs_pages_once (&c->pages, i);
  }
  req->nchunks = 0;
  return true;
}

/* There is no memory for the newer data: what is there is out of date. */
static void
forget_blocks (LunfsCache *c, uint64_t number, uint8_t mask)
{
  uint32_t i = lunfs_pages_find (&c->pages, number);

  if (i != LUNFS_NO_PAGE)
    lunfs_pages_forget (&c->pages, i, mask);
}

bool
lunfs_cache_store (LunfsCache *c, LunfsRequest *req, LunfsPageState state)
{
  LunfsPages *t = &c->pages;
  uint64_t end = req->offset + req->length;
  bool only_existing = state == LUNFS_PAGE_CLEAN && !c->cached, all = true;

  if (!c->keeps)
    return false;
  t->seq++;
  if (!only_existing && may_adopt (req) && adopt (c, req, state))
    return true;
  for (uint64_t n = req->offset / LUNFS_PAGE_BYTES; n * LUNFS_PAGE_BYTES < end; n++) {
    uint64_t from = MAX (n * LUNFS_PAGE_BYTES, req->offset), to = MIN ((n + 1) * LUNFS_PAGE_BYTES, end);
    uint8_t mask = lunfs_pages_mask (t, n, from, to - from);
    uint32_t i;

    if (only_existing && lunfs_pages_find (t, n) == LUNFS_NO_PAGE)
      continue;
    lunfs_cache_disown_page (c, n, mask);
    i = lunfs_pages_prepare (t, n);
    if (i == LUNFS_NO_PAGE) {
      if (state == LUNFS_PAGE_DIRTY) /* what of it is in pages is right, and is written with the rest */
        return false;
      forget_blocks (c, n, mask);
      all = false;
      continue;
    }
    lunfs_iov_get (req->iov, req->niov, from - req->offset, lunfs_page_data (t, i) + from % LUNFS_PAGE_BYTES,
                   (size_t) (to - from));
    lunfs_pages_wrote (t, i, mask, state);
  }
  return all;
}

/* ---- limits ---- */

static uint64_t
dirty_limit (const LunfsCache *c)
{
  return MAX (c->rate_bytes / (G_USEC_PER_SEC / DRAIN_US), LEAST_DIRTY_BYTES);
}

/* More of a stream of large writes than can be under way only makes the memory that is used cold. */
static bool
may_write (LunfsCache *c, const LunfsRequest *req)
{
  uint64_t limit_bytes = req->length >= LARGE_BYTES ? MIN (dirty_limit (c), STREAM_BYTES) : dirty_limit (c);

  return lunfs_pages_dirty_bytes (&c->pages) < limit_bytes
         && c->pages.user.kept_bytes < lunfs_frames_may_keep (c->conf.frames, &c->pages.user);
}

static void
hold (LunfsCache *c, LunfsRequest *req)
{
  lunfs_cache_wait (c, &c->held, req);
  lunfs_cache_kick (c);
}

bool
lunfs_cache_something_ends (const LunfsCache *c)
{
  return c->sends.length || c->committing || c->fills.length || lunfs_pages_kept_bytes (&c->pages);
}

static void
accept (LunfsCache *c, LunfsRequest *req)
{
  if (!lunfs_cache_store (c, req, LUNFS_PAGE_DIRTY)) {
    if (lunfs_cache_something_ends (c) && c->stores_failed++ < STORE_TRIES) {
      lunfs_cache_watch_age (c);
      g_queue_push_head_link (&c->held, &req->link); /* begun, and it comes first: done again as a whole */
      lunfs_cache_kick (c);
    } else { /* more than there is memory for */
      c->stores_failed = 0;
      lunfs_cache_through (c, req);
    }
    return;
  }
  c->stores_failed = 0;
  if (req->length >= LARGE_BYTES)
    c->due = true;
  lunfs_cache_give_back (req, 0);
}

void
lunfs_cache_write (LunfsCache *c, LunfsRequest *req)
{
  if (lunfs_cache_refuses (c)) {
    lunfs_cache_finish_later (c, req, -EIO);
    return;
  }
  if (c->held.length || !may_write (c, req)) {
    hold (c, req);
    return;
  }
  accept (c, req);
  lunfs_cache_count (c);
  lunfs_cache_kick (c);
}

void
lunfs_cache_release_held (LunfsCache *c)
{
  unsigned n = c->held.length; /* one that comes back to the queue waits for the next time */

  while (n-- > 0 && c->held.length && may_write (c, c->held.head->data)) {
    LunfsRequest *req = g_queue_pop_head_link (&c->held)->data;
    unsigned before = c->held.length;

    if (c->delayed && req->niov && !(req->flags & LUNFS_REQ_FUA)) /* data, or zeroes */
      accept (c, req);
    else
      lunfs_cache_through (c, req);
    lunfs_cache_count (c);
    if (c->held.length > before)
      break;
  }
}

void
lunfs_cache_fail_held (LunfsCache *c, int result)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&c->held)))
    lunfs_cache_give_back (link->data, result);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the target has to take before it is answered: WRITEs with FUA or without a write-back cache, discards and zeroes but
 * those that zero.c may answer at once.
 * They must not overtake what is dirty in their range: that is written first, while they are blocked.  (What comes later and
 * overlaps them waits in the lun room until they are done.) */
#include "config.h"

#include "cache/cache-private.h"

#include <errno.h>

static bool
is_range (const LunfsRequest *req)
{
  return req->op == LUNFS_OP_DISCARD || req->op == LUNFS_OP_ZERO;
}

/* ---- before ---- */

static bool
overlaps (const LunfsRequest *req, uint64_t number)
{
  return number * LUNFS_PAGE_BYTES < req->offset + req->length && (number + 1) * LUNFS_PAGE_BYTES > req->offset;
}

/* Some of the blocks of page @i that @req has are dirty, or on their way. */
static bool
is_unsettled (const LunfsPages *t, uint32_t i, const LunfsRequest *req)
{
  const LunfsPage *p;
  uint64_t start, from, to;
  uint8_t dirty;

  if (i == LUNFS_NO_PAGE)
    return false;
  p = lunfs_page (t, i);
  dirty = p->dirty | (p->flags & LUNFS_PAGE_HELD ? lunfs_page (t, p->peer)->dirty : 0);
  start = p->number * LUNFS_PAGE_BYTES;
  from = MAX (start, req->offset);
  to = MIN (start + LUNFS_PAGE_BYTES, req->offset + req->length);
  return dirty && (lunfs_pages_mask (t, p->number, from, to - from) & dirty);
}

/* Nothing of its range is dirty or on its way, nor to be zeroed. */
static bool
is_settled (const LunfsCache *c, const LunfsRequest *req)
{
  const LunfsPages *t = &c->pages;
  uint64_t first = req->offset / LUNFS_PAGE_BYTES;
  uint64_t end = (req->offset + req->length + LUNFS_PAGE_BYTES - 1) / LUNFS_PAGE_BYTES;

  if (lunfs_ranges_is_due (&c->ranges, req->offset, req->offset + req->length))
    return false;
  if (lunfs_pages_pending (t) == 0)
    return true;
  if (end - first <= t->ninside) {
    for (uint64_t n = first; n < end; n++)
      if (is_unsettled (t, lunfs_pages_find (t, n), req))
        return false;
    return true;
  }
  for (uint32_t b = 0; b < t->nbuckets; b++)
    for (uint32_t i = t->bucket[b]; i != LUNFS_NO_PAGE; i = lunfs_page (t, i)->chained)
      if (overlaps (req, lunfs_page (t, i)->number) && is_unsettled (t, i, req))
        return false;
  return true;
}

/* ---- after ---- */

void
lunfs_cache_forget_range (LunfsCache *c, const LunfsRequest *req)
{
  LunfsPages *t = &c->pages;
  uint64_t first = req->offset / LUNFS_PAGE_BYTES, end = req->offset + req->length;
  uint64_t npages = (end + LUNFS_PAGE_BYTES - 1) / LUNFS_PAGE_BYTES - first;

  if (npages <= t->ninside) {
    for (uint64_t n = first; n < first + npages; n++) {
      uint32_t i = lunfs_pages_find (t, n);
      uint64_t from = MAX (n * LUNFS_PAGE_BYTES, req->offset), to = MIN ((n + 1) * LUNFS_PAGE_BYTES, end);

      if (i != LUNFS_NO_PAGE)
        lunfs_pages_forget (t, i, lunfs_pages_mask (t, n, from, to - from));
    }
    return;
  }
  for (uint32_t b = 0; b < t->nbuckets; b++)
    for (uint32_t i = t->bucket[b], next; i != LUNFS_NO_PAGE; i = next) {
      uint64_t n = lunfs_page (t, i)->number;
      uint64_t from = MAX (n * LUNFS_PAGE_BYTES, req->offset), to = MIN ((n + 1) * LUNFS_PAGE_BYTES, end);

      next = lunfs_page (t, i)->chained;
      if (overlaps (req, n))
        lunfs_pages_forget (t, i, lunfs_pages_mask (t, n, from, to - from));
    }
}

static bool
keep_range (LunfsCache *c, const LunfsRequest *req)
{
  LunfsArenaRange range = { .offset = req->offset,
                            .length = req->length,
                            .seq = ++c->pages.seq,
                            .flags = req->flags & LUNFS_REQ_UNMAP,
                            .op = (uint8_t) req->op };

  bool kept = !c->wce || lunfs_ranges_add (&c->ranges, &range);

  /* Only now: a worker that dies between the two leaves both on record, never neither. */
  lunfs_cache_forget_range (c, req);
  return kept;
}

/* Returns true if @req may be answered now. */
static bool
keep (LunfsCache *c, LunfsRequest *req)
{
  bool fua = req->flags & LUNFS_REQ_FUA;
  /* With a discard that is not stable, what is written behind it is not either: it would be done again. */
  bool stable = !c->wce || (fua && c->dpofua && lunfs_ranges_count (&c->ranges) == 0);
  bool kept = is_range (req) ? keep_range (c, req)
                             : lunfs_cache_store (c, req, stable ? LUNFS_PAGE_CLEAN : LUNFS_PAGE_UNSTABLE);

  c->written += !stable;
  lunfs_cache_count (c);
  if (stable)
    return true;
  if (!kept) { /* no memory: stable before it is acknowledged */
    req->flags |= LUNFS_REQ_UNKEPT;
    return false;
  }
  lunfs_cache_consider_commit (c);
  return !fua || c->dpofua;
}

static void
through_done (LunfsRequest *req)
{
  LunfsCache *c = req->owner;

  c->through--;
  if (req->era != c->era)
    c->through_old--;
  if (req->result == 0 && is_range (req) && !(req->flags & LUNFS_REQ_UNMAP))
    c->zeroes |= 1u << req->op;
  if (req->result == 0 && !keep (c, req))
    lunfs_cache_wait_for_commit (c, req);
  else
    lunfs_cache_give_back (req, req->result);
  lunfs_cache_release_held (c);
  lunfs_cache_kick (c);
}

static void
send (LunfsCache *c, LunfsRequest *req)
{
  c->through++;
  req->era = c->era;
  req->done = through_done;
  req->owner = c;
  c->lower->ops->submit (c->lower, req);
}

/* False: it has to wait. */
static bool
go_on (LunfsCache *c, LunfsRequest *req)
{
  if (is_range (req) && lunfs_cache_zero_later (c, req))
    return true;
  if (!is_settled (c, req))
    return false;
  send (c, req);
  return true;
}

void
lunfs_cache_through (LunfsCache *c, LunfsRequest *req)
{
  if (go_on (c, req))
    return;
  lunfs_cache_wait (c, &c->blocked, req);
  c->retry_now = true;
  lunfs_cache_kick (c);
}

void
lunfs_cache_fail_blocked (LunfsCache *c, int result)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&c->blocked)))
    lunfs_cache_give_back (link->data, result);
}

void
lunfs_cache_unblock (LunfsCache *c)
{
  for (GList *l = c->blocked.head, *next; l; l = next) {
    LunfsRequest *req = l->data;

    next = l->next;
    g_queue_unlink (&c->blocked, l);
    if (go_on (c, req))
      continue;
    if (c->send_error)
      lunfs_cache_give_back (req, c->send_error);
    else if (next)
      g_queue_insert_before_link (&c->blocked, next, l);
    else
      g_queue_push_tail_link (&c->blocked, l);
  }
}

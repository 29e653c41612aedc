/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dirty pages to the target.
 *
 * When dirty pages are sent:
 *   - at once, as long as somebody waits for it (a flush, a held writer, a discard of the range, a new login), or as
 *     large writes come, which nothing is gained by collecting;
 *   - else write_delay after the first of them became dirty, so that neighbours go together;
 * always oldest first, with the dirty neighbours on both sides inside one aligned 1 MiB window, SENDS commands and SEND_BYTES
 * at most at a time, so that a READ never finds much before it.
 */
#include "config.h"

#include "cache/cache-private.h"

#include "lunfs/log.h"
#include "util/iov.h"

#include <errno.h>

#define SENDS 32
#define SEND_BYTES (UINT64_C (8) << 20)
#define RATE_BYTES (UINT64_C (256) << 20) /* per second, until it has been measured */
#define RATE_US 20000                     /* what is measured at least */
#define RETRY_US 1000000

/* ---- sending ---- */

/* Blocks of a mask lie together. */
static bool
in_one_piece (uint8_t mask)
{
  mask = (uint8_t) (mask >> __builtin_ctz (mask));
  return (mask & (mask + 1)) == 0;
}

/* A page of which blocks @mask go with one WRITE. */
static bool
goes_at_once (const LunfsCache *c, uint8_t mask)
{
  return in_one_piece (mask) && (unsigned) __builtin_popcount (mask) * c->pages.block_size <= c->max_bytes;
}

static bool
may_join (const LunfsCache *c, uint32_t i, const LunfsPage *first)
{
  const LunfsPage *p;

  if (i == LUNFS_NO_PAGE)
    return false;
  p = lunfs_page (&c->pages, i);
  return p->state == LUNFS_PAGE_DIRTY && !(p->flags & (LUNFS_PAGE_HELD | LUNFS_PAGE_ALONE))
         && !lunfs_cache_zero_mask (c, p->number)
         && (p->flags & LUNFS_PAGE_RECOVER) == (first->flags & LUNFS_PAGE_RECOVER) && in_one_piece (p->dirty);
}

static bool
reaches_start (const LunfsPage *p)
{
  return p->dirty & 1;
}

static bool
reaches_end (const LunfsCache *c, const LunfsPage *p)
{
  uint8_t whole = lunfs_pages_whole (&c->pages, p->number);

  return p->dirty > whole >> 1;
}

/* The pages to send with @i: [*first, *end). */
static void
neighbours (const LunfsCache *c, uint32_t i, uint64_t *first, uint64_t *end)
{
  const LunfsPage *p = lunfs_page (&c->pages, i), *edge = p;
  uint64_t window = MAX (c->max_bytes / LUNFS_PAGE_BYTES, 1);
  uint64_t low = p->number / window * window, high = low + window;

  *first = p->number;
  *end = p->number + 1;
  if (!goes_at_once (c, p->dirty) || (p->flags & LUNFS_PAGE_ALONE))
    return;
  while (*first > low && reaches_start (edge)) {
    uint32_t before = lunfs_pages_find (&c->pages, *first - 1);

    if (!may_join (c, before, p) || !reaches_end (c, lunfs_page (&c->pages, before)))
      break;
    edge = lunfs_page (&c->pages, before);
    --*first;
  }
  edge = p;
  while (*end < high && reaches_end (c, edge)) {
    uint32_t after = lunfs_pages_find (&c->pages, *end);

    if (!may_join (c, after, p) || !reaches_start (lunfs_page (&c->pages, after)))
      break;
    edge = lunfs_page (&c->pages, after);
    ++*end;
  }
}

/* Blocks @mask, in one piece, of page @i go on behind what @s has. */
static bool
add_blocks (LunfsCache *c, LunfsSend *s, uint32_t i, uint8_t mask)
{
  LunfsPages *t = &c->pages;
  unsigned from = (unsigned) __builtin_ctz (mask), n = (unsigned) __builtin_popcount (mask);
  size_t length = n * t->block_size, start = from * t->block_size;

  if (!lunfs_iov_append (s->iov, &s->req.niov, LUNFS_REQUEST_IOV, lunfs_page_data (t, i) + start, length))
    return false;
  if (s->req.length == 0)
    s->req.offset = lunfs_page (t, i)->number * LUNFS_PAGE_BYTES + start;
  s->req.length += length;
  return true;
}

/* The next blocks of a page that has gaps, or is more than the target takes at once. */
static void
send_piece (LunfsCache *c, LunfsSend *s)
{
  unsigned from = (unsigned) __builtin_ctz (s->left), end = from + (unsigned) (c->max_bytes / c->pages.block_size);
  uint8_t mask = 0;

  for (; from < end && s->left >> from & 1; from++)
    mask |= (uint8_t) (1u << from);
  s->left &= (uint8_t) ~mask;
  s->req.length = 0;
  s->req.niov = 0;
  add_blocks (c, s, s->page[0], mask);
  c->sending_bytes += s->req.length;
  c->lower->ops->submit (c->lower, &s->req);
}

static void send_done (LunfsRequest *req);

static LunfsSend *
send_new (LunfsCache *c)
{
  GList *link = g_queue_pop_head_link (&c->free_sends);
  LunfsSend *s = link ? link->data : g_new0 (LunfsSend, 1);

  s->link.data = s;
  s->cache = c;
  s->npages = 0;
  s->left = 0;
  lunfs_request_init (&s->req);
  s->req.op = LUNFS_OP_WRITE;
  s->req.flags = LUNFS_REQ_RETURN;
  s->req.length = 0;
  s->req.iov = s->iov;
  s->req.niov = 0;
  s->req.chunks = NULL;
  s->req.nchunks = 0;
  s->req.done = send_done;
  s->req.owner = s;
  s->req.submit_us = lunfs_lane_now_us (c->lane);
  return s;
}

/* One WRITE with page @i in it. */
static void
send_around (LunfsCache *c, uint32_t i)
{
  LunfsPages *t = &c->pages;
  LunfsSend *s = send_new (c);
  bool recover = lunfs_page (t, i)->flags & LUNFS_PAGE_RECOVER;
  uint64_t first, end;

  neighbours (c, i, &first, &end);
  s->first = first;
  if (!goes_at_once (c, lunfs_page (t, i)->dirty))
    s->left = lunfs_page (t, i)->dirty;
  for (uint64_t n = first; n < end; n++) {
    uint32_t k = n == lunfs_page (t, i)->number ? i : lunfs_pages_find (t, n);

    if (!s->left && !add_blocks (c, s, k, lunfs_page (t, k)->dirty)) {
      end = n; /* no room: the rest goes with another one, and @i perhaps, too */
      break;
    }
    s->page[s->npages++] = k;
  }
  for (unsigned k = 0; k < s->npages; k++)
    lunfs_pages_set (t, s->page[k], LUNFS_PAGE_WRITING);
  if (recover) {
    s->req.flags = LUNFS_REQ_RECOVERY;
    c->recover_sends++;
    LUNFS_COUNT (c->stats, rewritten, 1);
  }
  if (!recover && c->drain_fua)
    s->req.flags |= LUNFS_REQ_FUA;
  LUNFS_COUNT (c->stats, write_backs, 1);
  LUNFS_COUNT (c->stats, write_back_bytes, (uint64_t) s->npages * LUNFS_PAGE_BYTES);
  lunfs_debug (CACHE, "write back %u pages from %" G_GUINT64_FORMAT " on, flags=%x", s->npages, s->first, s->req.flags);
  g_queue_push_tail_link (&c->sends, &s->link);
  if (s->left) {
    send_piece (c, s);
  } else {
    c->sending_bytes += s->req.length;
    c->lower->ops->submit (c->lower, &s->req);
  }
}

/* ---- answers ---- */

static void
measure (LunfsCache *c, uint64_t bytes)
{
  int64_t now = lunfs_lane_now_us (c->lane);

  if (c->pages.list[LUNFS_PAGE_DIRTY].n == 0 || c->send_error || c->recovering) { /* it could have taken more */
    c->rated_us = 0;
    return;
  }
  if (c->rated_us == 0) {
    c->rated_us = now;
    c->rated_bytes = 0;
    return;
  }
  c->rated_bytes += bytes;
  if (now - c->rated_us < RATE_US)
    return;
  c->rate_bytes = (3 * c->rate_bytes + c->rated_bytes * G_USEC_PER_SEC / (uint64_t) (now - c->rated_us)) / 4;
  c->rated_us = now;
  c->rated_bytes = 0;
}

/* The WRITE of an OLD page has ended.  Whoever was held for it may be sent now, unless it must not be any more. */
static void
old_page_ended (LunfsCache *c, uint32_t i, bool failed)
{
  LunfsPages *t = &c->pages;
  uint32_t peer = lunfs_page (t, i)->peer;

  if (failed)
    lunfs_pages_hand_over (t, i);
  else
    lunfs_pages_release (t, i);
  if (peer != LUNFS_NO_PAGE && lunfs_page (t, peer)->state == LUNFS_PAGE_DIRTY
      && lunfs_page_disowned (&c->pages, peer)) {
    lunfs_pages_drop (t, peer);
    lunfs_cache_lose (c, -EIO);
  }
}

static void
page_written (LunfsCache *c, uint32_t i, bool stable)
{
  LunfsPages *t = &c->pages;

  if (lunfs_page (t, i)->state == LUNFS_PAGE_OLD)
    old_page_ended (c, i, false);
  else if (!stable || lunfs_page (t, i)->kept != lunfs_page (t, i)->dirty) /* others of its blocks are unstable */
    lunfs_pages_set (t, i, LUNFS_PAGE_UNSTABLE);
  else if (c->cached)
    lunfs_pages_set (t, i, LUNFS_PAGE_CLEAN);
  else {
    lunfs_pages_set (t, i, LUNFS_PAGE_CLEAN);
    lunfs_pages_drop (t, i);
  }
}

/* Tried again: after the next login if the session was lost, else later, alone.  False: it is given up. */
static bool
page_failed (LunfsCache *c, uint32_t i, int result)
{
  LunfsPages *t = &c->pages;

  if (lunfs_page (t, i)->state == LUNFS_PAGE_OLD) {
    old_page_ended (c, i, true);
    return true;
  }
  if (result == -EINTR || lunfs_page_disowned (&c->pages, i)) {
    lunfs_pages_set (t, i, LUNFS_PAGE_DIRTY);
    lunfs_pages_drop (t, i);
    lunfs_cache_lose (c, -EIO);
    return false;
  }
  if (result == -ECANCELED) {
    lunfs_pages_set (t, i, LUNFS_PAGE_DIRTY);
    return true;
  }
  lunfs_pages_fail (t, i);
  return true;
}

bool
lunfs_cache_nothing_failed (const LunfsCache *c)
{
  return c->pages.failed.n == 0 && !lunfs_ranges_any_failed (&c->ranges);
}

static void
say_failure (LunfsCache *c, const LunfsSend *s, int result)
{
  if (c->send_error == result)
    return;
  lunfs_error ("%s: %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
               ", written and answered before, could not be written to the target: %s.  They are kept and tried again; "
               "fsync fails until then",
               c->conf.label, s->req.length, s->req.offset, g_strerror (-result));
}

/* The target does not take what memory is full of, and nothing else makes room.  Whoever waits for that goes to the target
 * first, as writes that come now do: there it may fare better, and if not hears why. */
void
lunfs_cache_send_held_through (LunfsCache *c)
{
  GQueue held = c->held;
  GList *link;

  if (c->sends.length)
    return;
  g_queue_init (&c->held);
  c->stores_failed = 0;
  while ((link = g_queue_pop_head_link (&held)))
    lunfs_cache_through (c, link->data);
}

static void
send_done (LunfsRequest *req)
{
  LunfsSend *s = req->owner;
  LunfsCache *c = s->cache;
  int result = req->result;
  bool fua = req->flags & LUNFS_REQ_FUA, recover = req->flags & LUNFS_REQ_RECOVERY;
  bool stable = !c->wce || (fua && c->dpofua && lunfs_ranges_count (&c->ranges) == 0);
  bool tried_again = false; /* by us, with the same session */
  bool known = lunfs_page (&c->pages, s->page[0])->flags & LUNFS_PAGE_ALONE;

  c->sending_bytes -= req->length;
  if (result == 0 && s->left) {
    send_piece (c, s);
    return;
  }
  if (result == 0)
    measure (c, (uint64_t) s->npages * LUNFS_PAGE_BYTES);
  g_queue_unlink (&c->sends, &s->link);
  for (unsigned k = 0; k < s->npages; k++)
    if (result == 0)
      page_written (c, s->page[k], stable);
    else if (page_failed (c, s->page[k], result) && result != -ECANCELED)
      tried_again = true;
  if (tried_again && !known)
    say_failure (c, s, result);
  g_queue_push_head_link (&c->free_sends, &s->link);
  if (result == 0) {
    c->written += !stable;
    if (lunfs_cache_nothing_failed (c))
      c->send_error = 0;
    lunfs_cache_consider_commit (c);
  } else if (tried_again) {
    c->send_error = result;
    if (!c->retry.slot)
      lunfs_lane_arm (c->lane, &c->retry, RETRY_US);
  }
  lunfs_cache_count (c);
  if (recover) {
    c->recover_sends--;
    c->recovery_failed |= result == -ECANCELED;
    if (result < 0 && result != -ECANCELED) {
      c->refused = true;
      if (c->committing)
        c->commit_error = result;
    }
    lunfs_cache_recover_some (c);
  }
  lunfs_cache_drained (c, tried_again ? result : 0);
  lunfs_cache_unblock (c);
  lunfs_cache_release_held (c);
  if (tried_again)
    lunfs_cache_send_held_through (c);
  lunfs_cache_kick (c);
}

/* ---- when ---- */

static bool
is_urgent (const LunfsCache *c)
{
  return c->drain || c->held.length || c->blocked.length || c->due;
}

static void
send_some (LunfsCache *c, LunfsPageList *list)
{
  while (list->n > 0 && c->sends.length < SENDS && c->sending_bytes < SEND_BYTES) {
    if (lunfs_cache_zero_mask (c, lunfs_page (&c->pages, list->head)->number))
      lunfs_pages_put_behind (&c->pages, list->head);
    else
      send_around (c, list->head);
  }
}

void
lunfs_cache_send_recover (LunfsCache *c)
{
  send_some (c, &c->pages.recover);
}

static void
kick_run (LunfsDefer *defer)
{
  LunfsCache *c = (LunfsCache *) ((char *) defer - offsetof (LunfsCache, kick));
  LunfsPages *t = &c->pages;

  if (lunfs_cache_refuses (c)) {
    lunfs_cache_drained (c, -EIO);
    lunfs_cache_fail_held (c, -EIO);
    lunfs_cache_fail_blocked (c, -EIO);
    return;
  }
  if (c->recovering || c->lower->ops->stalled (c->lower)) /* lunfs_cache_up begins again */
    return;
  if (c->held.length && lunfs_pages_pending (t) == 0) {
    if (t->count[LUNFS_PAGE_UNSTABLE] > 0)
      lunfs_cache_start_commit (c);
    else if (!lunfs_cache_something_ends (c))
      lunfs_cache_release_held (c);
  }
  if (c->retry_now) {
    lunfs_pages_retry (t);
    lunfs_ranges_retry (&c->ranges);
  }
  c->retry_now = false;
  if (!c->refused || c->through_old == 0)
    lunfs_cache_zero_send (c);
  if (t->list[LUNFS_PAGE_DIRTY].n == 0) {
    c->due = false;
    return;
  }
  /* What could not be written again may be older than those, and they may be under way. */
  if (c->refused && c->through_old > 0)
    return;
  c->refused = false;
  if (!is_urgent (c)) {
    if (!c->delay.slot)
      lunfs_lane_arm (c->lane, &c->delay, c->conf.write_delay_us);
    return;
  }
  send_some (c, &t->list[LUNFS_PAGE_DIRTY]);
  if (t->list[LUNFS_PAGE_DIRTY].n == 0) { /* what comes now waits for its own delay */
    c->due = false;
    lunfs_lane_cancel (c->lane, &c->delay);
  }
}

void
lunfs_cache_kick (LunfsCache *c)
{
  if (lunfs_pages_pending (&c->pages) || lunfs_ranges_count_due (&c->ranges) || c->held.length || c->blocked.length
      || c->drain)
    lunfs_lane_defer (c->lane, &c->kick);
}

static void
delay_fired (LunfsTimer *timer)
{
  LunfsCache *c = (LunfsCache *) ((char *) timer - offsetof (LunfsCache, delay));

  c->due = true;
  lunfs_cache_kick (c);
}

static void
retry_fired (LunfsTimer *timer)
{
  LunfsCache *c = (LunfsCache *) ((char *) timer - offsetof (LunfsCache, retry));

  if (lunfs_cache_nothing_failed (c)) { /* it was discarded, or written over */
    c->send_error = 0;
    return;
  }
  c->retry_now = c->due = true;
  lunfs_cache_kick (c);
}

void
lunfs_cache_write_init (LunfsCache *c)
{
  c->rate_bytes = RATE_BYTES;
  c->kick.run = kick_run;
  c->delay.fire = delay_fired;
  c->retry.fire = retry_fired;
}

void
lunfs_cache_write_clear (LunfsCache *c)
{
  GList *link;

  g_assert (c->sends.length == 0);
  lunfs_lane_undefer (c->lane, &c->kick);
  lunfs_lane_cancel (c->lane, &c->delay);
  lunfs_lane_cancel (c->lane, &c->retry);
  while ((link = g_queue_pop_head_link (&c->free_sends)))
    g_free (link->data);
}

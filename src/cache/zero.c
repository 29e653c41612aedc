/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Discards and zeroes that are answered before the target has done them (write-back only).
 *
 * Such a range stands in the arena as due (ranges.h), and nothing of it is in memory but what was written since.  Until it is
 * done
 *   - READs take zeroes for what is not in memory, and nothing of the range is fetched (read.c);
 *   - pages that lie in it, also in part, are not sent (lunfs_pages_put_behind); what goes to the target first waits, too
 *     (through.c);
 *   - a flush waits for it (commit.c), a new login does it again in its place among the others (recover.c).
 * It is taken only if no WRITE of ours to its pages is under way, and sent in order where two overlap: so what overlaps is never
 * at the target at once.
 *
 * Which command leaves zeroes is src/lun's decision, and it needs to see a refusal.  So the first range of a kind after a login
 * is answered when the target has done it; later ones are answered at once, and if one is refused all the same, zeroes are
 * written in its place, and src/lun is asked again next time.  UNMAP is no more than advice, its outcome has to be looked at:
 * never at once.  There may be as many as the target does in DELAY_US, and DUE_MAX; more are answered when they are done. */
#include "config.h"

#include "cache/cache-private.h"

#include "lunfs/log.h"
#include "util/zeroes.h"

#include <errno.h>

#define DUE_MAX 64
#define DELAY_US 50000 /* as for dirty pages: a flush waits for it */
#define RETRY_US 1000000

/* ---- taken ---- */

static bool
is_being_written (const LunfsCache *c, uint64_t offset, uint64_t end)
{
  for (GList *l = c->sends.head; l; l = l->next) {
    const LunfsSend *s = l->data;

    if (s->first * LUNFS_PAGE_BYTES < end && offset < (s->first + s->npages) * LUNFS_PAGE_BYTES)
      return true;
  }
  return false;
}

static bool
is_room (const LunfsCache *c)
{
  unsigned n = lunfs_ranges_count_due (&c->ranges);

  return n < LUNFS_CACHE_ZEROINGS || (n < DUE_MAX && n * c->zeroing_us < LUNFS_CACHE_ZEROINGS * DELAY_US);
}

/* A flush waits for dirty pages that were there before it: so it waits for the range that takes their place. */
static void
forget_pages (LunfsCache *c, const LunfsRequest *req, uint64_t seq)
{
  const uint32_t *waited = &c->pages.pending[!(c->pages.generation & 1)];
  uint32_t before = *waited;

  lunfs_cache_forget_range (c, req);
  if (c->drain && *waited < before)
    c->drain_seq = seq;
}

bool
lunfs_cache_zero_later (LunfsCache *c, LunfsRequest *req)
{
  LunfsArenaRange range = { .offset = req->offset, .length = req->length, .op = (uint8_t) req->op };

  if (!c->delayed || c->send_error || c->recovering || !(c->zeroes & 1u << req->op)
      || (req->flags & (LUNFS_REQ_UNMAP | LUNFS_REQ_FUA)) || lunfs_cache_refuses (c) || !is_room (c)
      || is_being_written (c, req->offset, req->offset + req->length))
    return false;
  range.seq = c->pages.seq + 1;
  if (!lunfs_ranges_add_due (&c->ranges, &range))
    return false;
  c->pages.seq++;
  /* Only now: a worker that dies between the two leaves both on record, never neither. */
  forget_pages (c, req, range.seq);
  lunfs_cache_count (c);
  lunfs_cache_give_back (req, 0);
  lunfs_cache_kick (c);
  return true;
}

uint8_t
lunfs_cache_zero_mask (const LunfsCache *c, uint64_t number)
{
  uint64_t start = number * LUNFS_PAGE_BYTES;
  uint8_t mask = 0;

  for (GList *l = c->ranges.due.head; l; l = l->next) {
    const LunfsRangeDue *due = l->data;
    uint64_t from = MAX (start, due->offset), to = MIN (start + LUNFS_PAGE_BYTES, due->end);

    if (from < to)
      mask |= lunfs_pages_mask (&c->pages, number, from, to - from);
  }
  return mask;
}

/* ---- sent ---- */

static void zeroing_done (LunfsRequest *req);

static void
start (LunfsCache *c, LunfsZeroing *z, const LunfsArenaRange *range, uint32_t flags)
{
  LunfsRangeDue *due = lunfs_ranges_find_due (&c->ranges, range->seq);

  z->seq = range->seq;
  z->end = range->offset + range->length;
  z->busy = true;
  if (due)
    due->sending = true;
  z->began_us = lunfs_lane_now_us (c->lane);
  z->req.op = (LunfsOp) range->op;
  z->req.flags = flags | range->flags;
  z->req.offset = range->offset;
  z->req.length = range->length;
  z->req.iov = NULL;
  z->req.niov = 0;
  z->req.submit_us = z->began_us;
  lunfs_debug (CACHE, "zero %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT ", flags=%x", range->length,
               range->offset, z->req.flags);
  c->lower->ops->submit (c->lower, &z->req);
}

/* Zeroes as data, from @offset on: a piece at a time. */
static void
write_piece (LunfsCache *c, LunfsZeroing *z, uint64_t offset)
{
  z->req.op = LUNFS_OP_WRITE;
  z->req.flags &= ~LUNFS_REQ_UNMAP;
  z->req.offset = offset;
  z->req.length = MIN (z->end - offset, c->max_bytes);
  z->iov = (struct iovec){ lunfs_zeroes, z->req.length };
  z->req.iov = &z->iov;
  z->req.niov = 1;
  c->lower->ops->submit (c->lower, &z->req);
}

/* Not before what is older and overlaps it. */
static bool
has_its_turn (const LunfsCache *c, const LunfsRangeDue *due)
{
  for (GList *l = due->link.prev; l; l = l->prev) {
    const LunfsRangeDue *older = l->data;

    if (older->offset < due->end && due->offset < older->end)
      return false;
  }
  return true;
}

static LunfsZeroing *
idle (LunfsCache *c)
{
  for (unsigned i = 0; i < LUNFS_CACHE_ZEROINGS; i++)
    if (!c->zeroing[i].busy)
      return &c->zeroing[i];
  return NULL;
}

void
lunfs_cache_zero_send (LunfsCache *c)
{
  for (GList *l = c->ranges.due.head; l; l = l->next) {
    LunfsRangeDue *due = l->data;
    LunfsZeroing *z = idle (c);

    if (!z)
      return;
    if (due->sending || due->failed || !has_its_turn (c, due))
      continue;
    start (c, z, &c->ranges.arena->ranges[due->slot], LUNFS_REQ_RETURN);
  }
}

void
lunfs_cache_zero_again (LunfsCache *c, const LunfsArenaRange *range)
{
  LUNFS_COUNT (c->stats, rewritten, 1);
  start (c, &c->zeroing[0], range, LUNFS_REQ_RECOVERY);
}

bool
lunfs_cache_zero_busy (const LunfsCache *c)
{
  for (unsigned i = 0; i < LUNFS_CACHE_ZEROINGS; i++)
    if (c->zeroing[i].busy)
      return true;
  return false;
}

void
lunfs_cache_zero_cancel (LunfsCache *c)
{
  for (unsigned i = 0; i < LUNFS_CACHE_ZEROINGS; i++)
    if (c->zeroing[i].busy)
      c->lower->ops->cancel (c->lower, &c->zeroing[i].req, true);
}

/* ---- answers ---- */

/* Returns true if it goes on. */
static bool
next_piece (LunfsCache *c, LunfsZeroing *z)
{
  const LunfsRequest *req = &z->req;

  if (req->result == -EOPNOTSUPP && req->op != LUNFS_OP_WRITE) {
    c->zeroes &= ~(1u << req->op);
    write_piece (c, z, req->offset);
    return true;
  }
  if (req->result == 0 && req->offset + req->length < z->end) {
    write_piece (c, z, req->offset + req->length);
    return true;
  }
  return false;
}

static void
failed (LunfsCache *c, LunfsRangeDue *due, int result)
{
  due->failed = true;
  if (c->send_error != result)
    lunfs_error (
        "%s: zeroes of %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
        ", answered before, could not be written to the target: %s.  They are kept and tried again; fsync fails until "
        "then",
        c->conf.label, due->end - due->offset, due->offset, g_strerror (-result));
  c->send_error = result;
  if (!c->retry.slot)
    lunfs_lane_arm (c->lane, &c->retry, RETRY_US);
}

/* What the target did, or did not.  Returns what a flush has to say of it. */
static int
settle (LunfsCache *c, LunfsRangeDue *due, int result)
{
  due->sending = false;
  if (result == 0) {
    lunfs_ranges_did (&c->ranges, due, !c->wce);
    lunfs_pages_call_back (&c->pages);
    c->written += c->wce;
    lunfs_cache_consider_commit (c);
    return 0;
  }
  if (result == -EINTR || due->seq <= c->pages.disowned_seq) {
    lunfs_ranges_give_up (&c->ranges, due);
    lunfs_pages_call_back (&c->pages);
    lunfs_cache_lose (c, -EIO);
    return 0;
  }
  if (result == -ECANCELED)
    return 0;
  failed (c, due, result);
  return result;
}

static void
zeroing_done (LunfsRequest *req)
{
  LunfsZeroing *z = req->owner;
  LunfsCache *c = z->cache;
  LunfsRangeDue *due = lunfs_ranges_find_due (&c->ranges, z->seq);
  bool recovery = req->flags & LUNFS_REQ_RECOVERY;
  int error = 0;

  if (next_piece (c, z))
    return;
  z->busy = false;
  if (due) {
    if (req->result == 0)
      c->zeroing_us = (uint64_t) (lunfs_lane_now_us (c->lane) - z->began_us);
    error = settle (c, due, req->result);
    if (lunfs_cache_nothing_failed (c))
      c->send_error = 0;
    lunfs_cache_count (c);
  }
  /* What a commit under way covers may be lost, and this stands in its place, or it lies behind this. */
  if (recovery && error) {
    c->refused = true;
    if (c->committing)
      c->commit_error = error;
  }
  if (recovery)
    lunfs_cache_recovered_range (c, req, due == NULL);
  lunfs_cache_drained (c, error);
  lunfs_cache_unblock (c);
  lunfs_cache_release_held (c);
  if (error)
    lunfs_cache_send_held_through (c);
  lunfs_cache_kick (c);
}

/* ---- life ---- */

void
lunfs_cache_zero_init (LunfsCache *c)
{
  for (unsigned i = 0; i < LUNFS_CACHE_ZEROINGS; i++) {
    LunfsZeroing *z = &c->zeroing[i];

    lunfs_request_init (&z->req);
    z->cache = c;
    z->req.done = zeroing_done;
    z->req.owner = z;
  }
}

/* Whatever of it is in memory was written since, and is kept. */
const char *
lunfs_cache_zero_check (const LunfsCache *c)
{
  const LunfsPages *t = &c->pages;

  for (uint32_t b = 0; b < t->nbuckets && lunfs_ranges_count_due (&c->ranges); b++)
    for (uint32_t i = t->bucket[b]; i != LUNFS_NO_PAGE; i = lunfs_page (t, i)->chained) {
      const LunfsPage *p = lunfs_page (t, i);
      uint8_t mask = lunfs_cache_zero_mask (c, p->number);

      if (!mask)
        continue;
      if (p->state == LUNFS_PAGE_FILLING || (p->valid & mask & ~p->kept))
        return "a page has old data of a range that is to be zeroed";
      if (p->state == LUNFS_PAGE_WRITING || (p->flags & LUNFS_PAGE_HELD))
        return "a page in a range that is to be zeroed is being sent";
    }
  return lunfs_ranges_check (&c->ranges);
}

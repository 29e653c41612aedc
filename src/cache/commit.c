/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FLUSH: first a drain, which ends when everything that was dirty when it began is at the target; then a commit, one
 * SYNCHRONIZE CACHE for all that wait.  One of each at a time: who comes meanwhile is served together by the next.
 *
 * Also the commits in the background, which bound what has to be kept and written again after a login. */
#include "config.h"

#include "cache/cache-private.h"

#include "lunfs/log.h"

#include <errno.h>

#define COMMIT_AGE_US 5000000 /* as ext4's commit interval: what nobody syncs is stable after this */
#define COMMIT_RANGES 1024
#define EARLY_MIN_BYTES (UINT64_C (4) << 20)
#define EARLY_BYTES_PER_US 50000
#define FUA_PAGES 16 /* a flush of no more than these goes with FUA, without SYNCHRONIZE CACHE */

/* ---- answers ---- */

void
lunfs_cache_lose (LunfsCache *c, int error)
{
  c->lost_error = error;
  c->pages.arena->luns[c->conf.lun].lost_errno = (uint32_t) -error;
  LUNFS_COUNT (c->stats, losses, 1);
}

/* What a FLUSH that did its work says. */
static int
flushed (LunfsCache *c, LunfsRequest *req)
{
  uint64_t losses = LUNFS_VALUE (c->stats, losses);

  if (req->op != LUNFS_OP_FLUSH || req->losses_seen >= losses)
    return 0;
  req->losses_seen = losses;
  LUNFS_GAUGE (c->stats, losses_told, losses);
  c->pages.arena->luns[c->conf.lun].lost_errno = 0;
  return c->lost_error;
}

static uint64_t
unstable_pages (const LunfsCache *c)
{
  return c->pages.count[LUNFS_PAGE_UNSTABLE] + c->pages.count[LUNFS_PAGE_COMMITTING];
}

static bool
something_kept (const LunfsCache *c)
{
  return unstable_pages (c) > 0 || lunfs_ranges_count (&c->ranges) > 0;
}

static bool
is_committed (const LunfsCache *c)
{
  return !something_kept (c) && (c->written == c->synced || !c->wce);
}

/* ---- commit ---- */

static void
set_all (LunfsCache *c, LunfsPageState from, LunfsPageState to)
{
  LunfsPageList *list = &c->pages.list[from];

  while (list->n > 0) {
    uint32_t i = list->head;

    lunfs_pages_set (&c->pages, i, to);
    if (to == LUNFS_PAGE_CLEAN && !c->cached)
      lunfs_pages_drop (&c->pages, i);
  }
}

static void
commit_done (LunfsRequest *req)
{
  LunfsCache *c = req->owner;
  GQueue covered = c->covered;
  int result = c->commit_error ? c->commit_error : req->result;
  GList *link;

  c->committing = false;
  g_queue_init (&c->covered);
  if (c->commit_error)
    while ((link = g_queue_pop_head_link (&c->waiting)))
      g_queue_push_tail_link (&covered, link);
  c->commit_error = 0;
  if (result == 0) {
    c->commit_us = lunfs_lane_now_us (c->lane) - c->commit_began_us;
    c->synced = c->commit_written;
    set_all (c, LUNFS_PAGE_COMMITTING, LUNFS_PAGE_CLEAN);
    lunfs_ranges_stable (&c->ranges);
  } else {
    set_all (c, LUNFS_PAGE_COMMITTING, LUNFS_PAGE_UNSTABLE);
  }
  lunfs_cache_count (c);
  if (c->waiting.length)
    lunfs_cache_start_commit (c);
  while ((link = g_queue_pop_head_link (&covered)))
    lunfs_cache_give_back (link->data, result ? result : flushed (c, link->data));
  if (something_kept (c) && !c->age.slot)
    lunfs_lane_arm (c->lane, &c->age, COMMIT_AGE_US);
  if (result < 0 && c->pages.user.kept_bytes >= lunfs_frames_may_keep (c->conf.frames, &c->pages.user))
    lunfs_cache_fail_held (c, result); /* memory is full of what the target does not make stable: no more of it */
  lunfs_cache_release_held (c);
  lunfs_cache_kick (c);
}

/* Whoever waits longest for this commit: its limits are the commit's. */
static int64_t
oldest_us (const LunfsCache *c)
{
  const GQueue *queues[] = { &c->covered, &c->held };
  int64_t us = lunfs_lane_now_us (c->lane);

  for (unsigned i = 0; i < G_N_ELEMENTS (queues); i++)
    for (GList *l = queues[i]->head; l; l = l->next)
      us = MIN (us, ((const LunfsRequest *) l->data)->submit_us);
  return us;
}

void
lunfs_cache_cover_all (LunfsCache *c)
{
  c->commit_written = c->written;
  lunfs_ranges_cover (&c->ranges);
  set_all (c, LUNFS_PAGE_UNSTABLE, LUNFS_PAGE_COMMITTING);
}

void
lunfs_cache_start_commit (LunfsCache *c)
{
  if (c->committing)
    return;
  c->committing = true;
  c->commit_began_us = lunfs_lane_now_us (c->lane);
  c->covered = c->waiting;
  g_queue_init (&c->waiting);
  lunfs_cache_cover_all (c);
  c->commit.op = LUNFS_OP_FLUSH;
  c->commit.flags = 0;
  c->commit.offset = c->commit.length = 0;
  c->commit.iov = NULL;
  c->commit.niov = 0;
  c->commit.done = commit_done;
  c->commit.owner = c;
  c->commit.submit_us = oldest_us (c);
  c->lower->ops->submit (c->lower, &c->commit);
}

void
lunfs_cache_wait_for_commit (LunfsCache *c, LunfsRequest *req)
{
  g_queue_push_tail_link (&c->waiting, &req->link);
  lunfs_cache_start_commit (c);
}

/* Where a commit is quick, it comes early: what is kept then stays in few, warm pages.  Rarely enough that it takes some
 * percent of the time it takes to write so much at 1 GB/s. */
static uint64_t
early_bytes (const LunfsCache *c)
{
  return c->commit_us ? MAX ((uint64_t) c->commit_us * EARLY_BYTES_PER_US, EARLY_MIN_BYTES) : UINT64_MAX;
}

void
lunfs_cache_consider_commit (LunfsCache *c)
{
  uint64_t bytes = unstable_pages (c) * LUNFS_PAGE_BYTES;

  if (!something_kept (c))
    return;
  if (!c->age.slot)
    lunfs_lane_arm (c->lane, &c->age, COMMIT_AGE_US);
  if (bytes >= early_bytes (c) || bytes >= lunfs_frames_may_keep (c->conf.frames, &c->pages.user) / 2
      || lunfs_ranges_count (&c->ranges) > COMMIT_RANGES)
    lunfs_cache_start_commit (c);
}

static void
age_fired (LunfsTimer *timer)
{
  LunfsCache *c = (LunfsCache *) ((char *) timer - offsetof (LunfsCache, age));

  if (something_kept (c))
    lunfs_cache_start_commit (c);
}

/* ---- drain ---- */

/* What has not been written goes with what comes now: the next drain waits for both. */
static void
renew_all (LunfsCache *c)
{
  LunfsPages *t = &c->pages;

  for (uint32_t b = 0; b < t->nbuckets; b++)
    for (uint32_t i = t->bucket[b]; i != LUNFS_NO_PAGE; i = lunfs_page (t, i)->chained)
      lunfs_pages_renew (t, i);
  for (GList *l = c->sends.head; l; l = l->next) {
    const LunfsSend *s = l->data;

    for (unsigned k = 0; k < s->npages; k++)
      lunfs_pages_renew (t, s->page[k]);
  }
}

static void
end_drain (LunfsCache *c, int error)
{
  GQueue queue = c->draining;
  GList *link;

  c->drain = c->drain_fua = false;
  if (error)
    renew_all (c);
  g_queue_init (&c->draining);
  while ((link = g_queue_pop_head_link (&queue))) {
    LunfsRequest *req = link->data;

    if (error)
      lunfs_cache_give_back (req, error);
    else if (req->op == LUNFS_OP_EXTENT)
      lunfs_cache_pass (c, req);
    else if (is_committed (c))
      lunfs_cache_finish_later (c, req, flushed (c, req));
    else
      g_queue_push_tail_link (&c->waiting, link);
  }
  if (c->waiting.length)
    lunfs_cache_start_commit (c);
}

static bool
is_drained (const LunfsCache *c)
{
  const LunfsRangeDue *due = lunfs_ranges_oldest_due (&c->ranges);

  return c->pages.pending[!(c->pages.generation & 1)] == 0 /* the generation before the present one */
         && (!due || due->seq > c->drain_seq);
}

/* So little, and nothing else to be made stable: one round trip instead of two. */
static bool
goes_with_fua (const LunfsCache *c)
{
  return c->wce && c->dpofua && is_committed (c) && c->sends.length == 0 && lunfs_ranges_count_due (&c->ranges) == 0
         && lunfs_pages_pending (&c->pages) <= FUA_PAGES;
}

static void
begin_drain (LunfsCache *c)
{
  if (c->drain || c->wanting.length == 0)
    return;
  c->draining = c->wanting;
  g_queue_init (&c->wanting);
  c->drain = true;
  c->pages.generation++;
  c->drain_seq = c->pages.seq;
  c->retry_now = true;
  c->drain_fua = goes_with_fua (c);
  if (is_drained (c))
    lunfs_cache_drained (c, 0);
  else
    lunfs_cache_kick (c);
}

void
lunfs_cache_drained (LunfsCache *c, int error)
{
  while (c->drain && (error || is_drained (c))) {
    end_drain (c, error);
    error = 0;
    begin_drain (c);
  }
}

void
lunfs_cache_flush (LunfsCache *c, LunfsRequest *req)
{
  if (lunfs_pages_pending (&c->pages) > 0 || lunfs_ranges_count_due (&c->ranges) > 0) {
    if (lunfs_cache_refuses (c)) {
      lunfs_cache_finish_later (c, req, -EIO);
      return;
    }
    lunfs_cache_wait (c, &c->wanting, req);
    begin_drain (c);
  } else if (req->op == LUNFS_OP_EXTENT) {
    lunfs_cache_pass (c, req);
  } else if (is_committed (c)) {
    lunfs_cache_finish_later (c, req, flushed (c, req));
  } else {
    lunfs_cache_wait_for_commit (c, req);
  }
}

/* ---- life ---- */

void
lunfs_cache_commit_init (LunfsCache *c)
{
  lunfs_request_init (&c->commit);
  c->age.fire = age_fired;
}

void
lunfs_cache_commit_clear (LunfsCache *c)
{
  lunfs_lane_cancel (c->lane, &c->age);
}

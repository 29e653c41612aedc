/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/cache.h"

#include "cache/unstable.h"
#include "lunfs/log.h"

#include <errno.h>

#define COMMIT_AGE_US 5000000 /* as ext4's commit interval: what nobody syncs is stable after this */
#define COMMIT_ENTRIES 16384
#define EARLY_MIN_BYTES (UINT64_C (4) << 20)
#define EARLY_BYTES_PER_US 50000
#define ADOPT_BYTES (LUNFS_CHUNK_BYTES / 2)
#define RECOVERY_WINDOW 16
#define RECOVERY_IOV 18

typedef struct {
  LunfsRequest req;
  LunfsCache *cache;
  bool busy;
  struct iovec iov[RECOVERY_IOV];
} Rewrite;

struct LunfsCache {
  LunfsLayer base;
  LunfsLane *lane;
  LunfsLayer *lower;
  LunfsBudget *budget;
  LunfsStats *stats;
  void (*recovered) (void *user);
  void *user;
  bool wce, dpofua;

  LunfsUnstable *unstable;
  uint64_t charged_bytes; /* to the budget */
  /* Writes completed, and how many of them the last good SYNCHRONIZE CACHE covered. */
  uint64_t written, synced;

  /* commit: one FLUSH to the lower layer at a time */
  LunfsRequest commit;
  bool committing;
  uint64_t commit_written, commit_number;
  int64_t commit_began_us;
  int64_t commit_us; /* how long the last good one took; 0 = none yet */
  GQueue covered;    /* answered when the commit under way ends */
  GQueue waiting;    /* need the next one */
  GQueue held;       /* writes that wait for memory */
  GQueue finished;   /* answered without having been sent, at the end of the pass */
  LunfsTimer age;
  LunfsDefer finish;

  /* recovery */
  bool recovering, recovery_failed;
  uint64_t cursor;   /* next entry to write again */
  uint64_t disowned; /* entries up to this one must not be */
  unsigned rewriting;
  int lost_error; /* the last loss's, negative; how many there were is in stats->losses */
  Rewrite rewrite[RECOVERY_WINDOW];
};

static void start_commit (LunfsCache *c);
static void submit_write (LunfsCache *c, LunfsRequest *req);

/* ---- answering ---- */

static void
give_back (LunfsRequest *req, int result)
{
  req->done = req->outer_done;
  req->owner = req->outer_owner;
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

static void
finish_later (LunfsCache *c, LunfsRequest *req, int result)
{
  req->result = result;
  g_queue_push_tail_link (&c->finished, &req->link);
  lunfs_lane_defer (c->lane, &c->finish);
}

/* ---- memory ---- */

static void
count_unstable (LunfsCache *c)
{
  LUNFS_GAUGE (c->stats, unstable_bytes, lunfs_cache_unstable_bytes (c));
  LUNFS_GAUGE (c->stats, unsynced_writes, c->written - c->synced);
}

static void
charge (LunfsCache *c)
{
  uint64_t now = lunfs_unstable_bytes (c->unstable);

  if (now > c->charged_bytes)
    atomic_fetch_add (&c->budget->used_bytes, now - c->charged_bytes);
  else if (now < c->charged_bytes)
    atomic_fetch_sub (&c->budget->used_bytes, c->charged_bytes - now);
  c->charged_bytes = now;
  count_unstable (c);
}

static bool
over_limit (const LunfsCache *c, uint64_t limit_bytes)
{
  return c->charged_bytes > 0 && atomic_load (&c->budget->used_bytes) >= limit_bytes;
}

static void
release_held (LunfsCache *c)
{
  GList *link;

  while (!over_limit (c, c->budget->limit_bytes) && (link = g_queue_pop_head_link (&c->held)))
    submit_write (c, link->data);
}

/* Memory is full of what the target does not make stable: no more of it. */
static void
fail_held (LunfsCache *c, int result)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&c->held)))
    give_back (link->data, result);
}

static uint64_t
nentries (const LunfsCache *c)
{
  return lunfs_unstable_last (c->unstable) + 1 - lunfs_unstable_first (c->unstable);
}

/* ---- commit ---- */

static void
lose (LunfsCache *c, int error)
{
  c->lost_error = error;
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
  return c->lost_error;
}

static void
commit_done (LunfsRequest *req)
{
  LunfsCache *c = req->owner;
  GQueue covered = c->covered;
  int result = req->result;
  GList *link;

  c->committing = false;
  g_queue_init (&c->covered);
  if (result == 0) {
    c->commit_us = lunfs_lane_now_us (c->lane) - c->commit_began_us;
    c->synced = c->commit_written;
    lunfs_unstable_drop (c->unstable, c->commit_number);
    charge (c);
  }
  if (c->waiting.length)
    start_commit (c);
  while ((link = g_queue_pop_head_link (&covered)))
    give_back (link->data, result ? result : flushed (c, link->data));
  if (nentries (c) > 0 && !c->age.slot)
    lunfs_lane_arm (c->lane, &c->age, COMMIT_AGE_US);
  if (req->result < 0)
    fail_held (c, req->result);
  release_held (c);
  if (c->held.length)
    start_commit (c);
}

/* Whoever waits longest for this commit: its limits are the commit's. */
static int64_t
oldest_us (const LunfsCache *c)
{
  int64_t us = lunfs_lane_now_us (c->lane);

  for (GList *l = c->covered.head; l; l = l->next)
    us = MIN (us, ((const LunfsRequest *) l->data)->submit_us);
  for (GList *l = c->held.head; l; l = l->next)
    us = MIN (us, ((const LunfsRequest *) l->data)->submit_us);
  return us;
}

static void
start_commit (LunfsCache *c)
{
  if (c->committing)
    return;
  c->committing = true;
  c->commit_began_us = lunfs_lane_now_us (c->lane);
  c->covered = c->waiting;
  g_queue_init (&c->waiting);
  c->commit_written = c->written;
  c->commit_number = lunfs_unstable_last (c->unstable);
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

static void
age_fired (LunfsTimer *timer)
{
  LunfsCache *c = (LunfsCache *) ((char *) timer - offsetof (LunfsCache, age));

  if (nentries (c) > 0)
    start_commit (c);
}

static void
wait_for_commit (LunfsCache *c, LunfsRequest *req)
{
  g_queue_push_tail_link (&c->waiting, &req->link);
  start_commit (c);
}

/* ---- writes ---- */

/* Where a commit is quick, it comes early: what is kept then stays in few, warm pages.  Rarely enough that it takes some
 * percent of the time it takes to write so much at 1 GB/s. */
static uint64_t
early_bytes (const LunfsCache *c)
{
  return c->commit_us ? MAX ((uint64_t) c->commit_us * EARLY_BYTES_PER_US, EARLY_MIN_BYTES) : UINT64_MAX;
}

/* Large writes hand their memory over; small ones are packed together: a chunk each would be a waste. */
static uint64_t
remember (LunfsCache *c, LunfsRequest *req)
{
  uint64_t number;

  /* FUA stays with the entry: an older one that is written again must not be what a loss of power leaves. */
  if (req->op != LUNFS_OP_WRITE || req->nchunks == 0 || req->length < ADOPT_BYTES || (req->flags & LUNFS_REQ_FUA))
    return lunfs_unstable_append (c->unstable, req->op, req->flags & (LUNFS_REQ_UNMAP | LUNFS_REQ_FUA), req->offset,
                                  req->length, req->iov, req->niov);
  number = lunfs_unstable_adopt (c->unstable, req->offset, req->length, req->chunks, req->nchunks);
  req->nchunks = 0;
  return number;
}

/* Returns true if @req may be answered now. */
static bool
keep (LunfsCache *c, LunfsRequest *req)
{
  bool fua = req->flags & LUNFS_REQ_FUA;

  c->written++;
  if (fua && c->dpofua && nentries (c) == 0) { /* stable, and nothing older that a rewrite could bring back */
    c->written--;
    return true;
  }
  if (remember (c, req) == 0) { /* no memory to keep it: stable before it is acknowledged */
    fua = true;
    req->flags |= LUNFS_REQ_UNKEPT;
  } else if (fua && c->dpofua) {
    fua = false;
  }
  charge (c);
  if (!c->age.slot)
    lunfs_lane_arm (c->lane, &c->age, COMMIT_AGE_US);
  if (c->charged_bytes >= early_bytes (c) || over_limit (c, c->budget->limit_bytes / 2)
      || nentries (c) > COMMIT_ENTRIES)
    start_commit (c);
  return !fua;
}

static void
write_done (LunfsRequest *req)
{
  LunfsCache *c = req->owner;

  if (req->result == 0 && c->wce && !keep (c, req)) {
    wait_for_commit (c, req);
    return;
  }
  give_back (req, req->result);
}

static void
submit_write (LunfsCache *c, LunfsRequest *req)
{
  req->done = write_done;
  req->owner = c;
  c->lower->ops->submit (c->lower, req);
}

static void
submit (LunfsLayer *layer, LunfsRequest *req)
{
  LunfsCache *c = (LunfsCache *) layer;

  req->link.data = req;
  req->outer_done = req->done;
  req->outer_owner = req->owner;
  switch (req->op) {
  case LUNFS_OP_WRITE:
  case LUNFS_OP_DISCARD:
  case LUNFS_OP_ZERO:
    if (c->wce && (over_limit (c, c->budget->limit_bytes) || c->held.length)) {
      g_queue_push_tail_link (&c->held, &req->link);
      start_commit (c);
    } else {
      submit_write (c, req);
    }
    break;
  case LUNFS_OP_FLUSH:
    if (c->written == c->synced || (!c->wce && nentries (c) == 0))
      finish_later (c, req, flushed (c, req));
    else
      wait_for_commit (c, req);
    break;
  default:
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

/* What waits here for a commit has been written, or is a FLUSH: the commit goes on without it. */
static bool
cancel (LunfsLayer *layer, LunfsRequest *req, bool dying)
{
  LunfsCache *c = (LunfsCache *) layer;
  GQueue *queues[] = { &c->held, &c->waiting, &c->covered };

  for (unsigned i = 0; i < G_N_ELEMENTS (queues); i++) {
    if (!g_queue_find (queues[i], req))
      continue;
    if (!stalled (layer) || (req->op != LUNFS_OP_FLUSH && queues[i] != &c->held && !dying))
      return false;
    g_queue_unlink (queues[i], &req->link);
    req->done = req->outer_done;
    req->owner = req->outer_owner;
    finish_later (c, req, -EINTR);
    return true;
  }
  return c->lower->ops->cancel (c->lower, req, dying);
}

static const LunfsLayerOps ops = { .submit = submit, .cancel = cancel, .stalled = stalled };

/* ---- recovery ---- */

static bool
overlaps (const LunfsUnstableEntry *e, const LunfsRequest *r)
{
  return e->offset < r->offset + r->length && r->offset < e->offset + e->length;
}

static Rewrite *
free_rewrite (LunfsCache *c, const LunfsUnstableEntry *entry)
{
  Rewrite *found = NULL;

  for (unsigned i = 0; i < RECOVERY_WINDOW; i++) {
    Rewrite *w = &c->rewrite[i];

    if (!w->busy)
      found = w;
    else if (overlaps (entry, &w->req))
      return NULL; /* the older one first */
  }
  return found;
}

static void
drop_disowned (LunfsCache *c)
{
  if (lunfs_unstable_first (c->unstable) > c->disowned)
    return;
  lunfs_error ("%" G_GUINT64_FORMAT " writes that the target had not synchronised are not repeated after this login: "
               "another initiator has reserved the LUN since",
               c->disowned + 1 - lunfs_unstable_first (c->unstable));
  lunfs_unstable_drop (c->unstable, c->disowned);
  lose (c, -EIO);
  charge (c);
}

static void
recovery_ended (LunfsCache *c)
{
  c->recovering = false;
  if (c->recovery_failed)
    return; /* the session is down again: lunfs_cache_up comes again */
  drop_disowned (c);
  if (!c->wce) { /* written through */
    c->synced = c->written;
    lunfs_unstable_drop (c->unstable, lunfs_unstable_last (c->unstable));
    charge (c);
  }
  c->recovered (c->user);
}

static void
rewrite_some (LunfsCache *c)
{
  while (!c->recovery_failed && c->cursor <= lunfs_unstable_last (c->unstable)) {
    const LunfsUnstableEntry *entry = lunfs_unstable_entry (c->unstable, c->cursor);
    Rewrite *w = free_rewrite (c, entry);

    if (!w)
      return;
    w->busy = true;
    w->req.op = entry->op;
    w->req.flags = LUNFS_REQ_RECOVERY | entry->flags;
    w->req.offset = entry->offset;
    w->req.length = entry->length;
    w->req.iov = w->iov;
    w->req.niov = entry->op == LUNFS_OP_WRITE ? lunfs_unstable_data (c->unstable, entry, w->iov, RECOVERY_IOV) : 0;
    w->req.submit_us = lunfs_lane_now_us (c->lane);
    c->cursor++;
    c->rewriting++;
    LUNFS_COUNT (c->stats, rewritten, 1);
    c->lower->ops->submit (c->lower, &w->req);
  }
  if (c->rewriting == 0)
    recovery_ended (c);
}

static void
rewrite_done (LunfsRequest *req)
{
  Rewrite *w = req->owner;
  LunfsCache *c = w->cache;

  w->busy = false;
  c->rewriting--;
  if (req->result == -EINTR) {
    ; /* disowned before it was sent */
  } else if (req->result == -ECANCELED) {
    c->recovery_failed = true;
  } else if (req->result < 0) {
    /* Acknowledged, and the target does not take it any more: said by the next fsync, never silently. */
    lunfs_error ("data of %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
                 " could not be written again after a login: %s",
                 req->length, req->offset, g_strerror (-req->result));
    lose (c, req->result);
  }
  rewrite_some (c);
}

/* Writes done before this login that nobody keeps and no commit covers yet: the login may have undone them. */
static void
redo_unkept (LunfsCache *c, GQueue *queue)
{
  for (GList *l = queue->head, *next; l; l = next) {
    LunfsRequest *req = l->data;

    next = l->next;
    if (!(req->flags & LUNFS_REQ_UNKEPT))
      continue;
    req->flags &= ~LUNFS_REQ_UNKEPT;
    g_queue_unlink (queue, l);
    submit_write (c, req); /* waits in the session until all is written again */
  }
}

void
lunfs_cache_disown (LunfsCache *c)
{
  c->disowned = lunfs_unstable_last (c->unstable);
  if (c->recovering && c->cursor <= c->disowned)
    c->cursor = c->disowned + 1; /* in the middle of writing it again: no further; recovery_ended drops it */
  for (unsigned i = 0; i < RECOVERY_WINDOW; i++)
    if (c->rewrite[i].busy)
      c->lower->ops->cancel (c->lower, &c->rewrite[i].req, true);
}

void
lunfs_cache_up (LunfsCache *c, const LunfsLunInfo *info)
{
  c->wce = info->modes.wce;
  c->dpofua = info->modes.dpofua;
  g_assert (c->rewriting == 0); /* the session gave all of an earlier recovery back before it logged in again */
  c->recovery_failed = false;
  if (info->shrunk_from_nblocks) { /* nothing is written to it: kept until it has its size again */
    c->recovered (c->user);
    return;
  }
  drop_disowned (c);
  c->cursor = lunfs_unstable_first (c->unstable);
  c->recovering = true;
  redo_unkept (c, &c->waiting);
  redo_unkept (c, &c->covered);
  rewrite_some (c);
}

void
lunfs_cache_assume_written (LunfsCache *c)
{
  c->written++;
  count_unstable (c);
}

void
lunfs_cache_lost (LunfsCache *c, int err)
{
  if (nentries (c) == 0)
    lose (c, -err);
}

uint64_t
lunfs_cache_unstable_bytes (const LunfsCache *c)
{
  return c->written > c->synced ? lunfs_unstable_bytes (c->unstable) : 0;
}

/* ---- life ---- */

LunfsCache *
lunfs_cache_new (LunfsLane *lane, LunfsLayer *lower, LunfsPool *pool, LunfsBudget *budget, LunfsStats *stats,
                 void (*recovered) (void *user), void *user)
{
  LunfsCache *c = g_new0 (LunfsCache, 1);

  c->base.ops = &ops;
  c->lane = lane;
  c->lower = lower;
  c->budget = budget;
  c->stats = stats;
  c->recovered = recovered;
  c->user = user;
  c->wce = true; /* until we know better */
  c->unstable = lunfs_unstable_new (pool);
  c->age.fire = age_fired;
  c->finish.run = finish_run;
  lunfs_request_init (&c->commit);
  for (unsigned i = 0; i < RECOVERY_WINDOW; i++) {
    lunfs_request_init (&c->rewrite[i].req);
    c->rewrite[i].req.done = rewrite_done;
    c->rewrite[i].req.owner = &c->rewrite[i];
    c->rewrite[i].cache = c;
  }
  return c;
}

void
lunfs_cache_free (LunfsCache *c)
{
  if (!c)
    return;
  lunfs_lane_cancel (c->lane, &c->age);
  lunfs_lane_undefer (c->lane, &c->finish);
  lunfs_unstable_free (c->unstable);
  atomic_fetch_sub (&c->budget->used_bytes, c->charged_bytes);
  g_free (c);
}

LunfsLayer *
lunfs_cache_layer (LunfsCache *c)
{
  return &c->base;
}

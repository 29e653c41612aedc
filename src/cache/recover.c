/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a login: everything that is not stable is written again, discards and zeroes first, in their order, then the pages,
 * which are all newer than what of the ranges they lie in.  Until that has ended the session serves nobody else. */
#include "config.h"

#include "cache/cache-private.h"

#include "lunfs/log.h"

#include <errno.h>

/* ---- what must not be written again ---- */

/* Pages in @list that another initiator may have written over since.  Returns how many. */
static unsigned
drop_from (LunfsCache *c, LunfsPageList *list)
{
  unsigned n = 0;

  for (uint32_t i = list->head, next; i != LUNFS_NO_PAGE; i = next) {
    next = lunfs_page (&c->pages, i)->next;
    if (!lunfs_page_disowned (&c->pages, i))
      continue;
    lunfs_pages_drop (&c->pages, i);
    n++;
  }
  return n;
}

static void
say_disowned (LunfsCache *c, unsigned n)
{
  if (n == 0)
    return;
  lunfs_error (
      "%s: %u KiB that the target had not synchronised are not written again: another initiator has reserved the LUN "
      "since",
      c->conf.label, n * (LUNFS_PAGE_BYTES / 1024));
  lunfs_cache_lose (c, -EIO);
  lunfs_cache_count (c);
}

/* Those that are due; what is at the target just now is settled when it ends. */
static unsigned
give_up_ranges (LunfsCache *c)
{
  unsigned n = 0;

  for (GList *l = c->ranges.due.head, *next; l; l = next) {
    LunfsRangeDue *due = l->data;

    next = l->next;
    if (due->seq > c->pages.disowned_seq || due->sending)
      continue;
    lunfs_ranges_give_up (&c->ranges, due);
    n++;
  }
  return n;
}

static void
say_disowned_ranges (LunfsCache *c, unsigned n)
{
  if (n == 0)
    return;
  lunfs_error (
      "%s: %u discards or zeroes that the target had not synchronised are not done again: another initiator has "
      "reserved the LUN since",
      c->conf.label, n);
  lunfs_cache_lose (c, -EIO);
}

static void
drop_disowned_ranges (LunfsCache *c)
{
  unsigned n = lunfs_ranges_count (&c->ranges);

  lunfs_ranges_drop (&c->ranges, c->pages.disowned_seq);
  say_disowned_ranges (c, n - lunfs_ranges_count (&c->ranges) + give_up_ranges (c));
}

static void
drop_disowned (LunfsCache *c)
{
  LunfsPages *t = &c->pages;
  unsigned n = drop_from (c, &t->list[LUNFS_PAGE_UNSTABLE]) + drop_from (c, &t->list[LUNFS_PAGE_COMMITTING])
               + drop_from (c, &t->recover) + drop_from (c, &t->list[LUNFS_PAGE_DIRTY]);

  drop_disowned_ranges (c);
  say_disowned (c, n);
}

void
lunfs_cache_disown_page (LunfsCache *c, uint64_t number, uint8_t mask)
{
  uint32_t i = c->pages.disowned_seq ? lunfs_pages_find (&c->pages, number) : LUNFS_NO_PAGE;
  const LunfsPage *p;

  if (i == LUNFS_NO_PAGE)
    return;
  p = lunfs_page (&c->pages, i);
  if ((p->state != LUNFS_PAGE_UNSTABLE && p->state != LUNFS_PAGE_COMMITTING) || !lunfs_page_disowned (&c->pages, i)
      || (p->kept & ~mask) == 0)
    return;
  lunfs_pages_forget (&c->pages, i, p->kept);
  say_disowned (c, 1);
}

void
lunfs_cache_disown (LunfsCache *c)
{
  LunfsPages *t = &c->pages;
  unsigned n;

  /* A successor must know it before anything else is done. */
  __atomic_store_n (&t->arena->luns[t->lun].disowned_seq, t->seq, __ATOMIC_RELEASE);
  t->disowned_seq = t->seq;
  c->range_seq = MAX (c->range_seq, c->pages.disowned_seq);
  c->send_error = 0; /* what failed is given up */
  lunfs_pages_retry (t);
  say_disowned_ranges (c, give_up_ranges (c));
  n = drop_from (c, &t->list[LUNFS_PAGE_DIRTY]);
  if (c->recovering)
    n += drop_from (c, &t->recover);
  say_disowned (c, n);
  for (GList *l = c->sends.head, *next; l; l = next) {
    LunfsSend *s = l->data;

    next = l->next;
    c->lower->ops->cancel (c->lower, &s->req, true);
  }
  lunfs_cache_zero_cancel (c);
  lunfs_cache_forget (c);
  lunfs_cache_drained (c, 0);
  lunfs_cache_unblock (c);
}

/* ---- writing again ---- */

static void
recovery_ended (LunfsCache *c)
{
  LunfsPages *t = &c->pages;

  c->recovering = false;
  if (c->recovery_failed)
    return;                /* the session is down again: lunfs_cache_up comes again */
  while (t->recover.n > 0) /* refused: tried again later, like any other */
    lunfs_pages_recovered (t, t->recover.head);
  if (!c->wce) { /* written through */
    c->synced = c->written;
    lunfs_ranges_drop (&c->ranges, t->seq);
  }
  if (c->committing) /* the session has it, and sends nothing of others before recovered() */
    lunfs_cache_cover_all (c);
  lunfs_cache_count (c);
  c->conf.recovered (c->conf.user);
  lunfs_cache_drained (c, 0);
  lunfs_cache_unblock (c);
  lunfs_cache_release_held (c);
  lunfs_cache_kick (c);
}

void
lunfs_cache_recovered_range (LunfsCache *c, const LunfsRequest *req, bool was_done)
{
  if (req->result == -ECANCELED) {
    c->recovery_failed = true;
  } else if (was_done && req->result < 0 && req->result != -EINTR) {
    /* Acknowledged, and the target does not take it any more: said by the next fsync, never silently. */
    lunfs_error ("%s: zeroes of %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
                 " could not be written again after a login: %s",
                 c->conf.label, req->length, req->offset, g_strerror (-req->result));
    lunfs_cache_lose (c, req->result);
  }
  if (req->result == 0 && !c->wce) /* before what was written over it is, and is not kept any longer */
    lunfs_ranges_drop (&c->ranges, c->range_seq);
  lunfs_cache_recover_some (c);
}

void
lunfs_cache_recover_some (LunfsCache *c)
{
  const LunfsArenaRange *range;

  if (!c->recovering || lunfs_cache_zero_busy (c))
    return;
  if (!c->recovery_failed) {
    range = lunfs_ranges_after (&c->ranges, c->range_seq);
    if (range) {
      c->range_seq = range->seq;
      lunfs_cache_zero_again (c, range);
      return;
    }
    lunfs_cache_send_recover (c);
  }
  if (c->recover_sends == 0 && (c->recovery_failed || c->pages.recover.n == 0))
    recovery_ended (c);
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
    lunfs_cache_through (c, req); /* waits in the session until all is written again */
  }
}

static void
recover_list (LunfsCache *c, LunfsPageState state)
{
  while (c->pages.list[state].n > 0)
    lunfs_pages_recover (&c->pages, c->pages.list[state].head);
}

void
lunfs_cache_up (LunfsCache *c, const LunfsLunInfo *info)
{
  /* Given back when the session was lost, or looked again. */
  g_assert (c->sends.length == 0 && !lunfs_cache_zero_busy (c));
  c->wce = info->modes.wce;
  c->dpofua = info->modes.dpofua;
  lunfs_cache_set_size (c, MAX (info->capacity.nblocks, info->shrunk_from_nblocks), info->capacity.block_size,
                        info->limits.max_transfer_blocks);
  lunfs_cache_forget (c);
  c->recovery_failed = c->refused = false;
  c->through_old = c->through;
  c->era++;
  c->fenced = info->shrunk_from_nblocks != 0;
  c->send_error = 0;
  c->zeroes = 0;
  lunfs_pages_retry (&c->pages);
  lunfs_ranges_retry (&c->ranges);
  if (c->fenced) { /* nothing is written to it: kept until it has its size again */
    c->conf.recovered (c->conf.user);
    lunfs_cache_kick (c); /* whoever waits for it gets EIO */
    return;
  }
  drop_disowned (c);
  recover_list (c, LUNFS_PAGE_COMMITTING);
  recover_list (c, LUNFS_PAGE_UNSTABLE);
  /* Also what is only dirty: its page may have been unstable, and a flush may wait for what it was then; and the session may
   * have requests for blocks of it that are younger than one part of it and older than the other. */
  recover_list (c, LUNFS_PAGE_DIRTY);
  c->range_seq = 0;
  c->recovering = true;
  redo_unkept (c, &c->waiting);
  redo_unkept (c, &c->covered);
  lunfs_cache_recover_some (c);
}

void
lunfs_cache_lost (LunfsCache *c, int err)
{
  if (c->pages.user.kept_bytes == 0 && lunfs_ranges_count (&c->ranges) == 0)
    lunfs_cache_lose (c, -err);
}

void
lunfs_cache_inherit (LunfsCache *c, uint64_t nblocks, uint32_t block_size)
{
  const LunfsArenaLun *record = &c->pages.arena->luns[c->conf.lun];
  uint64_t seq = lunfs_ranges_restore (&c->ranges);
  unsigned n;

  lunfs_cache_set_size (c, nblocks, block_size, 0);
  n = lunfs_pages_restore (&c->pages);
  c->pages.disowned_seq = record->disowned_seq;
  c->pages.seq = MAX (MAX (c->pages.seq, seq), record->disowned_seq);
  if (record->lost_errno)
    lunfs_cache_lose (c, -(int) record->lost_errno);
  c->written++;
  if (n)
    lunfs_notice ("%s: %u KiB of written data taken over from the last worker", c->conf.label,
                  n * (LUNFS_PAGE_BYTES / 1024));
  lunfs_cache_count (c);
}

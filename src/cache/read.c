/* SPDX-License-Identifier: GPL-2.0-or-later */
/* READs.  A user's READ takes what is in the table, has what is missing fetched (fill.c), and waits for what others fetch
 * already; when all it waits for has come it looks again.  Read-ahead is fetched for nobody yet. */
#include "config.h"

#include "cache/read-private.h"

#include "util/iov.h"
#include "util/zeroes.h"

#include <errno.h>
#include <string.h>

#define LARGE_BYTES (256u << 10)
#define AHEAD_RANGES 8
#define AHEAD_LIMIT_BYTES (UINT64_C (32) << 20) /* being fetched ahead at once */

static void walk (LunfsCache *c, LunfsReader *r);

/* ---- what a user gets ---- */

static bool
has (const LunfsCache *c, uint32_t i, uint8_t mask)
{
  return i != LUNFS_NO_PAGE && (lunfs_page (&c->pages, i)->valid & mask) == mask;
}

static bool
is_stream (const LunfsCache *c, const LunfsRequest *req, uint32_t i)
{
  return (lunfs_page (&c->pages, i)->flags & LUNFS_PAGE_AHEAD) || req->length >= LARGE_BYTES;
}

/* All of @req from the table, without a copy if it may be.  False: something is missing, and nothing was done. */
static bool
serve (LunfsCache *c, LunfsRequest *req)
{
  uint64_t first = req->offset / LUNFS_PAGE_BYTES, end = (req->offset + req->length - 1) / LUNFS_PAGE_BYTES + 1;
  struct iovec iov[LUNFS_REQUEST_IOV];
  unsigned niov = 0, max = req->flags & LUNFS_REQ_LEND ? MIN (req->niov, LUNFS_REQUEST_IOV) : 0;
  uint32_t page[LUNFS_CACHE_READ_PAGES];

  for (uint64_t n = first; n < end; n++) {
    LunfsPart part = lunfs_part_of (c, req, n);
    uint32_t i = page[n - first] = lunfs_pages_find (&c->pages, n);

    if (!has (c, i, part.mask))
      return false;
    if (max && !lunfs_iov_append (iov, &niov, max, lunfs_page_data (&c->pages, i) + part.skip, part.length))
      max = 0;
  }
  for (uint64_t n = first; n < end; n++) {
    uint32_t i = page[n - first];

    if (!max) {
      LunfsPart part = lunfs_part_of (c, req, n);

      lunfs_iov_put (req->iov, req->niov, part.offset - req->offset, lunfs_page_data (&c->pages, i) + part.skip,
                     part.length);
    }
    lunfs_pages_touch (&c->pages, i, is_stream (c, req, i));
  }
  if (max) {
    memcpy (req->iov, iov, niov * sizeof *iov);
    req->niov = niov;
  }
  return true;
}

void
lunfs_reader_copy (LunfsCache *c, LunfsReader *r, uint64_t number, uint32_t i)
{
  LunfsPart part = lunfs_part_of (c, r->req, number);

  lunfs_iov_put (r->req->iov, r->req->niov, part.offset - r->req->offset, lunfs_page_data (&c->pages, i) + part.skip,
                 part.length);
  lunfs_pages_touch (&c->pages, i, is_stream (c, r->req, i));
  lunfs_reader_set_done (r, number);
}

static void
copy_zeroes (LunfsCache *c, LunfsReader *r, uint64_t number, uint8_t zeroes)
{
  LunfsPart part = lunfs_part_of (c, r->req, number);
  uint32_t bs = c->pages.block_size;

  for (uint64_t at = part.offset; at < part.offset + part.length; at += bs)
    if (zeroes >> (at % LUNFS_PAGE_BYTES / bs) & 1)
      lunfs_iov_put (r->req->iov, r->req->niov, at - r->req->offset, lunfs_zeroes, bs);
}

/* From memory, page @i or none, and from what is known to be zeroes.  False: something is missing, and nothing was done. */
static bool
take_page (LunfsCache *c, LunfsReader *r, uint64_t number, uint32_t i)
{
  uint8_t zeroes = lunfs_zeroes_of (c, number, i), mask = lunfs_part_of (c, r->req, number).mask & (uint8_t) ~zeroes;

  if (mask && !has (c, i, mask))
    return false;
  if (i != LUNFS_NO_PAGE)
    lunfs_reader_copy (c, r, number, i);
  copy_zeroes (c, r, number, zeroes);
  lunfs_reader_set_done (r, number);
  return true;
}

/* ---- readers ---- */

static LunfsReader *
reader_new (LunfsCache *c, LunfsRequest *req)
{
  GList *link = g_queue_pop_head_link (&c->free_readers);
  LunfsReader *r = link ? link->data : g_new0 (LunfsReader, 1);

  memset (r->done, 0, sizeof r->done);
  r->link.data = r;
  r->req = req;
  r->waiting = 0;
  r->error = 0;
  r->walking = r->exact = false;
  r->first = req->offset / LUNFS_PAGE_BYTES;
  r->npages = (unsigned) ((req->offset + req->length - 1) / LUNFS_PAGE_BYTES + 1 - r->first);
  g_queue_push_tail_link (&c->readers, &r->link);
  return r;
}

static void
reader_end (LunfsCache *c, LunfsReader *r, int result)
{
  LunfsRequest *req = r->req;

  g_queue_unlink (&c->readers, &r->link);
  g_queue_push_head_link (&c->free_readers, &r->link);
  if (req)
    lunfs_cache_give_back (req, result);
}

static bool
nothing_copied (const LunfsReader *r)
{
  for (unsigned k = 0; k < G_N_ELEMENTS (r->done); k++)
    if (r->done[k])
      return false;
  return true;
}

void
lunfs_reader_ready (LunfsCache *c, LunfsReader *r)
{
  if (r->waiting > 0 || r->walking)
    return;
  if (r->error || !r->req)
    reader_end (c, r, r->error);
  else if (nothing_copied (r) && serve (c, r->req))
    reader_end (c, r, 0);
  else
    walk (c, r);
}

/* ---- a user's READ ---- */

static bool
is_joined (const LunfsFill *f, const LunfsReader *r)
{
  return f->reader == r || g_slist_find (f->joined, (gpointer) r);
}

/* How many pages from @number on are neither there nor being fetched. */
static uint64_t
missing_end (LunfsCache *c, const LunfsReader *r, uint64_t number)
{
  for (uint64_t end = r->first + r->npages; number < end; number++) {
    uint32_t i = lunfs_pages_find (&c->pages, number);

    if (lunfs_reader_is_done (r, number) || has (c, i, lunfs_part_of (c, r->req, number).mask)
        || lunfs_zeroes_of (c, number, i) || (i != LUNFS_NO_PAGE && lunfs_page (&c->pages, i)->fill))
      break;
  }
  return number;
}

static void
walk (LunfsCache *c, LunfsReader *r)
{
  uint64_t end = r->first + r->npages;

  r->walking = true;
  for (uint64_t n = r->first, next; n < end; n = next) {
    uint32_t i = lunfs_pages_find (&c->pages, n);
    LunfsFill *f = i == LUNFS_NO_PAGE ? NULL : lunfs_page (&c->pages, i)->fill;

    next = n + 1;
    if (lunfs_reader_is_done (r, n))
      continue;
    if (take_page (c, r, n, i))
      continue;
    if (f) {
      if (!is_joined (f, r)) {
        f->joined = g_slist_prepend (f->joined, r);
        r->waiting++;
        lunfs_cache_watch_age (c);
        lunfs_read_ahead_waited (c->ahead, n * LUNFS_PAGE_BYTES);
      }
    } else {
      next = lunfs_cache_fetch (c, r, n, missing_end (c, r, n));
    }
  }
  r->walking = false;
  if (r->waiting > 0)
    return;
  reader_end (c, r, r->error);
}

/* ---- ahead ---- */

/* What of [from, end), pages, is not there yet.  False: not all of it could be asked for. */
static bool
fetch_ahead (LunfsCache *c, uint64_t from, uint64_t end)
{
  while (from < end) {
    uint64_t stop = from, next;

    while (stop < end && lunfs_is_unknown (c, stop))
      stop++;
    if (stop == from) {
      from++;
      continue;
    }
    next = lunfs_cache_fetch (c, NULL, from, stop);
    if (next == from)
      return false;
    LUNFS_COUNT (c->stats, ahead_bytes, (next - from) * LUNFS_PAGE_BYTES);
    from = next;
  }
  return true;
}

static void
read_ahead (LunfsCache *c, uint64_t offset, uint64_t length)
{
  LunfsReadAheadRange range[AHEAD_RANGES];
  unsigned n = lunfs_read_ahead_demand (c->ahead, offset, length, c->size_bytes, range, AHEAD_RANGES);

  for (unsigned k = 0; k < n; k++) {
    uint64_t end = (range[k].offset + range[k].length + LUNFS_PAGE_BYTES - 1) / LUNFS_PAGE_BYTES;

    if (c->ahead_bytes >= AHEAD_LIMIT_BYTES || c->lower->ops->stalled (c->lower)
        || !fetch_ahead (c, range[k].offset / LUNFS_PAGE_BYTES, end)) {
      lunfs_read_ahead_refused (c->ahead, range[k].offset);
      return;
    }
  }
}

static void
wasted (void *user, uint64_t number)
{
  LunfsCache *c = user;

  LUNFS_COUNT (c->stats, ahead_wasted_bytes, LUNFS_PAGE_BYTES);
  lunfs_read_ahead_wasted (c->ahead, number * LUNFS_PAGE_BYTES, LUNFS_PAGE_BYTES);
}

void
lunfs_cache_read (LunfsCache *c, LunfsRequest *req)
{
  uint64_t offset = req->offset, length = req->length; /* req may be gone when it is answered */

  if (serve (c, req)) {
    LUNFS_COUNT (c->stats, cache_hits, 1);
    lunfs_cache_give_back (req, 0);
  } else {
    LUNFS_COUNT (c->stats, cache_misses, 1);
    walk (c, reader_new (c, req));
    LUNFS_GAUGE (c->stats, cached_bytes, atomic_load_explicit (&c->pages.user.bytes, memory_order_relaxed));
  }
  read_ahead (c, offset, length);
}

static LunfsReader *
reader_of (LunfsCache *c, const LunfsRequest *req)
{
  for (GList *l = c->readers.head; l; l = l->next)
    if (((LunfsReader *) l->data)->req == req)
      return l->data;
  return NULL;
}

/* It has fills of its own, which put data into its memory. */
static bool
fetches (const LunfsCache *c, const LunfsReader *r)
{
  for (GList *l = c->fills.head; l; l = l->next)
    if (((LunfsFill *) l->data)->reader == r)
      return true;
  return false;
}

/* One that waits for others only; it goes when what it waits for has come. */
static void
give_up (LunfsCache *c, LunfsReader *r, int result)
{
  lunfs_cache_finish_later (c, r->req, result);
  r->req = NULL;
}

/* Its own fills are given up where that is possible; then it ends with their -EINTR.  One that waits for others only ends
 * at once. */
bool
lunfs_cache_read_cancel (LunfsCache *c, LunfsRequest *req, bool dying)
{
  LunfsReader *r = reader_of (c, req);
  bool own = false, any = false;

  if (!r) /* it has gone on as it is */
    return c->lower->ops->cancel (c->lower, req, dying);
  for (GList *l = c->fills.head, *next; l; l = next) {
    LunfsFill *f = l->data;

    next = l->next;
    if (f->reader != r)
      continue;
    own = true;
    if (c->lower->ops->cancel (c->lower, &f->req, dying))
      any = true;
  }
  if (own || !c->lower->ops->stalled (c->lower))
    return any;
  give_up (c, r, -EINTR);
  return true;
}

/* Who fetches what another one waits for may have come later, and have more time. */
bool
lunfs_cache_expire_readers (LunfsCache *c, int64_t oldest_us)
{
  bool left = false;

  for (GList *l = c->readers.head; l; l = l->next) {
    LunfsReader *r = l->data;

    if (!r->req)
      continue;
    if (r->req->submit_us > oldest_us || fetches (c, r)) {
      left = true;
      continue;
    }
    LUNFS_COUNT (c->stats, timeouts, 1);
    give_up (c, r, -EIO);
  }
  return left;
}

void
lunfs_cache_forget (LunfsCache *c)
{
  lunfs_pages_drop_clean (&c->pages);
  lunfs_read_ahead_reset (c->ahead);
}

void
lunfs_cache_read_init (LunfsCache *c)
{
  c->ahead = lunfs_read_ahead_new (c->conf.read_ahead_bytes, LUNFS_CHUNK_BYTES);
  c->pages.wasted = wasted;
  c->pages.wasted_user = c;
}

void
lunfs_cache_read_clear (LunfsCache *c)
{
  GList *link;

  g_assert (c->readers.length == 0);
  lunfs_cache_fill_clear (c);
  while ((link = g_queue_pop_head_link (&c->free_readers)))
    g_free (link->data);
  lunfs_read_ahead_free (c->ahead);
}

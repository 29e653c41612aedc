/* SPDX-License-Identifier: GPL-2.0-or-later */
/* READs.  A user's READ takes what is in the table, fetches what is missing in READs of its own (fills), and waits for what
 * others fetch already; when all it waits for has come it looks again.  A fill that was made for somebody hands its data to
 * him even if it may not stay in the table any more: he asked before the write that made it out of date was answered. */
#include "config.h"

#include "cache/cache-private.h"

#include "lunfs/log.h"
#include "util/iov.h"
#include "util/zeroes.h"

#include <errno.h>
#include <string.h>

#define BLOCKS_PER_PAGE 8
#define LARGE_BYTES (256u << 10)
#define AHEAD_RANGES 8
#define AHEAD_LIMIT_BYTES (UINT64_C (32) << 20) /* being fetched ahead at once */

static void walk (LunfsCache *c, LunfsReader *r);

/* ---- what a user gets ---- */

typedef struct {
  uint64_t offset;     /* in the LUN */
  size_t length, skip; /* bytes of the page that the user wants, and where they begin in it */
  uint8_t mask;
} Part;

/* Most pages of one command.  A reader may have come when the target took more than it does now. */
static uint64_t
max_pages (const LunfsCache *c)
{
  return MAX (c->max_bytes / LUNFS_PAGE_BYTES, 1);
}

/* What @req wants of page @number. */
static Part
part_of (const LunfsCache *c, const LunfsRequest *req, uint64_t number)
{
  uint64_t start = number * LUNFS_PAGE_BYTES;
  uint64_t from = MAX (start, req->offset), to = MIN (start + LUNFS_PAGE_BYTES, req->offset + req->length);

  return (Part){ from, (size_t) (to - from), (size_t) (from - start),
                 lunfs_pages_mask (&c->pages, number, from, to - from) };
}

/* Blocks of page @number, which is page @i or none, that are zeroes although the target may hold something else. */
static uint8_t
zeroes_of (const LunfsCache *c, uint64_t number, uint32_t i)
{
  uint8_t valid = i == LUNFS_NO_PAGE ? 0 : lunfs_page (&c->pages, i)->valid;

  return lunfs_ranges_count_due (&c->ranges) ? lunfs_cache_zero_mask (c, number) & (uint8_t) ~valid : 0;
}

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
    Part part = part_of (c, req, n);
    uint32_t i = page[n - first] = lunfs_pages_find (&c->pages, n);

    if (!has (c, i, part.mask))
      return false;
    if (max && !lunfs_iov_append (iov, &niov, max, lunfs_page_data (&c->pages, i) + part.skip, part.length))
      max = 0;
  }
  for (uint64_t n = first; n < end; n++) {
    uint32_t i = page[n - first];

    if (!max) {
      Part part = part_of (c, req, n);

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

static bool
is_done (const LunfsReader *r, uint64_t number)
{
  return r->done[(number - r->first) / 64] >> ((number - r->first) % 64) & 1;
}

static void
set_done (LunfsReader *r, uint64_t number)
{
  r->done[(number - r->first) / 64] |= UINT64_C (1) << ((number - r->first) % 64);
}

static void
copy_page (LunfsCache *c, LunfsReader *r, uint64_t number, uint32_t i)
{
  Part part = part_of (c, r->req, number);

  lunfs_iov_put (r->req->iov, r->req->niov, part.offset - r->req->offset, lunfs_page_data (&c->pages, i) + part.skip,
                 part.length);
  lunfs_pages_touch (&c->pages, i, is_stream (c, r->req, i));
  set_done (r, number);
}

static void
copy_zeroes (LunfsCache *c, LunfsReader *r, uint64_t number, uint8_t zeroes)
{
  Part part = part_of (c, r->req, number);
  uint32_t bs = c->pages.block_size;

  for (uint64_t at = part.offset; at < part.offset + part.length; at += bs)
    if (zeroes >> (at % LUNFS_PAGE_BYTES / bs) & 1)
      lunfs_iov_put (r->req->iov, r->req->niov, at - r->req->offset, lunfs_zeroes, bs);
}

/* From memory, page @i or none, and from what is known to be zeroes.  False: something is missing, and nothing was done. */
static bool
take_page (LunfsCache *c, LunfsReader *r, uint64_t number, uint32_t i)
{
  uint8_t zeroes = zeroes_of (c, number, i), mask = part_of (c, r->req, number).mask & (uint8_t) ~zeroes;

  if (mask && !has (c, i, mask))
    return false;
  if (i != LUNFS_NO_PAGE)
    copy_page (c, r, number, i);
  copy_zeroes (c, r, number, zeroes);
  set_done (r, number);
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

/* All it waited for has come. */
static void
reader_ready (LunfsCache *c, LunfsReader *r)
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

/* ---- fills ---- */

static LunfsFill *
fill_new (LunfsCache *c, LunfsReader *r, uint64_t first)
{
  GList *link = g_queue_pop_head_link (&c->free_fills);
  LunfsFill *f = link ? link->data : g_new0 (LunfsFill, 1);

  f->link.data = f;
  f->cache = c;
  f->reader = r;
  f->joined = NULL;
  f->ahead = r == NULL;
  f->first = first;
  f->npages = 0;
  lunfs_request_init (&f->req);
  f->req.op = LUNFS_OP_READ;
  f->req.flags = 0;
  f->req.offset = first * LUNFS_PAGE_BYTES;
  f->req.length = 0;
  f->req.iov = f->iov;
  f->req.niov = 0;
  f->req.chunks = NULL;
  f->req.nchunks = 0;
  return f;
}

static size_t
page_bytes (const LunfsCache *c, uint64_t number)
{
  return (size_t) MIN (LUNFS_PAGE_BYTES, c->size_bytes - number * LUNFS_PAGE_BYTES);
}

/* Some blocks of @number are in page @there: page @i gets these now, since they may be gone when the others come, and what the
 * target sends of them goes nowhere. */
static void
place_beside (LunfsCache *c, LunfsFill *f, uint64_t number, uint32_t there, uint32_t i)
{
  uint8_t valid = lunfs_page (&c->pages, there)->valid;
  uint32_t bs = c->pages.block_size;

  memcpy (lunfs_page_data (&c->pages, i), lunfs_page_data (&c->pages, there), LUNFS_PAGE_BYTES);
  lunfs_pages_loose (&c->pages, i);
  lunfs_page (&c->pages, there)->fill = f;
  for (unsigned b = 0; b * bs < page_bytes (c, number); b++)
    lunfs_iov_append (f->iov, &f->req.niov, LUNFS_REQUEST_IOV,
                      valid >> b & 1 ? c->sink : lunfs_page_data (&c->pages, i) + b * bs, bs);
}

/* Memory for @number of the fill, in the table or beside it. */
static void
place (LunfsCache *c, LunfsFill *f, uint64_t number, uint32_t i)
{
  uint32_t there = lunfs_pages_find (&c->pages, number);

  if (there == LUNFS_NO_PAGE) {
    lunfs_pages_insert (&c->pages, i, number, LUNFS_PAGE_FILLING, 0);
    lunfs_page (&c->pages, i)->fill = f;
    lunfs_iov_append (f->iov, &f->req.niov, LUNFS_REQUEST_IOV, lunfs_page_data (&c->pages, i), page_bytes (c, number));
  } else {
    place_beside (c, f, number, there, i);
  }
  f->req.length += page_bytes (c, number);
  f->page[f->npages] = i;
}

/* Blocks of @number that are there already, or are zeroes, are not fetched over: what the target sends of them goes nowhere. */
static void
place_around (LunfsCache *c, LunfsFill *f, uint64_t number, uint32_t i, uint8_t zeroes)
{
  const LunfsRequest *req = f->reader->req;
  Part part = part_of (c, req, number);
  uint8_t valid = i == LUNFS_NO_PAGE ? 0 : lunfs_page (&c->pages, i)->valid;
  uint32_t bs = c->pages.block_size;

  f->req.offset = part.offset;
  f->req.length = part.length;
  for (uint64_t at = part.offset; at < part.offset + part.length; at += bs) {
    unsigned b = (unsigned) (at % LUNFS_PAGE_BYTES / bs);

    if ((valid | zeroes) >> b & 1) {
      lunfs_iov_put (req->iov, req->niov, at - req->offset,
                     valid >> b & 1 ? lunfs_page_data (&c->pages, i) + b * bs : lunfs_zeroes, bs);
      f->iov[f->req.niov++] = (struct iovec){ c->sink, bs };
    } else {
      f->req.niov += lunfs_iov_slice (req->iov, req->niov, at - req->offset, bs, &f->iov[f->req.niov],
                                      LUNFS_REQUEST_IOV - f->req.niov);
    }
  }
  f->page[f->npages++] = LUNFS_NO_PAGE;
}

/* Nothing of page @number is in memory, or known to be zeroes: what of it is must not come into the table as the target has it. */
static bool
is_unknown (const LunfsCache *c, uint64_t number)
{
  return lunfs_pages_find (&c->pages, number) == LUNFS_NO_PAGE && !zeroes_of (c, number, LUNFS_NO_PAGE);
}

/* The reader's own memory: for pages from @number on of which nothing is in the table, or for one of which some is.  False:
 * there is no reader. */
static bool
place_outside (LunfsCache *c, LunfsFill *f, uint64_t number, uint64_t end)
{
  const LunfsRequest *req = f->reader ? f->reader->req : NULL;
  uint32_t there = lunfs_pages_find (&c->pages, number);
  uint8_t zeroes = zeroes_of (c, number, there);
  uint64_t stop = number;

  if (!req)
    return false;
  if (there != LUNFS_NO_PAGE || zeroes) {
    place_around (c, f, number, there, zeroes);
    return true;
  }
  end = MIN (end, number + max_pages (c));
  while (stop < end && is_unknown (c, stop))
    stop++;
  f->req.offset = MAX (number * LUNFS_PAGE_BYTES, req->offset);
  f->req.length = MIN (stop * LUNFS_PAGE_BYTES, req->offset + req->length) - f->req.offset;
  f->req.niov =
      lunfs_iov_slice (req->iov, req->niov, f->req.offset - req->offset, f->req.length, f->iov, LUNFS_REQUEST_IOV);
  for (; number < stop; number++)
    f->page[f->npages++] = LUNFS_NO_PAGE;
  return true;
}

/* Takes pages from @number on, at most up to before @end, as many as fit one command and there is memory for. */
static void
fill_pages (LunfsCache *c, LunfsFill *f, uint64_t number, uint64_t end)
{
  uint32_t chunk = LUNFS_NO_PAGE;

  end = MIN (end, number + max_pages (c));
  for (; number < end; number++) {
    unsigned k = number % LUNFS_PAGES_PER_CHUNK;
    uint32_t i;

    if (f->req.niov + BLOCKS_PER_PAGE > LUNFS_REQUEST_IOV) { /* too many pieces: the rest of the chunk is not wanted */
      for (; chunk != LUNFS_NO_PAGE && k > 0 && k < LUNFS_PAGES_PER_CHUNK; k++)
        lunfs_pages_give (&c->pages, chunk + k);
      return;
    }
    if (k == 0) {
      chunk = LUNFS_NO_PAGE;
      if (end - number >= LUNFS_PAGES_PER_CHUNK && !lunfs_pages_take_chunk (&c->pages, &chunk))
        chunk = LUNFS_NO_PAGE;
    }
    i = chunk != LUNFS_NO_PAGE ? chunk + k : lunfs_pages_take (&c->pages);
    if (i == LUNFS_NO_PAGE)
      return;
    place (c, f, number, i);
    f->npages++;
  }
}

static void
free_fill (LunfsCache *c, LunfsFill *f)
{
  g_queue_push_head_link (&c->free_fills, &f->link);
}

static void
copy_blocks (LunfsCache *c, uint32_t to, uint32_t from, uint8_t mask)
{
  const LunfsPages *t = &c->pages;

  for (unsigned b = 0; mask >> b; b++)
    if (mask >> b & 1)
      memcpy (lunfs_page_data (t, to) + b * t->block_size, lunfs_page_data (t, from) + b * t->block_size,
              t->block_size);
}

/* A page of a fill that has ended well. */
static void
page_filled (LunfsCache *c, LunfsFill *f, uint64_t number, uint32_t i)
{
  LunfsPages *t = &c->pages;
  uint32_t there = lunfs_pages_find (t, number);
  uint8_t whole = lunfs_pages_whole (t, number);

  if (lunfs_page (t, i)->state == LUNFS_PAGE_FILLING) {
    lunfs_page (t, i)->valid = whole;
    lunfs_page (t, i)->fill = NULL;
    lunfs_pages_set (t, i, LUNFS_PAGE_CLEAN);
    if (f->ahead && !f->joined)
      lunfs_page (t, i)->flags |= LUNFS_PAGE_AHEAD;
  } else if (there != LUNFS_NO_PAGE && lunfs_page (t, there)->fill == f) {
    copy_blocks (c, there, i, whole & (uint8_t) ~lunfs_page (t, there)->valid);
    lunfs_page (t, there)->valid = whole;
    lunfs_page (t, there)->fill = NULL;
  }
}

/* Out of date, but good enough for the one who asked: with what is newer on top. */
static void
copy_loose (LunfsCache *c, LunfsReader *r, uint64_t number, uint32_t i)
{
  LunfsPages *t = &c->pages;
  uint32_t there = lunfs_pages_find (t, number);

  if (there != LUNFS_NO_PAGE)
    copy_blocks (c, i, there, lunfs_page (t, there)->valid);
  copy_page (c, r, number, i);
}

static bool
wanted (const LunfsReader *r, uint64_t number)
{
  return r && r->req && number >= r->first && number < r->first + r->npages && !is_done (r, number);
}

static void
pages_come (LunfsCache *c, LunfsFill *f)
{
  LunfsPages *t = &c->pages;

  for (unsigned k = 0; k < f->npages; k++) {
    uint64_t number = f->first + k;
    uint32_t i = f->page[k];

    if (i == LUNFS_NO_PAGE) {
      set_done (f->reader, number);
      continue;
    }
    page_filled (c, f, number, i);
    if (lunfs_page (t, i)->state != LUNFS_PAGE_OLD)
      continue;
    if (wanted (f->reader, number))
      copy_loose (c, f->reader, number, i);
    lunfs_pages_release (t, i);
  }
}

static void
pages_fail (LunfsCache *c, LunfsFill *f)
{
  LunfsPages *t = &c->pages;

  for (unsigned k = 0; k < f->npages; k++) {
    uint32_t there = lunfs_pages_find (t, f->first + k), i = f->page[k];

    if (i == LUNFS_NO_PAGE)
      continue;
    if (there != LUNFS_NO_PAGE && lunfs_page (t, there)->fill == f)
      lunfs_page (t, there)->fill = NULL;
    if (lunfs_page (t, i)->state == LUNFS_PAGE_FILLING)
      lunfs_pages_drop (t, i);
    lunfs_pages_release (t, i);
  }
}

/* One bad block must not make its neighbours in the page unreadable. */
static bool
asked_for_more (const LunfsFill *f)
{
  const LunfsRequest *req = f->reader ? f->reader->req : NULL;

  return req && f->req.result != -EINTR
         && (f->req.offset < req->offset || f->req.offset + f->req.length > req->offset + req->length);
}

static void
fill_done (LunfsRequest *req)
{
  LunfsFill *f = req->owner;
  LunfsCache *c = f->cache;
  LunfsReader *own = f->reader;
  GSList *joined = f->joined;

  g_queue_unlink (&c->fills, &f->link);
  if (f->ahead)
    c->ahead_bytes -= req->length;
  if (req->result == 0)
    pages_come (c, f);
  else
    pages_fail (c, f);
  if (req->result < 0 && asked_for_more (f))
    own->exact = true;
  else if (own && req->result < 0 && own->error == 0)
    own->error = req->result;
  free_fill (c, f);
  if (own) {
    own->waiting--;
    reader_ready (c, own);
  }
  for (GSList *l = joined; l; l = l->next) {
    LunfsReader *r = l->data;

    r->waiting--;
    reader_ready (c, r);
  }
  g_slist_free (joined);
  if (c->held.length) { /* memory may have come free */
    lunfs_cache_release_held (c);
    lunfs_cache_kick (c);
  }
}

static void
send_fill (LunfsCache *c, LunfsFill *f)
{
  f->req.done = fill_done;
  f->req.owner = f;
  f->req.submit_us = f->reader ? f->reader->req->submit_us : lunfs_lane_now_us (c->lane);
  if (f->ahead)
    c->ahead_bytes += f->req.length;
  if (f->reader)
    f->reader->waiting++;
  g_queue_push_tail_link (&c->fills, &f->link);
  lunfs_debug (CACHE, "fetch %u pages from %" G_GUINT64_FORMAT " on%s", f->npages, f->first, f->ahead ? ", ahead" : "");
  c->lower->ops->submit (c->lower, &f->req);
}

/* ---- a user's READ ---- */

/* Fetches pages from @number on; returns the first one that is left. */
static uint64_t
fetch (LunfsCache *c, LunfsReader *r, uint64_t number, uint64_t end)
{
  LunfsFill *f = fill_new (c, r, number);

  if (!r || !r->exact)
    fill_pages (c, f, number, end);
  if (f->npages == 0 && !place_outside (c, f, number, end)) {
    free_fill (c, f);
    return number;
  }
  send_fill (c, f);
  return number + f->npages;
}

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

    if (is_done (r, number) || has (c, i, part_of (c, r->req, number).mask) || zeroes_of (c, number, i)
        || (i != LUNFS_NO_PAGE && lunfs_page (&c->pages, i)->fill))
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
    if (is_done (r, n))
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
      next = fetch (c, r, n, missing_end (c, r, n));
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

    while (stop < end && is_unknown (c, stop))
      stop++;
    if (stop == from) {
      from++;
      continue;
    }
    next = fetch (c, NULL, from, stop);
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

  g_assert (c->fills.length == 0 && c->readers.length == 0);
  while ((link = g_queue_pop_head_link (&c->free_fills)))
    g_free (link->data);
  while ((link = g_queue_pop_head_link (&c->free_readers)))
    g_free (link->data);
  lunfs_read_ahead_free (c->ahead);
}

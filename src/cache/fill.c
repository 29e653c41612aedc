/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills: what the cache fetches, and where it goes.  A fill that was made for somebody hands its data to him even if it may not
 * stay in the table any more: he asked before the write that made it out of date was answered. */
#include "config.h"

#include "cache/read-private.h"

#include "lunfs/log.h"
#include "util/iov.h"
#include "util/zeroes.h"

#include <errno.h>
#include <string.h>

#define BLOCKS_PER_PAGE 8

/* ---- memory for it ---- */

/* Most pages of one command.  A reader may have come when the target took more than it does now. */
static uint64_t
max_pages (const LunfsCache *c)
{
  return MAX (c->max_bytes / LUNFS_PAGE_BYTES, 1);
}

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
  LunfsPart part = lunfs_part_of (c, req, number);
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

/* The reader's own memory: for pages from @number on of which nothing is in the table, or for one of which some is.  False:
 * there is no reader. */
static bool
place_outside (LunfsCache *c, LunfsFill *f, uint64_t number, uint64_t end)
{
  const LunfsRequest *req = f->reader ? f->reader->req : NULL;
  uint32_t there = lunfs_pages_find (&c->pages, number);
  uint8_t zeroes = lunfs_zeroes_of (c, number, there);
  uint64_t stop = number;

  if (!req)
    return false;
  if (there != LUNFS_NO_PAGE || zeroes) {
    place_around (c, f, number, there, zeroes);
    return true;
  }
  end = MIN (end, number + max_pages (c));
  while (stop < end && lunfs_is_unknown (c, stop))
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

/* ---- its end ---- */

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
  lunfs_reader_copy (c, r, number, i);
}

static bool
wanted (const LunfsReader *r, uint64_t number)
{
  return r && r->req && number >= r->first && number < r->first + r->npages && !lunfs_reader_is_done (r, number);
}

static void
pages_come (LunfsCache *c, LunfsFill *f)
{
  LunfsPages *t = &c->pages;

  for (unsigned k = 0; k < f->npages; k++) {
    uint64_t number = f->first + k;
    uint32_t i = f->page[k];

    if (i == LUNFS_NO_PAGE) {
      lunfs_reader_set_done (f->reader, number);
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
    lunfs_reader_ready (c, own);
  }
  for (GSList *l = joined; l; l = l->next) {
    LunfsReader *r = l->data;

    r->waiting--;
    lunfs_reader_ready (c, r);
  }
  g_slist_free (joined);
  if (c->held.length) { /* memory may have come free */
    lunfs_cache_release_held (c);
    lunfs_cache_kick (c);
  }
}

/* ---- its begin ---- */

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

uint64_t
lunfs_cache_fetch (LunfsCache *c, LunfsReader *r, uint64_t number, uint64_t end)
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

void
lunfs_cache_fill_clear (LunfsCache *c)
{
  GList *link;

  g_assert (c->fills.length == 0);
  while ((link = g_queue_pop_head_link (&c->free_fills)))
    g_free (link->data);
}

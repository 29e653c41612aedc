/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table's memory: chunks and the pages in them, which clean pages stay, and which go first. */
#include "config.h"

#include "cache/pages-private.h"

#define ONCE_PAGES ((4u << 20) / LUNFS_PAGE_BYTES)
#define SPARE_CHUNKS 16
#define HOT_QUARTERS 3 /* of the clean pages at most three quarters are hot */

/* ---- chunks ---- */

static void
split_chunk (LunfsPages *t, uint32_t chunk)
{
  for (uint32_t k = LUNFS_PAGES_PER_CHUNK; k-- > 0;)
    lunfs_list_push_head (t, &t->list[LUNFS_PAGE_FREE], chunk * LUNFS_PAGES_PER_CHUNK + k);
}

void
lunfs_pages_own_chunk (LunfsPages *t, uint32_t chunk)
{
  LunfsChunk *c = &lunfs_frames_chunks (t->frames)[chunk];

  c->at = t->chunks->len;
  c->used = 0;
  g_array_append_val (t->chunks, chunk);
  for (uint32_t i = chunk * LUNFS_PAGES_PER_CHUNK; i < (chunk + 1) * LUNFS_PAGES_PER_CHUNK; i++)
    t->page[i] = (LunfsPage){ .peer = LUNFS_NO_PAGE };
}

static void
disown_chunk (LunfsPages *t, uint32_t chunk)
{
  LunfsChunk *all = lunfs_frames_chunks (t->frames);
  uint32_t at = all[chunk].at;

  g_array_remove_index_fast (t->chunks, at);
  if (at < t->chunks->len)
    all[g_array_index (t->chunks, uint32_t, at)].at = at;
  lunfs_frames_give (t->frames, &t->user, chunk);
}

static void
now_used (LunfsPages *t, uint32_t i)
{
  lunfs_frames_chunks (t->frames)[i / LUNFS_PAGES_PER_CHUNK].used++;
}

void
lunfs_pages_set_free (LunfsPages *t, uint32_t i)
{
  uint32_t chunk = i / LUNFS_PAGES_PER_CHUNK;

  t->page[i] = (LunfsPage){ .peer = LUNFS_NO_PAGE };
  lunfs_list_push_head (t, &t->list[LUNFS_PAGE_FREE], i);
  if (--lunfs_frames_chunks (t->frames)[chunk].used > 0)
    return;
  for (uint32_t k = 0; k < LUNFS_PAGES_PER_CHUNK; k++)
    lunfs_list_unlink (t, &t->list[LUNFS_PAGE_FREE], chunk * LUNFS_PAGES_PER_CHUNK + k);
  g_array_append_val (t->empty, chunk);
}

/* ---- what is used once ---- */

static uint32_t
ghost_tag (uint64_t number)
{
  return (uint32_t) ((number / LUNFS_PAGES_PER_CHUNK * UINT64_C (0x9e3779b97f4a7c15)) >> 32) | 1;
}

static uint32_t *
ghost_slot (LunfsPages *t, uint64_t number)
{
  return &t->ghost[number / LUNFS_PAGES_PER_CHUNK % LUNFS_PAGES_GHOSTS];
}

static bool
was_here (LunfsPages *t, uint64_t number)
{
  return *ghost_slot (t, number) == ghost_tag (number);
}

static bool
evict_from (LunfsPages *t, LunfsPageList *l)
{
  for (uint32_t i = l->tail; i != LUNFS_NO_PAGE; i = t->page[i].prev) {
    uint64_t number = t->page[i].number;
    bool wasted = t->page[i].flags & LUNFS_PAGE_AHEAD;

    if (t->page[i].fill) /* some blocks of it are being fetched */
      continue;
    if (l == &t->once)
      *ghost_slot (t, number) = ghost_tag (number);
    lunfs_pages_drop (t, i);
    if (wasted)
      t->wasted (t->wasted_user, number);
    return true;
  }
  return false;
}

static bool
evict (LunfsPages *t)
{
  return evict_from (t, &t->once) || evict_from (t, &t->list[LUNFS_PAGE_CLEAN]) || evict_from (t, &t->hot);
}

static bool
pop_empty (LunfsPages *t, uint32_t *chunk)
{
  if (t->empty->len == 0)
    return false;
  *chunk = g_array_index (t->empty, uint32_t, t->empty->len - 1);
  g_array_set_size (t->empty, t->empty->len - 1);
  return true;
}

static void
trim_once (LunfsPages *t)
{
  while (t->once.n > ONCE_PAGES && evict_from (t, &t->once))
    ;
}

static bool
more_memory (LunfsPages *t, uint32_t *chunk)
{
  trim_once (t);
  if (pop_empty (t, chunk))
    return true;
  if (!lunfs_frames_take (t->frames, &t->user, chunk))
    return false;
  lunfs_pages_own_chunk (t, *chunk);
  return true;
}

uint32_t
lunfs_pages_take (LunfsPages *t)
{
  LunfsPageList *free_list = &t->list[LUNFS_PAGE_FREE];
  uint32_t i, chunk;

  while (free_list->n == 0) {
    if (more_memory (t, &chunk)) {
      split_chunk (t, chunk);
    } else if (!evict (t)) {
      lunfs_frames_squeeze (t->frames, &t->user);
      return LUNFS_NO_PAGE;
    }
  }
  i = free_list->head;
  lunfs_list_unlink (t, free_list, i);
  now_used (t, i);
  return i;
}

bool
lunfs_pages_take_chunk (LunfsPages *t, uint32_t *first)
{
  uint32_t chunk;

  /* What came together goes together: a few more than one chunk's worth usually make one free. */
  for (unsigned n = 0; !more_memory (t, &chunk); n++)
    if (n >= 2 * LUNFS_PAGES_PER_CHUNK || !evict (t))
      return false;
  *first = chunk * LUNFS_PAGES_PER_CHUNK;
  lunfs_frames_chunks (t->frames)[chunk].used = LUNFS_PAGES_PER_CHUNK;
  return true;
}

void
lunfs_pages_give (LunfsPages *t, uint32_t i)
{
  lunfs_pages_set_free (t, i);
}

bool
lunfs_pages_adopt (LunfsPages *t, const uint32_t *chunks, unsigned n, unsigned nused)
{
  uint64_t before = atomic_load (&t->user.bytes);
  uint32_t spare;

  trim_once (t);
  while (t->empty->len > SPARE_CHUNKS && pop_empty (t, &spare)) /* requests use them at once */
    disown_chunk (t, spare);
  if (!lunfs_frames_adopt (t->frames, &t->user, n)) {
    lunfs_pages_shrink (t, (uint64_t) n * LUNFS_CHUNK_BYTES);
    if (atomic_load (&t->user.bytes) + (uint64_t) n * LUNFS_CHUNK_BYTES > before
        || !lunfs_frames_adopt (t->frames, &t->user, n))
      return false;
  }
  for (unsigned c = 0; c < n; c++) {
    unsigned used = MIN (nused, LUNFS_PAGES_PER_CHUNK);

    lunfs_pages_own_chunk (t, chunks[c]);
    lunfs_frames_chunks (t->frames)[chunks[c]].used = used;
    for (unsigned k = LUNFS_PAGES_PER_CHUNK; k-- > used;)
      lunfs_list_push_head (t, &t->list[LUNFS_PAGE_FREE], chunks[c] * LUNFS_PAGES_PER_CHUNK + k);
    nused -= used;
  }
  return true;
}

void
lunfs_pages_shrink (LunfsPages *t, uint64_t bytes)
{
  uint64_t evicted = 0;
  uint32_t chunk;

  while (bytes > 0) {
    if (pop_empty (t, &chunk)) {
      disown_chunk (t, chunk);
      bytes -= MIN (bytes, LUNFS_CHUNK_BYTES);
    } else if (evicted > 4 * bytes || !evict (t)) {
      return;
    } else {
      evicted += LUNFS_PAGE_BYTES;
    }
  }
}

/* ---- what stays ---- */

void
lunfs_pages_once (LunfsPages *t, uint32_t i)
{
  LunfsPage *p = &t->page[i];
  bool is_clean = p->state == LUNFS_PAGE_CLEAN;

  if (is_clean)
    lunfs_list_unlink (t, lunfs_pages_list_of (t, p), i);
  p->flags |= LUNFS_PAGE_ONCE;
  if (is_clean)
    lunfs_list_push_head (t, &t->once, i);
}

void
lunfs_pages_touch (LunfsPages *t, uint32_t i, bool once)
{
  LunfsPage *p = &t->page[i];

  p->flags &= (uint16_t) ~LUNFS_PAGE_AHEAD;
  if (p->state != LUNFS_PAGE_CLEAN)
    return;
  if (once && !(p->flags & (LUNFS_PAGE_HOT | LUNFS_PAGE_ONCE | LUNFS_PAGE_USED)) && !was_here (t, p->number)) {
    lunfs_list_unlink (t, &t->list[LUNFS_PAGE_CLEAN], i);
    p->flags |= LUNFS_PAGE_ONCE;
    lunfs_list_push_head (t, &t->once, i);
  } else if (p->flags & LUNFS_PAGE_ONCE) {
    lunfs_list_unlink (t, &t->once, i);
    p->flags &= (uint16_t) ~LUNFS_PAGE_ONCE;
    p->flags |= LUNFS_PAGE_USED;
    lunfs_list_push_head (t, &t->list[LUNFS_PAGE_CLEAN], i);
  } else if (!(p->flags & LUNFS_PAGE_USED)) {
    p->flags |= LUNFS_PAGE_USED;
  } else {
    lunfs_list_unlink (t, lunfs_pages_list_of (t, p), i);
    p->flags |= LUNFS_PAGE_HOT;
    lunfs_list_push_head (t, &t->hot, i);
  }
  if (t->hot.n > t->count[LUNFS_PAGE_CLEAN] / 4 * HOT_QUARTERS && t->hot.n > 1) {
    i = t->hot.tail;
    lunfs_list_unlink (t, &t->hot, i);
    t->page[i].flags &= (uint16_t) ~(LUNFS_PAGE_HOT | LUNFS_PAGE_USED);
    lunfs_list_push_head (t, &t->list[LUNFS_PAGE_CLEAN], i);
  }
}

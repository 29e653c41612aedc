/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors are linked by index: the table grows by doubling and is all that is ever allocated. */
#include "config.h"

#include "cache/pages-private.h"

#include <string.h>

#define FIRST_BUCKETS 256
#define SQUEEZE_BYTES (UINT64_C (1) << 20)

LunfsPageList *
lunfs_pages_list_of (LunfsPages *t, const LunfsPage *p)
{
  switch (p->state) {
  case LUNFS_PAGE_CLEAN:
    return p->flags & LUNFS_PAGE_HOT ? &t->hot : p->flags & LUNFS_PAGE_ONCE ? &t->once : &t->list[LUNFS_PAGE_CLEAN];
  case LUNFS_PAGE_DIRTY:
    if (p->flags & LUNFS_PAGE_HELD)
      return NULL;
    if (p->flags & LUNFS_PAGE_FAILED)
      return &t->failed;
    if (p->flags & LUNFS_PAGE_BEHIND)
      return &t->behind;
    return p->flags & LUNFS_PAGE_RECOVER ? &t->recover : &t->list[LUNFS_PAGE_DIRTY];
  case LUNFS_PAGE_UNSTABLE:
  case LUNFS_PAGE_COMMITTING:
    return &t->list[p->state];
  default:
    return NULL;
  }
}

/* ---- the table ---- */

/* Sixteen neighbours share a cache line of buckets. */
static uint32_t
hash (const LunfsPages *t, uint64_t number)
{
  uint32_t line = (uint32_t) (((number >> 4) * UINT64_C (0x9e3779b97f4a7c15)) >> 32);

  return (line << 4 | (number & 15)) & (t->nbuckets - 1);
}

uint32_t
lunfs_pages_find (const LunfsPages *t, uint64_t number)
{
  uint32_t i = t->bucket[hash (t, number)];

  while (i != LUNFS_NO_PAGE && t->page[i].number != number)
    i = t->page[i].chained;
  return i;
}

static void
grow_table (LunfsPages *t)
{
  uint32_t *old = t->bucket, nold = t->nbuckets;

  t->nbuckets *= 2;
  t->bucket = g_new (uint32_t, t->nbuckets);
  memset (t->bucket, 0xff, t->nbuckets * sizeof *t->bucket);
  for (uint32_t b = 0; b < nold; b++)
    for (uint32_t i = old[b], next; i != LUNFS_NO_PAGE; i = next) {
      uint32_t to = hash (t, t->page[i].number);

      next = t->page[i].chained;
      t->page[i].chained = t->bucket[to];
      t->bucket[to] = i;
    }
  g_free (old);
}

static void
enter (LunfsPages *t, uint32_t i)
{
  uint32_t b;

  if (t->ninside >= t->nbuckets)
    grow_table (t);
  b = hash (t, t->page[i].number);
  t->page[i].chained = t->bucket[b];
  t->bucket[b] = i;
  t->ninside++;
}

void
lunfs_pages_leave (LunfsPages *t, uint32_t i)
{
  uint32_t *at = &t->bucket[hash (t, t->page[i].number)];

  while (*at != i)
    at = &t->page[*at].chained;
  *at = t->page[i].chained;
  t->ninside--;
}

uint8_t
lunfs_pages_whole (const LunfsPages *t, uint64_t number)
{
  uint64_t end;

  if (t->block_size >= LUNFS_PAGE_BYTES)
    return t->full;
  end = t->nblocks * t->block_size;
  if ((number + 1) * LUNFS_PAGE_BYTES <= end)
    return t->full;
  if (number * LUNFS_PAGE_BYTES >= end)
    return 0;
  return (uint8_t) ((1u << ((end - number * LUNFS_PAGE_BYTES) / t->block_size)) - 1);
}

uint8_t
lunfs_pages_mask (const LunfsPages *t, uint64_t number, uint64_t offset, uint64_t length)
{
  uint64_t start = number * LUNFS_PAGE_BYTES, end = offset + length;
  unsigned from, to;

  if (offset <= start && end >= start + LUNFS_PAGE_BYTES)
    return t->full;
  from = offset > start ? (unsigned) (offset - start) / t->block_size : 0;
  to = end < start + LUNFS_PAGE_BYTES ? (unsigned) (end - start) / t->block_size : LUNFS_PAGE_BYTES / t->block_size;
  return (uint8_t) (((1u << to) - 1) & ~((1u << from) - 1));
}

/* ---- states ---- */

void
lunfs_pages_record (LunfsPages *t, uint32_t i, bool kept)
{
  const LunfsPage *p = &t->page[i];
  LunfsArenaPage *r = &t->arena->pages[i];

  if (!kept) {
    if (r->kept)
      __atomic_store_n (&r->kept, 0, __ATOMIC_RELEASE);
    return;
  }
  if (!r->kept) {
    r->number = p->number;
    r->lun = (uint16_t) t->lun;
  }
  r->seq = t->seq;
  __atomic_store_n (&r->blocks, p->kept, __ATOMIC_RELEASE);
  __atomic_store_n (&r->kept, 1, __ATOMIC_RELEASE);
}

static void
count (LunfsPages *t, unsigned state, int n)
{
  t->count[state] += (uint32_t) n;
  if (state == LUNFS_PAGE_CLEAN)
    atomic_store_explicit (&t->user.evictable, (uint64_t) t->count[LUNFS_PAGE_CLEAN] * LUNFS_PAGE_BYTES,
                           memory_order_relaxed);
}

void
lunfs_pages_move (LunfsPages *t, uint32_t i, unsigned state)
{
  LunfsPage *p = &t->page[i];
  LunfsPageList *l = lunfs_pages_list_of (t, p);
  unsigned was = p->state;

  if (l)
    lunfs_list_unlink (t, l, i);
  if (was != LUNFS_PAGE_FREE)
    count (t, was, -1);
  if (lunfs_state_pending (was) && !lunfs_state_pending (state) && state != LUNFS_PAGE_OLD)
    t->pending[p->flags & LUNFS_PAGE_ODD ? 1 : 0]--;
  if (!lunfs_state_pending (state))
    p->flags &= (uint16_t) ~(LUNFS_PAGE_RECOVER | LUNFS_PAGE_ALONE | LUNFS_PAGE_FAILED | LUNFS_PAGE_BEHIND);
  if (lunfs_state_pending (state) && !lunfs_state_pending (was)) {
    p->flags = (uint16_t) ((p->flags & ~LUNFS_PAGE_ODD) | (t->generation & 1 ? LUNFS_PAGE_ODD : 0));
    t->pending[t->generation & 1]++;
  }
  p->flags &= (uint16_t) ~LUNFS_PAGE_HOT;
  p->state = (uint8_t) state;
  if (state == LUNFS_PAGE_FREE)
    return;
  count (t, state, 1);
  l = lunfs_pages_list_of (t, p);
  if (l == &t->list[LUNFS_PAGE_CLEAN] || l == &t->once)
    lunfs_list_push_head (t, l, i);
  else if (l)
    lunfs_list_push_tail (t, l, i);
}

void
lunfs_pages_insert (LunfsPages *t, uint32_t i, uint64_t number, LunfsPageState state, uint8_t valid)
{
  LunfsPage *p = &t->page[i];

  *p = (LunfsPage){ .number = number, .valid = valid, .peer = LUNFS_NO_PAGE };
  enter (t, i);
  lunfs_pages_move (t, i, state);
}

void
lunfs_pages_set (LunfsPages *t, uint32_t i, LunfsPageState state)
{
  LunfsPage *p = &t->page[i];

  if (!lunfs_state_keeps (state))
    p->kept = 0;
  if (!lunfs_state_pending (state))
    p->dirty = 0;
  if (lunfs_state_keeps (state) != lunfs_state_keeps (p->state))
    lunfs_pages_record (t, i, lunfs_state_keeps (state));
  if (state != p->state)
    lunfs_pages_move (t, i, state);
}

void
lunfs_pages_recover (LunfsPages *t, uint32_t i)
{
  LunfsPage *p = &t->page[i];

  if (p->state != LUNFS_PAGE_DIRTY)
    lunfs_pages_move (t, i, LUNFS_PAGE_DIRTY);
  p->dirty = p->kept;
  lunfs_list_unlink (t, &t->list[LUNFS_PAGE_DIRTY], i);
  p->flags |= LUNFS_PAGE_RECOVER;
  lunfs_list_push_tail (t, &t->recover, i);
}

void
lunfs_pages_recovered (LunfsPages *t, uint32_t i)
{
  LunfsPage *p = &t->page[i];

  if (!(p->flags & LUNFS_PAGE_RECOVER))
    return;
  if (p->state == LUNFS_PAGE_DIRTY)
    lunfs_list_unlink (t, &t->recover, i);
  p->flags &= (uint16_t) ~LUNFS_PAGE_RECOVER;
  if (p->state == LUNFS_PAGE_DIRTY)
    lunfs_list_push_head (t, &t->list[LUNFS_PAGE_DIRTY], i);
}

void
lunfs_pages_fail (LunfsPages *t, uint32_t i)
{
  t->page[i].flags &= (uint16_t) ~LUNFS_PAGE_RECOVER;
  t->page[i].flags |= LUNFS_PAGE_ALONE | LUNFS_PAGE_FAILED;
  lunfs_pages_set (t, i, LUNFS_PAGE_DIRTY);
}

static void
take_back (LunfsPages *t, LunfsPageList *list, unsigned flag)
{
  while (list->n > 0) {
    uint32_t i = list->tail;

    lunfs_list_unlink (t, list, i);
    t->page[i].flags &= (uint16_t) ~flag;
    lunfs_list_push_head (t, &t->list[LUNFS_PAGE_DIRTY], i);
  }
}

void
lunfs_pages_retry (LunfsPages *t)
{
  lunfs_pages_call_back (t);
  take_back (t, &t->failed, LUNFS_PAGE_FAILED);
}

void
lunfs_pages_put_behind (LunfsPages *t, uint32_t i)
{
  lunfs_pages_recovered (t, i);
  lunfs_list_unlink (t, &t->list[LUNFS_PAGE_DIRTY], i);
  t->page[i].flags |= LUNFS_PAGE_BEHIND;
  lunfs_list_push_tail (t, &t->behind, i);
}

void
lunfs_pages_call_back (LunfsPages *t)
{
  take_back (t, &t->behind, LUNFS_PAGE_BEHIND);
}

void
lunfs_pages_loose (LunfsPages *t, uint32_t i)
{
  t->page[i] = (LunfsPage){ .state = LUNFS_PAGE_OLD, .peer = LUNFS_NO_PAGE };
  count (t, LUNFS_PAGE_OLD, 1);
}

void
lunfs_pages_retire (LunfsPages *t, uint32_t i)
{
  LunfsPage *p = &t->page[i];
  bool sending = p->state == LUNFS_PAGE_WRITING;

  lunfs_pages_record (t, i, false);
  p->kept = 0;
  if (sending || p->state == LUNFS_PAGE_FILLING) {
    lunfs_pages_move (t, i, LUNFS_PAGE_OLD);
    if (sending)
      p->flags |= LUNFS_PAGE_SENDING;
    return;
  }
  if (p->flags & LUNFS_PAGE_HELD) { /* nobody waits any more */
    t->page[p->peer].peer = LUNFS_NO_PAGE;
    t->nheld--;
  }
  lunfs_pages_move (t, i, LUNFS_PAGE_FREE);
  lunfs_pages_set_free (t, i);
}

void
lunfs_pages_drop (LunfsPages *t, uint32_t i)
{
  lunfs_pages_leave (t, i);
  lunfs_pages_retire (t, i);
}

void
lunfs_pages_release (LunfsPages *t, uint32_t i)
{
  LunfsPage *p = &t->page[i];
  uint32_t peer = p->peer;

  if (p->flags & LUNFS_PAGE_SENDING)
    t->pending[p->flags & LUNFS_PAGE_ODD ? 1 : 0]--;
  count (t, LUNFS_PAGE_OLD, -1);
  lunfs_pages_set_free (t, i);
  if (peer == LUNFS_NO_PAGE)
    return;
  t->page[peer].flags &= (uint16_t) ~LUNFS_PAGE_HELD;
  t->page[peer].peer = LUNFS_NO_PAGE;
  t->nheld--;
  lunfs_list_push_head (t, &t->list[LUNFS_PAGE_DIRTY], peer); /* it has waited */
  if (t->page[peer].dirty == 0)                               /* nothing but what the target has taken */
    lunfs_pages_set (t, peer, t->page[peer].kept ? LUNFS_PAGE_UNSTABLE : LUNFS_PAGE_CLEAN);
}

static void
to_generation (LunfsPages *t, uint32_t i, unsigned parity)
{
  LunfsPage *p = &t->page[i];

  if ((p->flags & LUNFS_PAGE_ODD ? 1u : 0u) == parity)
    return;
  p->flags ^= LUNFS_PAGE_ODD;
  t->pending[!parity]--;
  t->pending[parity]++;
}

void
lunfs_pages_inherit_generation (LunfsPages *t, uint32_t i, uint32_t old)
{
  if (t->page[i].state == LUNFS_PAGE_DIRTY)
    to_generation (t, i, t->page[old].flags & LUNFS_PAGE_ODD ? 1 : 0);
}

void
lunfs_pages_renew (LunfsPages *t, uint32_t i)
{
  if (lunfs_state_pending (t->page[i].state) || (t->page[i].flags & LUNFS_PAGE_SENDING))
    to_generation (t, i, t->generation & 1);
}

void
lunfs_pages_hand_over (LunfsPages *t, uint32_t i)
{
  uint32_t peer = t->page[i].peer;

  if (peer != LUNFS_NO_PAGE) {
    lunfs_pages_inherit_generation (t, peer, i);
    t->page[peer].dirty |= t->page[i].dirty & t->page[peer].kept;
  }
  lunfs_pages_release (t, i);
}

/* ---- all of it ---- */

void
lunfs_pages_drop_clean (LunfsPages *t)
{
  for (uint32_t b = 0; b < t->nbuckets; b++)
    for (uint32_t i = t->bucket[b], next; i != LUNFS_NO_PAGE; i = next) {
      LunfsPage *p = &t->page[i];

      next = p->chained;
      if (p->state == LUNFS_PAGE_CLEAN || p->state == LUNFS_PAGE_FILLING) {
        lunfs_pages_drop (t, i);
      } else {
        p->valid = p->kept;
        p->fill = NULL;
      }
    }
}

uint64_t
lunfs_pages_dirty_bytes (const LunfsPages *t)
{
  return (uint64_t) lunfs_pages_pending (t) * LUNFS_PAGE_BYTES;
}

uint64_t
lunfs_pages_kept_bytes (const LunfsPages *t)
{
  return lunfs_pages_dirty_bytes (t)
         + (uint64_t) (t->count[LUNFS_PAGE_UNSTABLE] + t->count[LUNFS_PAGE_COMMITTING]) * LUNFS_PAGE_BYTES;
}

/* ---- life ---- */

static void
squeezed (LunfsMail *mail)
{
  LunfsPages *t = (LunfsPages *) ((char *) mail - offsetof (LunfsPages, user) - offsetof (LunfsFramesUser, squeeze));

  atomic_store (&t->user.squeezed, false);
  lunfs_pages_shrink (t, SQUEEZE_BYTES);
}

static void
ignore_waste (void *user, uint64_t number)
{
}

void
lunfs_pages_init (LunfsPages *t, LunfsFrames *frames, LunfsLane *lane, unsigned lun)
{
  memset (t, 0, sizeof *t);
  t->frames = frames;
  t->arena = lunfs_frames_arena (frames);
  t->page = lunfs_frames_pages (frames);
  t->lun = lun;
  t->user.lane = lane;
  t->user.squeeze.deliver = squeezed;
  t->wasted = ignore_waste;
  t->nbuckets = FIRST_BUCKETS;
  t->bucket = g_new (uint32_t, t->nbuckets);
  memset (t->bucket, 0xff, t->nbuckets * sizeof *t->bucket);
  for (unsigned s = 0; s < LUNFS_PAGE_NSTATES; s++)
    lunfs_list_init (&t->list[s]);
  lunfs_list_init (&t->hot);
  lunfs_list_init (&t->once);
  lunfs_list_init (&t->recover);
  lunfs_list_init (&t->failed);
  lunfs_list_init (&t->behind);
  t->chunks = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  t->empty = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  lunfs_pages_geometry (t, 512, 0);
  lunfs_frames_join (frames, &t->user);
}

void
lunfs_pages_clear (LunfsPages *t)
{
  lunfs_frames_leave (t->frames, &t->user);
  lunfs_frames_count_kept (t->frames, &t->user, 0);
  for (guint c = 0; c < t->chunks->len; c++)
    lunfs_frames_give (t->frames, &t->user, g_array_index (t->chunks, uint32_t, c));
  g_array_unref (t->chunks);
  g_array_unref (t->empty);
  g_free (t->bucket);
}

void
lunfs_pages_geometry (LunfsPages *t, uint32_t block_size, uint64_t nblocks)
{
  unsigned n = block_size < LUNFS_PAGE_BYTES ? LUNFS_PAGE_BYTES / block_size : 1;

  t->block_size = MIN (block_size, LUNFS_PAGE_BYTES);
  t->full = (uint8_t) ((1u << n) - 1);
  t->nblocks = nblocks * (block_size / t->block_size);
}

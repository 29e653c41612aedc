/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/ranges.h"

enum { FREE = LUNFS_RANGE_FREE, DONE = LUNFS_RANGE_DONE, RESERVED = LUNFS_RANGE_RESERVED, DUE = LUNFS_RANGE_DUE };

static LunfsArenaRange *
slot (const LunfsRanges *r, GList *link)
{
  return &r->arena->ranges[GPOINTER_TO_UINT (link->data)];
}

void
lunfs_ranges_reclaim (LunfsArena *arena)
{
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    if (arena->ranges[i].kept == RESERVED)
      arena->ranges[i].kept = FREE;
}

void
lunfs_ranges_init (LunfsRanges *r, LunfsArena *arena, unsigned lun)
{
  *r = (LunfsRanges){ .arena = arena, .lun = lun };
}

void
lunfs_ranges_clear (LunfsRanges *r)
{
  GList *link;

  g_queue_clear (&r->slots);
  while ((link = g_queue_pop_head_link (&r->due)))
    g_free (link->data);
}

static void
push_due (LunfsRanges *r, unsigned i)
{
  const LunfsArenaRange *range = &r->arena->ranges[i];
  LunfsRangeDue *due = g_new0 (LunfsRangeDue, 1);

  due->link.data = due;
  due->slot = i;
  due->offset = range->offset;
  due->end = range->offset + range->length;
  due->seq = range->seq;
  g_queue_push_tail_link (&r->due, &due->link);
}

static int
by_seq (gconstpointer a, gconstpointer b, gpointer arena)
{
  const LunfsArenaRange *ranges = ((LunfsArena *) arena)->ranges;
  uint64_t x = ranges[GPOINTER_TO_UINT (a)].seq, y = ranges[GPOINTER_TO_UINT (b)].seq;

  return x < y ? -1 : x > y;
}

uint64_t
lunfs_ranges_restore (LunfsRanges *r)
{
  g_autoptr (GQueue) due = g_queue_new ();
  uint64_t seq;

  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++) {
    uint8_t kept = r->arena->ranges[i].kept;

    if ((kept == DONE || kept == DUE) && r->arena->ranges[i].lun == r->lun)
      g_queue_insert_sorted (kept == DUE ? due : &r->slots, GUINT_TO_POINTER (i), by_seq, r->arena);
  }
  seq = r->slots.tail ? slot (r, r->slots.tail)->seq : 0;
  for (GList *l = due->head; l; l = l->next) {
    push_due (r, GPOINTER_TO_UINT (l->data));
    seq = MAX (seq, slot (r, l)->seq);
  }
  return seq;
}

/* Returns the slot, LUNFS_ARENA_RANGES if none is free. */
static unsigned
publish (LunfsRanges *r, const LunfsArenaRange *range, uint8_t kept)
{
  for (unsigned n = 0; n < LUNFS_ARENA_RANGES; n++) {
    unsigned i = r->hint++ % LUNFS_ARENA_RANGES;
    LunfsArenaRange *to = &r->arena->ranges[i];
    uint8_t expected = FREE;

    if (!__atomic_compare_exchange_n (&to->kept, &expected, RESERVED, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      continue;
    to->offset = range->offset;
    to->length = range->length;
    to->seq = range->seq;
    to->flags = range->flags;
    to->op = range->op;
    to->lun = (uint16_t) r->lun;
    __atomic_store_n (&to->kept, kept, __ATOMIC_RELEASE);
    return i;
  }
  return LUNFS_ARENA_RANGES;
}

bool
lunfs_ranges_add (LunfsRanges *r, const LunfsArenaRange *range)
{
  unsigned i = publish (r, range, DONE);

  if (i < LUNFS_ARENA_RANGES)
    g_queue_push_tail (&r->slots, GUINT_TO_POINTER (i));
  return i < LUNFS_ARENA_RANGES;
}

bool
lunfs_ranges_add_due (LunfsRanges *r, const LunfsArenaRange *range)
{
  unsigned i = publish (r, range, DUE);

  if (i < LUNFS_ARENA_RANGES)
    push_due (r, i);
  return i < LUNFS_ARENA_RANGES;
}

static void
drop_link (LunfsRanges *r, GList *link)
{
  __atomic_store_n (&slot (r, link)->kept, FREE, __ATOMIC_RELEASE);
  g_queue_delete_link (&r->slots, link);
}

void
lunfs_ranges_cover (LunfsRanges *r)
{
  r->ncovered = r->slots.length;
}

void
lunfs_ranges_stable (LunfsRanges *r)
{
  for (; r->ncovered > 0; r->ncovered--)
    drop_link (r, r->slots.head);
}

void
lunfs_ranges_drop (LunfsRanges *r, uint64_t seq)
{
  unsigned covered = r->ncovered;

  for (GList *l = r->slots.head, *next; l; l = next) {
    bool is_covered = covered > 0;

    next = l->next;
    covered -= is_covered;
    if (slot (r, l)->seq > seq)
      continue;
    r->ncovered -= is_covered;
    drop_link (r, l);
  }
}

const LunfsArenaRange *
lunfs_ranges_after (const LunfsRanges *r, uint64_t seq)
{
  const LunfsArenaRange *first = NULL;

  for (GList *l = r->slots.head; l; l = l->next)
    if (slot (r, l)->seq > seq && (!first || slot (r, l)->seq < first->seq))
      first = slot (r, l);
  for (GList *l = r->due.head; l; l = l->next) {
    const LunfsRangeDue *due = l->data;

    if (due->seq > seq && (!first || due->seq < first->seq))
      return &r->arena->ranges[due->slot];
  }
  return first;
}

/* ---- due ---- */

LunfsRangeDue *
lunfs_ranges_find_due (const LunfsRanges *r, uint64_t seq)
{
  for (GList *l = r->due.head; l; l = l->next)
    if (((LunfsRangeDue *) l->data)->seq == seq)
      return l->data;
  return NULL;
}

bool
lunfs_ranges_is_due (const LunfsRanges *r, uint64_t offset, uint64_t end)
{
  for (GList *l = r->due.head; l; l = l->next) {
    const LunfsRangeDue *due = l->data;

    if (due->offset < end && offset < due->end)
      return true;
  }
  return false;
}

static void
not_due (LunfsRanges *r, LunfsRangeDue *due, uint8_t kept)
{
  __atomic_store_n (&r->arena->ranges[due->slot].kept, kept, __ATOMIC_RELEASE);
  g_queue_unlink (&r->due, &due->link);
  if (kept == DONE)
    g_queue_push_tail (&r->slots, GUINT_TO_POINTER (due->slot));
  g_free (due);
}

void
lunfs_ranges_did (LunfsRanges *r, LunfsRangeDue *due, bool stable)
{
  not_due (r, due, stable ? FREE : DONE);
}

void
lunfs_ranges_give_up (LunfsRanges *r, LunfsRangeDue *due)
{
  not_due (r, due, FREE);
}

void
lunfs_ranges_retry (LunfsRanges *r)
{
  for (GList *l = r->due.head; l; l = l->next)
    ((LunfsRangeDue *) l->data)->failed = false;
}

bool
lunfs_ranges_any_failed (const LunfsRanges *r)
{
  for (GList *l = r->due.head; l; l = l->next)
    if (((LunfsRangeDue *) l->data)->failed)
      return true;
  return false;
}

const char *
lunfs_ranges_check (const LunfsRanges *r)
{
  uint64_t seq = 0;

  for (GList *l = r->due.head; l; l = l->next) {
    const LunfsRangeDue *due = l->data;
    const LunfsArenaRange *range = &r->arena->ranges[due->slot];

    if (range->kept != DUE || range->lun != r->lun || range->seq != due->seq || range->offset != due->offset
        || range->offset + range->length != due->end)
      return "a range that is due is another in the arena";
    if (due->seq <= seq)
      return "ranges that are due are out of order";
    if (due->sending && due->failed)
      return "a range that has failed is under way";
    seq = due->seq;
  }
  for (GList *l = r->slots.head; l; l = l->next)
    if (slot (r, l)->kept != DONE || slot (r, l)->lun != r->lun)
      return "a range that is done is another in the arena";
  return r->ncovered > r->slots.length ? "more ranges are covered than there are" : NULL;
}

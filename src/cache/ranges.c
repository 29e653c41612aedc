/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/ranges.h"

enum { FREE, KEPT, RESERVED }; /* RESERVED: being filled in */

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
  g_queue_clear (&r->slots);
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
  for (unsigned i = 0; i < LUNFS_ARENA_RANGES; i++)
    if (r->arena->ranges[i].kept == KEPT && r->arena->ranges[i].lun == r->lun)
      g_queue_insert_sorted (&r->slots, GUINT_TO_POINTER (i), by_seq, r->arena);
  return r->slots.tail ? slot (r, r->slots.tail)->seq : 0;
}

bool
lunfs_ranges_add (LunfsRanges *r, const LunfsArenaRange *range)
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
    __atomic_store_n (&to->kept, KEPT, __ATOMIC_RELEASE);
    g_queue_push_tail (&r->slots, GUINT_TO_POINTER (i));
    return true;
  }
  return false;
}

void
lunfs_ranges_drop (LunfsRanges *r, uint64_t seq)
{
  while (r->slots.head && slot (r, r->slots.head)->seq <= seq) {
    __atomic_store_n (&slot (r, r->slots.head)->kept, FREE, __ATOMIC_RELEASE);
    g_queue_pop_head (&r->slots);
  }
}

const LunfsArenaRange *
lunfs_ranges_after (const LunfsRanges *r, uint64_t seq)
{
  for (GList *l = r->slots.head; l; l = l->next)
    if (slot (r, l)->seq > seq)
      return slot (r, l);
  return NULL;
}

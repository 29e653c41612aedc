/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table is short and nearly always empty.  It is right at every store: an entry counts when nsuspects covers it, and one
 * that is taken out is overwritten by the last, which for a moment stands there twice.  No entry ever has another one's
 * crashes: put(). */
#include "config.h"

#include "fuse/poison.h"

#include "lunfs/unique.h"

struct LunfsPoison {
  LunfsArenaHeader *header;
  GMutex lock; /* Protects the arena's suspects. */
};

/* A worker that ran wild may have left any number there. */
static uint32_t
count (const LunfsArenaHeader *h)
{
  return MIN (h->nsuspects, LUNFS_ARENA_SUSPECTS);
}

static LunfsArenaSuspect *
find (LunfsArenaHeader *h, uint64_t unique)
{
  for (uint32_t i = 0; i < count (h); i++)
    if (h->suspects[i].unique == unique)
      return &h->suspects[i];
  return NULL;
}

static bool
is_less (const LunfsArenaSuspect *s, const LunfsArenaSuspect *than)
{
  return s->crashes != than->crashes ? s->crashes < than->crashes : s->unique < than->unique;
}

/* Answers may have been lost with a worker: what was in the fewest crashes makes room, and of these what is oldest. */
static LunfsArenaSuspect *
make_room (LunfsArenaHeader *h)
{
  LunfsArenaSuspect *least = &h->suspects[0];

  for (unsigned i = 1; i < LUNFS_ARENA_SUSPECTS; i++)
    if (is_less (&h->suspects[i], least))
      least = &h->suspects[i];
  return least;
}

/* In this order: what stood there before is answered, or one of the least, and nobody cares how many it had. */
static void
put (LunfsArenaSuspect *to, uint64_t unique, uint64_t crashes)
{
  __atomic_store_n (&to->crashes, crashes, __ATOMIC_RELAXED);
  __atomic_store_n (&to->unique, unique, __ATOMIC_RELEASE);
}

static void
add_crash (LunfsArenaHeader *h, uint64_t unique)
{
  LunfsArenaSuspect *s = find (h, unique);

  if (s) {
    s->crashes++;
  } else if (h->nsuspects < LUNFS_ARENA_SUSPECTS) {
    put (&h->suspects[h->nsuspects], unique, 1);
    __atomic_store_n (&h->nsuspects, h->nsuspects + 1, __ATOMIC_RELEASE);
  } else {
    put (make_room (h), unique, 1);
  }
}

void
lunfs_poison_count (LunfsArena *arena)
{
  bool crashed = arena->header->last_crashed;

  for (unsigned i = 0; i < LUNFS_ARENA_SLOTS; i++) {
    LunfsArenaSlot *slot = &arena->slots[i];

    if (crashed && slot->len && lunfs_slot_bytes (slot))
      add_crash (arena->header, lunfs_slot_unique (slot));
    __atomic_store_n (&slot->len, 0, __ATOMIC_RELEASE); /* a successor's crash is not this one's fault */
  }
}

LunfsPoison *
lunfs_poison_new (LunfsArenaHeader *header)
{
  LunfsPoison *poison = g_new0 (LunfsPoison, 1);

  poison->header = header;
  g_mutex_init (&poison->lock);
  return poison;
}

void
lunfs_poison_free (LunfsPoison *poison)
{
  if (!poison)
    return;
  g_mutex_clear (&poison->lock);
  g_free (poison);
}

LunfsPoisonVerdict
lunfs_poison_judge (LunfsPoison *poison, uint64_t unique)
{
  LunfsArenaSuspect *s;
  uint64_t crashes = 0;

  if (__atomic_load_n (&poison->header->nsuspects, __ATOMIC_ACQUIRE) == 0)
    return LUNFS_POISON_NONE;
  g_mutex_lock (&poison->lock);
  s = find (poison->header, unique);
  if (s)
    crashes = s->crashes;
  g_mutex_unlock (&poison->lock);
  return (LunfsPoisonVerdict) MIN (crashes, LUNFS_POISON_CRASHES);
}

void
lunfs_poison_forget (LunfsPoison *poison, uint64_t unique)
{
  LunfsArenaHeader *h = poison->header;
  LunfsArenaSuspect *s;

  g_mutex_lock (&poison->lock);
  s = find (h, unique);
  if (s) {
    const LunfsArenaSuspect *last = &h->suspects[count (h) - 1];

    put (s, last->unique, last->crashes);
    __atomic_store_n (&h->nsuspects, count (h) - 1, __ATOMIC_RELEASE);
  }
  g_mutex_unlock (&poison->lock);
}

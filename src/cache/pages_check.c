/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an earlier worker left in the arena becomes a table again; and whether a table is sound. */
#include "config.h"

#include "cache/pages-private.h"

/* ---- what was left ---- */

static void
restore_page (LunfsPages *t, uint32_t i)
{
  LunfsArenaPage *r = &t->arena->pages[i];
  uint32_t other = lunfs_pages_find (t, r->number);

  t->seq = MAX (t->seq, r->seq);
  if (other != LUNFS_NO_PAGE && t->arena->pages[other].seq > r->seq) {
    r->kept = 0;
    lunfs_pages_set_free (t, i);
    return;
  }
  if (other != LUNFS_NO_PAGE)
    lunfs_pages_drop (t, other);
  lunfs_pages_insert (t, i, r->number, LUNFS_PAGE_UNSTABLE, r->blocks);
  t->page[i].kept = r->blocks;
}

unsigned
lunfs_pages_restore (LunfsPages *t)
{
  g_autoptr (GArray) left = g_array_new (FALSE, FALSE, sizeof (uint32_t));
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  LunfsChunk *chunk = lunfs_frames_chunks (t->frames);

  for (uint32_t i = lunfs_frames_left (t->frames, t->lun); i != LUNFS_NO_PAGE; i = t->page[i].next)
    g_array_append_val (left, i);
  for (guint n = 0; n < left->len; n++) {
    uint32_t c = g_array_index (left, uint32_t, n) / LUNFS_PAGES_PER_CHUNK;

    if (!g_hash_table_add (seen, GUINT_TO_POINTER (c + 1)))
      continue;
    lunfs_frames_charge (t->frames, &t->user, 1); /* over the limit, if need be */
    lunfs_pages_own_chunk (t, c);
    chunk[c].used = LUNFS_PAGES_PER_CHUNK;
    for (uint32_t i = c * LUNFS_PAGES_PER_CHUNK; i < (c + 1) * LUNFS_PAGES_PER_CHUNK; i++)
      if (!t->arena->pages[i].kept)
        lunfs_pages_set_free (t, i);
  }
  for (guint n = 0; n < left->len; n++)
    restore_page (t, g_array_index (left, uint32_t, n));
  return left->len;
}

/* ---- the invariants ---- */

static const char *
check_page (const LunfsPages *t, uint32_t i)
{
  const LunfsPage *p = &t->page[i];
  bool kept = t->arena->pages[i].kept;

  if ((p->kept & ~p->valid) || (p->dirty & ~p->kept))
    return "kept but not valid, or dirty but not kept";
  if (lunfs_state_pending (p->state) != (p->dirty != 0) && !(p->flags & LUNFS_PAGE_HELD))
    return "dirty does not fit the state";
  if ((lunfs_state_keeps (p->state) != (p->kept != 0) && !(p->flags & LUNFS_PAGE_HELD)) || (p->kept != 0) != kept)
    return "what is kept does not fit the state, or the arena";
  if (kept && (t->arena->pages[i].number != p->number || t->arena->pages[i].blocks != p->kept))
    return "the arena's record is another";
  if ((p->state == LUNFS_PAGE_FILLING) != (p->valid == 0))
    return "valid does not fit the state";
  if ((p->flags & LUNFS_PAGE_HELD)
      && (p->state != LUNFS_PAGE_DIRTY || t->page[p->peer].state != LUNFS_PAGE_OLD || t->page[p->peer].peer != i))
    return "held by nobody";
  if (p->state == LUNFS_PAGE_FREE || p->state == LUNFS_PAGE_OLD)
    return "in the table, and not in use";
  return NULL;
}

static uint32_t
list_length (const LunfsPages *t, const LunfsPageList *l)
{
  uint32_t n = 0, prev = LUNFS_NO_PAGE;

  for (uint32_t i = l->head; i != LUNFS_NO_PAGE; prev = i, i = t->page[i].next, n++)
    if (t->page[i].prev != prev)
      return LUNFS_NO_PAGE;
  return l->tail == prev ? n : LUNFS_NO_PAGE;
}

const char *
lunfs_pages_check (const LunfsPages *t)
{
  uint32_t n[LUNFS_PAGE_NSTATES] = { 0 }, inside = 0, held = 0, used = 0, pending[2] = { 0 };
  const LunfsChunk *chunk = lunfs_frames_chunks (t->frames);

  for (uint32_t b = 0; b < t->nbuckets; b++)
    for (uint32_t i = t->bucket[b]; i != LUNFS_NO_PAGE; i = t->page[i].chained, inside++) {
      const LunfsPage *p = &t->page[i];
      const char *wrong = check_page (t, i);

      if (wrong)
        return wrong;
      n[p->state]++;
      held += p->flags & LUNFS_PAGE_HELD;
      if (lunfs_state_pending (p->state))
        pending[p->flags & LUNFS_PAGE_ODD ? 1 : 0]++;
    }
  for (guint c = 0; c < t->chunks->len; c++) {
    uint32_t first = g_array_index (t->chunks, uint32_t, c) * LUNFS_PAGES_PER_CHUNK;

    if (chunk[first / LUNFS_PAGES_PER_CHUNK].at != c)
      return "a chunk is not where it says";
    used += chunk[first / LUNFS_PAGES_PER_CHUNK].used;
    for (uint32_t i = first; i < first + LUNFS_PAGES_PER_CHUNK; i++)
      if (t->page[i].state == LUNFS_PAGE_OLD) {
        n[LUNFS_PAGE_OLD]++;
        if (t->page[i].flags & LUNFS_PAGE_SENDING)
          pending[t->page[i].flags & LUNFS_PAGE_ODD ? 1 : 0]++;
      }
  }
  for (unsigned s = 1; s < LUNFS_PAGE_NSTATES; s++)
    if (n[s] != t->count[s])
      return "pages in a state are miscounted";
  if (inside != t->ninside || held != t->nheld || pending[0] != t->pending[0] || pending[1] != t->pending[1])
    return "pages inside, held or pending are miscounted";
  if (inside + t->count[LUNFS_PAGE_OLD] != used)
    return "pages in use are miscounted";
  if (used + list_length (t, &t->list[LUNFS_PAGE_FREE]) + t->empty->len * LUNFS_PAGES_PER_CHUNK
      != t->chunks->len * LUNFS_PAGES_PER_CHUNK)
    return "free pages are miscounted";
  if (list_length (t, &t->list[LUNFS_PAGE_CLEAN]) + list_length (t, &t->hot) + list_length (t, &t->once)
          != n[LUNFS_PAGE_CLEAN]
      || list_length (t, &t->list[LUNFS_PAGE_DIRTY]) + list_length (t, &t->recover) + list_length (t, &t->failed)
                 + list_length (t, &t->behind) + held
             != n[LUNFS_PAGE_DIRTY]
      || list_length (t, &t->list[LUNFS_PAGE_UNSTABLE]) != n[LUNFS_PAGE_UNSTABLE]
      || list_length (t, &t->list[LUNFS_PAGE_COMMITTING]) != n[LUNFS_PAGE_COMMITTING])
    return "a list is broken";
  return NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What writes and discards make of a page.  A page whose memory a WRITE uses is not changed: a new one takes its place, and is
 * held until that WRITE ends. */
#include "config.h"

#include "cache/pages-private.h"

#include <string.h>

/* @i, in the table as DIRTY, must not be sent before the WRITE that uses @old's memory has ended. */
static void
hold (LunfsPages *t, uint32_t i, uint32_t old)
{
  lunfs_list_unlink (t, &t->list[LUNFS_PAGE_DIRTY], i);
  t->page[i].flags |= LUNFS_PAGE_HELD;
  t->page[i].peer = old;
  t->page[old].peer = i;
  t->nheld++;
}

static uint32_t
copy_of_writing (LunfsPages *t, uint32_t i)
{
  uint32_t q = lunfs_pages_take (t);
  const LunfsPage *p = &t->page[i];
  bool disowned = lunfs_page_disowned (t, i); /* the newer page has nothing to do with it */

  if (q == LUNFS_NO_PAGE)
    return q;
  memcpy (lunfs_page_data (t, q), lunfs_page_data (t, i), LUNFS_PAGE_BYTES);
  lunfs_pages_leave (t, i);
  lunfs_pages_insert (t, q, p->number, LUNFS_PAGE_DIRTY, disowned ? 0 : p->valid);
  t->page[q].kept = disowned ? 0 : p->kept;
  lunfs_pages_record (t, q, t->page[q].kept != 0);
  lunfs_pages_retire (t, i);
  hold (t, q, i);
  return q;
}

uint32_t
lunfs_pages_prepare (LunfsPages *t, uint64_t number)
{
  uint32_t i = lunfs_pages_find (t, number);

  if (i != LUNFS_NO_PAGE && t->page[i].state == LUNFS_PAGE_WRITING)
    return copy_of_writing (t, i);
  if (i != LUNFS_NO_PAGE && t->page[i].state == LUNFS_PAGE_FILLING) {
    lunfs_pages_drop (t, i);
    i = LUNFS_NO_PAGE;
  }
  if (i != LUNFS_NO_PAGE) {
    t->page[i].fill = NULL; /* what is being fetched may be out of date */
    return i;
  }
  i = lunfs_pages_take (t);
  if (i != LUNFS_NO_PAGE)
    lunfs_pages_insert (t, i, number, LUNFS_PAGE_CLEAN, 0);
  return i;
}

void
lunfs_pages_wrote (LunfsPages *t, uint32_t i, uint8_t mask, LunfsPageState state)
{
  LunfsPage *p = &t->page[i];

  p->valid |= mask;
  if (state == LUNFS_PAGE_DIRTY)
    p->dirty |= mask;
  else if (!(p->flags & LUNFS_PAGE_HELD))
    p->dirty &= (uint8_t) ~mask; /* the target has it: nothing older is sent any more */
  if (p->state == LUNFS_PAGE_DIRTY && !(p->flags & LUNFS_PAGE_HELD) && p->dirty == 0)
    lunfs_pages_move (t, i, LUNFS_PAGE_UNSTABLE);
  if (state == LUNFS_PAGE_CLEAN) /* if the page has older data that is kept, this goes with it */
    return;
  p->kept |= mask;
  lunfs_pages_record (t, i, true);
  if (p->state != LUNFS_PAGE_DIRTY && p->state != state)
    lunfs_pages_move (t, i, state);
}

void
lunfs_pages_replace (LunfsPages *t, uint32_t i, uint64_t number, LunfsPageState state)
{
  uint32_t old = lunfs_pages_find (t, number), peer = LUNFS_NO_PAGE;
  LunfsPage *p = &t->page[i];
  bool recover;

  if (old != LUNFS_NO_PAGE) {
    lunfs_pages_leave (t, old);
    if (t->page[old].state == LUNFS_PAGE_WRITING) {
      peer = old;
    } else if (t->page[old].flags & LUNFS_PAGE_HELD) {
      peer = t->page[old].peer;
    }
    if (peer != LUNFS_NO_PAGE)
      state = LUNFS_PAGE_DIRTY;
  }
  lunfs_pages_insert (t, i, number, state, lunfs_pages_whole (t, number));
  if (old != LUNFS_NO_PAGE && t->page[old].state == LUNFS_PAGE_DIRTY)
    lunfs_pages_inherit_generation (t, i, old);
  if (lunfs_state_keeps (state)) {
    p->kept = p->valid;
    if (state == LUNFS_PAGE_DIRTY)
      p->dirty = p->valid;
    lunfs_pages_record (t, i, true);
  }
  /* A flush may wait for what is to be written again: so is what takes its place, before anybody is served. */
  recover = old != LUNFS_NO_PAGE && state == LUNFS_PAGE_DIRTY && peer == LUNFS_NO_PAGE
            && t->page[old].state == LUNFS_PAGE_DIRTY && (t->page[old].flags & LUNFS_PAGE_RECOVER);
  if (old != LUNFS_NO_PAGE)
    lunfs_pages_retire (t, old);
  if (peer != LUNFS_NO_PAGE)
    hold (t, i, peer);
  else if (recover)
    lunfs_pages_recover (t, i);
}

/* Fewer blocks of it: the others are no newer for that. */
static void
record_less (LunfsPages *t, uint32_t i)
{
  if (t->page[i].kept == 0)
    lunfs_pages_record (t, i, false);
  else
    __atomic_store_n (&t->arena->pages[i].blocks, t->page[i].kept, __ATOMIC_RELEASE);
}

void
lunfs_pages_forget (LunfsPages *t, uint32_t i, uint8_t mask)
{
  LunfsPage *p = &t->page[i];

  p->fill = NULL;
  p->valid &= (uint8_t) ~mask;
  if (p->state == LUNFS_PAGE_FILLING || (p->valid == 0 && p->state != LUNFS_PAGE_WRITING)) {
    lunfs_pages_drop (t, i);
    return;
  }
  if (!(p->kept & mask))
    return;
  p->kept &= (uint8_t) ~mask;
  p->dirty &= (uint8_t) ~mask;
  if (!(p->flags & LUNFS_PAGE_HELD) && (!p->kept || (!p->dirty && lunfs_state_pending (p->state))))
    lunfs_pages_set (t, i, p->kept ? LUNFS_PAGE_UNSTABLE : LUNFS_PAGE_CLEAN);
  record_less (t, i);
}

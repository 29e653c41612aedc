/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the page table share: pages.c (table, states), pages_write.c (what writes and discards make of a page),
 * pages_memory.c (chunks, eviction), pages_check.c (what an earlier worker left; the invariants).  Lists are linked by index. */
#ifndef LUNFS_PAGES_PRIVATE_H
#define LUNFS_PAGES_PRIVATE_H

#include "cache/pages.h"

static inline void
lunfs_list_init (LunfsPageList *l)
{
  l->head = l->tail = LUNFS_NO_PAGE;
  l->n = 0;
}

static inline void
lunfs_list_push_head (LunfsPages *t, LunfsPageList *l, uint32_t i)
{
  LunfsPage *p = &t->page[i];

  p->prev = LUNFS_NO_PAGE;
  p->next = l->head;
  if (l->head != LUNFS_NO_PAGE)
    t->page[l->head].prev = i;
  else
    l->tail = i;
  l->head = i;
  l->n++;
}

static inline void
lunfs_list_push_tail (LunfsPages *t, LunfsPageList *l, uint32_t i)
{
  LunfsPage *p = &t->page[i];

  p->next = LUNFS_NO_PAGE;
  p->prev = l->tail;
  if (l->tail != LUNFS_NO_PAGE)
    t->page[l->tail].next = i;
  else
    l->head = i;
  l->tail = i;
  l->n++;
}

static inline void
lunfs_list_unlink (LunfsPages *t, LunfsPageList *l, uint32_t i)
{
  LunfsPage *p = &t->page[i];

  if (p->prev != LUNFS_NO_PAGE)
    t->page[p->prev].next = p->next;
  else
    l->head = p->next;
  if (p->next != LUNFS_NO_PAGE)
    t->page[p->next].prev = p->prev;
  else
    l->tail = p->prev;
  l->n--;
}

/* Its pages have records in the arena. */
static inline bool
lunfs_state_keeps (unsigned state)
{
  return state >= LUNFS_PAGE_DIRTY && state <= LUNFS_PAGE_COMMITTING;
}

/* A flush waits for it. */
static inline bool
lunfs_state_pending (unsigned state)
{
  return state == LUNFS_PAGE_DIRTY || state == LUNFS_PAGE_WRITING;
}

/* pages.c */
/* The list a page of its state and flags stands on; NULL = none. */
LunfsPageList *lunfs_pages_list_of (LunfsPages *t, const LunfsPage *p);
/* Publish @i in the arena, or withdraw it: the store of `kept` is what counts. */
void lunfs_pages_record (LunfsPages *t, uint32_t i, bool kept);
/* Lists, counts and flags of leaving its state for @state. */
void lunfs_pages_move (LunfsPages *t, uint32_t i, unsigned state);
/* Out of the table. */
void lunfs_pages_leave (LunfsPages *t, uint32_t i);
/* @i's place is taken by another page or by none; @i itself is OLD if a command uses its memory, else FREE. */
void lunfs_pages_retire (LunfsPages *t, uint32_t i);
/* A flush waits for the data of @old, which was there before it: so it waits for @i, which replaces that. */
void lunfs_pages_inherit_generation (LunfsPages *t, uint32_t i, uint32_t old);

/* pages_memory.c */
/* Onto the free list; a chunk that is free as a whole leaves it. */
void lunfs_pages_set_free (LunfsPages *t, uint32_t i);
/* @chunk is the table's now, none of it used. */
void lunfs_pages_own_chunk (LunfsPages *t, uint32_t chunk);

#endif

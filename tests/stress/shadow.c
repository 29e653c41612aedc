/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules are in shadow.h. */
#include "shadow.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LOCKS = 4096 };

typedef struct Record {
  uint64_t generation, start, end;
  uint16_t lo, hi;
} Record;

typedef struct Cell {
  Record *records; /* &one, or allocated */
  uint32_t n, room;
  Record one;
} Cell;

struct Shadow {
  uint64_t seed, ncells;
  unsigned nthreads;
  uint64_t clock, next_generation; /* atomic */
  uint64_t *reading; /* atomic, one per thread: not after the start of its read; SHADOW_NEVER = none */
  Cell *cells;
  pthread_mutex_t locks[LOCKS];
};

/* Part of a cell that an operation touches. */
typedef struct Part {
  uint64_t index;
  unsigned lo, hi;
  size_t at; /* in the operation's buffer */
} Part;

static void *
need (void *p)
{
  if (!p)
    abort (); /* a test without memory has nothing to say */
  return p;
}

uint64_t
shadow_clock (Shadow *s)
{
  return __atomic_add_fetch (&s->clock, 1, __ATOMIC_SEQ_CST);
}

/* --- data --------------------------------------------------------------------------------------------------
 */

static uint64_t
mix (uint64_t x)
{
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}

void
shadow_fill (const Shadow *s, uint64_t generation, uint64_t offset, uint8_t *buf, size_t len)
{
  uint64_t base = mix (s->seed ^ generation * 0x9e3779b97f4a7c15ull);

  if (generation & 1) {
    memset (buf, 0, len);
    return;
  }
  for (size_t done = 0; done < len;) {
    uint64_t at = offset + done, word = mix (base + (at / 8) * 0xd1342543de82ef95ull);
    size_t skip = at % 8, n = 8 - skip < len - done ? 8 - skip : len - done;
    if (n == 8)
      memcpy (buf + done, &word, 8);
    else
      memcpy (buf + done, (uint8_t *) &word + skip, n);
    done += n;
  }
}

/* --- cells -------------------------------------------------------------------------------------------------
 */

Shadow *
shadow_new (uint64_t size, unsigned nthreads, uint64_t seed)
{
  Shadow *s = need (calloc (1, sizeof *s));

  s->seed = seed;
  s->ncells = (size + CELL - 1) / CELL;
  s->nthreads = nthreads;
  s->cells = need (calloc (s->ncells, sizeof *s->cells));
  s->reading = need (malloc (nthreads * sizeof *s->reading));
  for (unsigned i = 0; i < nthreads; i++)
    s->reading[i] = SHADOW_NEVER;
  for (unsigned i = 0; i < LOCKS; i++)
    pthread_mutex_init (&s->locks[i], NULL);
  return s;
}

static void
cell_set (Cell *cell, Record *records, uint32_t n, uint32_t room)
{
  if (cell->records != &cell->one)
    free (cell->records);
  cell->records = records;
  cell->n = n;
  cell->room = room;
}

void
shadow_free (Shadow *s)
{
  if (!s)
    return;
  for (uint64_t i = 0; i < s->ncells; i++)
    cell_set (&s->cells[i], NULL, 0, 0);
  for (unsigned i = 0; i < LOCKS; i++)
    pthread_mutex_destroy (&s->locks[i]);
  free (s->cells);
  free (s->reading);
  free (s);
}

static void
cell_push (Cell *cell, Record r)
{
  if (!cell->records) {
    cell->records = &cell->one;
    cell->room = 1;
  }
  if (cell->n == cell->room) {
    uint32_t room = cell->room * 2 + 2;
    Record *more = need (malloc (room * sizeof *more));
    memcpy (more, cell->records, cell->n * sizeof *more);
    cell_set (cell, more, cell->n, room);
  }
  cell->records[cell->n++] = r;
}

static Cell *
cell_lock (Shadow *s, uint64_t index)
{
  pthread_mutex_lock (&s->locks[index % LOCKS]);
  return &s->cells[index];
}

static void
cell_unlock (Shadow *s, uint64_t index)
{
  pthread_mutex_unlock (&s->locks[index % LOCKS]);
}

static bool
next_part (Part *p, uint64_t offset, size_t len, size_t done)
{
  uint64_t at = offset + done;

  if (done >= len)
    return false;
  p->at = done;
  p->index = at / CELL;
  p->lo = at % CELL;
  p->hi = len - done < CELL - p->lo ? p->lo + (unsigned) (len - done) : CELL;
  return true;
}
#define FOR_PARTS(p, offset, len)                                                                            \
  for (Part p = { 0 }; next_part (&p, offset, len, p.hi ? p.at + (p.hi - p.lo) : 0);)

/* The next border of a record after @from, or @limit. */
static unsigned
next_border (const Cell *cell, unsigned from, unsigned limit)
{
  for (uint32_t i = 0; i < cell->n; i++) {
    const Record *r = &cell->records[i];
    if (r->lo > from && r->lo < limit)
      limit = r->lo;
    if (r->hi > from && r->hi < limit)
      limit = r->hi;
  }
  return limit;
}

static bool
covers (const Record *r, unsigned at)
{
  return r->lo <= at && at < r->hi;
}

/* Was @r certainly overwritten at byte @at before @time?  */
static bool
overwritten (const Cell *cell, const Record *r, unsigned at, uint64_t time)
{
  for (uint32_t i = 0; i < cell->n; i++) {
    const Record *h = &cell->records[i];
    if (covers (h, at) && r->end < h->start && h->end < time)
      return true;
  }
  return false;
}

static uint64_t
oldest_read (Shadow *s)
{
  uint64_t oldest = SHADOW_NEVER;

  for (unsigned i = 0; i < s->nthreads; i++) {
    uint64_t t = __atomic_load_n (&s->reading[i], __ATOMIC_SEQ_CST);
    if (t < oldest)
      oldest = t;
  }
  return oldest;
}

/* Add the part [lo, hi) of @r to @to, joined to its left neighbour if that is there. */
static void
add_piece (Cell *to, const Record *r, unsigned lo, unsigned hi)
{
  Record piece = *r;

  for (uint32_t i = to->n; i-- > 0;)
    if (to->records[i].generation == r->generation && to->records[i].hi == lo) {
      to->records[i].hi = (uint16_t) hi;
      return;
    }
  piece.lo = (uint16_t) lo;
  piece.hi = (uint16_t) hi;
  cell_push (to, piece);
}

static void
cell_replace (Cell *cell, Cell *by)
{
  if (by->records == &by->one) {
    cell->one = by->one;
    cell_set (cell, &cell->one, by->n, 1);
  } else {
    cell_set (cell, by->records, by->n, by->room);
  }
}

/* Forget what no running or future read can see. */
static void
cell_compact (Shadow *s, Cell *cell)
{
  Cell fresh = { 0 };
  uint64_t oldest;

  if (cell->n < 2)
    return;
  /* Read the clocks of readers first: one that starts now starts after every end that is written already. */
  oldest = oldest_read (s);
  for (unsigned lo = 0, hi; lo < CELL; lo = hi) {
    hi = next_border (cell, lo, CELL);
    for (uint32_t i = 0; i < cell->n; i++)
      if (covers (&cell->records[i], lo) && !overwritten (cell, &cell->records[i], lo, oldest))
        add_piece (&fresh, &cell->records[i], lo, hi);
  }
  cell_replace (cell, &fresh);
}

/* --- changes -----------------------------------------------------------------------------------------------
 */

uint64_t
shadow_change_start (Shadow *s, uint64_t offset, size_t len, bool zeroes)
{
  uint64_t generation = __atomic_add_fetch (&s->next_generation, 1, __ATOMIC_SEQ_CST) << 1 | zeroes;
  uint64_t start = shadow_clock (s);

  FOR_PARTS (p, offset, len)
  {
    Cell *cell = cell_lock (s, p.index);
    cell_push (cell, (Record){ generation, start, SHADOW_NEVER, (uint16_t) p.lo, (uint16_t) p.hi });
    cell_unlock (s, p.index);
  }
  return generation;
}

static void
cell_undo (Cell *cell, uint64_t generation)
{
  uint32_t n = 0;

  for (uint32_t i = 0; i < cell->n; i++)
    if (cell->records[i].generation != generation)
      cell->records[n++] = cell->records[i];
  cell->n = n;
}

void
shadow_change_end (Shadow *s, uint64_t offset, size_t len, uint64_t generation, bool undone)
{
  uint64_t end = shadow_clock (s);

  FOR_PARTS (p, offset, len)
  {
    Cell *cell = cell_lock (s, p.index);
    if (undone)
      cell_undo (cell, generation);
    for (uint32_t i = 0; i < cell->n; i++)
      if (cell->records[i].generation == generation)
        cell->records[i].end = end;
    cell_compact (s, cell);
    cell_unlock (s, p.index);
  }
}

/* --- reads -------------------------------------------------------------------------------------------------
 */

uint64_t
shadow_read_start (Shadow *s, unsigned thread)
{
  /* Announced first, so that a change that ends after rstart finds this read and keeps what it replaced. */
  __atomic_store_n (&s->reading[thread], __atomic_load_n (&s->clock, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
  return shadow_clock (s);
}

typedef struct Check {
  const Shadow *s;
  const Cell *cell;
  uint64_t base; /* file offset of the cell */
  uint64_t rstart, rend;
  const uint8_t *data; /* the whole cell's, as far as it was read */
  bool allow_torn;
} Check;

static bool
candidate (const Check *c, const Record *r, unsigned at)
{
  return covers (r, at) && r->start < c->rend && !overwritten (c->cell, r, at, c->rstart);
}

static bool
matches (const Check *c, const Record *r, unsigned lo, unsigned hi)
{
  uint8_t want[CELL];

  shadow_fill (c->s, r->generation, c->base + lo, want, hi - lo);
  return !memcmp (want, c->data + lo, hi - lo);
}

static bool
each_byte_matches (const Check *c, unsigned lo, unsigned hi)
{
  bool good[CELL] = { false };

  for (uint32_t i = 0; i < c->cell->n; i++) {
    uint8_t want[CELL];
    if (!candidate (c, &c->cell->records[i], lo))
      continue;
    shadow_fill (c->s, c->cell->records[i].generation, c->base + lo, want, hi - lo);
    for (unsigned b = lo; b < hi; b++)
      good[b] |= want[b - lo] == c->data[b];
  }
  for (unsigned b = lo; b < hi; b++)
    if (!good[b])
      return false;
  return true;
}

static bool
check_interval (const Check *c, unsigned lo, unsigned hi, ShadowCounts *counts, Finding *out)
{
  Finding f = { .offset = c->base + lo, .len = hi - lo };
  bool whole = false, busy = false;

  for (uint32_t i = 0; i < c->cell->n; i++) {
    const Record *r = &c->cell->records[i];
    if (!candidate (c, r, lo))
      continue;
    whole = whole || matches (c, r, lo, hi);
    busy |= r->end > c->rstart;
    if (f.ncandidates < SHADOW_CANDIDATES)
      f.candidates[f.ncandidates] = r->generation;
    f.ncandidates++;
  }
  counts->contested += f.ncandidates > 1;
  if (whole)
    return true;
  f.torn = each_byte_matches (c, lo, hi);
  if (f.torn && (busy || c->allow_torn))
    return true;
  *out = f;
  return false;
}

/* After a good read of [lo, hi) of a quiet cell: strike off the candidates that it did not see. */
static bool
cell_settle (Shadow *s, const Check *c, Cell *cell, unsigned lo, unsigned hi)
{
  uint64_t oldest = oldest_read (s);
  Cell fresh = { 0 };
  bool struck = false;

  if (cell->n < 2 || c->allow_torn)
    return false;
  for (uint32_t i = 0; i < cell->n; i++)
    if (cell->records[i].end >= c->rstart || cell->records[i].end >= oldest)
      return false;
  for (unsigned a = 0, b; a < CELL; a = b) {
    b = next_border (cell, a, a < lo ? lo : a < hi ? hi : CELL);
    for (uint32_t i = 0; i < cell->n; i++) {
      const Record *r = &cell->records[i];
      if (!covers (r, a))
        continue;
      if (a < lo || a >= hi || (candidate (c, r, a) && matches (c, r, a, b)))
        add_piece (&fresh, r, a, b);
      else
        struck = true;
    }
  }
  cell_replace (cell, &fresh);
  return struck;
}

bool
shadow_read_check (Shadow *s, unsigned thread, uint64_t rstart, uint64_t offset, const uint8_t *data,
                   size_t len, bool allow_torn, ShadowCounts *counts, Finding *out)
{
  uint64_t rend = shadow_clock (s);
  bool good = true;

  FOR_PARTS (p, offset, len)
  {
    uint8_t copy[CELL];
    Cell *cell = cell_lock (s, p.index);
    Check c = { s, cell, p.index * CELL, rstart, rend, copy, allow_torn };

    memcpy (copy + p.lo, data + p.at, p.hi - p.lo);
    counts->cells++;
    for (unsigned lo = p.lo, hi; good && lo < p.hi; lo = hi) {
      hi = next_border (cell, lo, p.hi);
      good = check_interval (&c, lo, hi, counts, out);
    }
    if (good)
      counts->settled += cell_settle (s, &c, cell, p.lo, p.hi);
    cell_unlock (s, p.index);
    if (!good)
      break;
  }
  __atomic_store_n (&s->reading[thread], SHADOW_NEVER, __ATOMIC_SEQ_CST);
  return good;
}

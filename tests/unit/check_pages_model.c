/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page table against a model: two LUNs that share too little memory, random operations as the cache does them, and the
 * death of a worker now and then.  Each write has a number of its own, which is the data of its blocks.
 *
 * Checked after each step: the table's own invariants; just what the model says is kept and dirty; every valid block has
 * the newest data; what a WRITE sends does not change under its hands, and no page is sent twice at once; what a flush
 * waits for is at the target when it ends.  After a death: what was kept is there, and nothing else.
 *
 * LUNFS_MODEL_SEED=N [1]: seeds from N on. */
#include "config.h"

#include "cache/pages.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS 100
#define STEPS 2500
#define LUNS 2
#define NPAGES 80u
#define BLOCKS 8u
#define CHUNKS 16u
#define COMMANDS 16

/* libcheck's own assertion writes to a pipe each time. */
#define must(expression, ...)                                                                                          \
  do {                                                                                                                 \
    if (!(expression))                                                                                                 \
      ck_abort_msg (__VA_ARGS__);                                                                                      \
  } while (0)

typedef struct {
  uint32_t newest[BLOCKS], target[BLOCKS];
  uint32_t due[BLOCKS]; /* what the flush under way has to bring to the target */
  uint8_t kept, dirty;
} Truth;

typedef struct {
  bool busy, fill;
  unsigned lun;
  uint64_t number;
  uint32_t page;
  uint8_t mask;
  uint32_t sent[BLOCKS];
} Command;

typedef struct {
  LunfsPages t;
  Truth truth[NPAGES];
  bool committing, draining;
  unsigned drain_generation;
} Lun;

static GRand *rnd;
static unsigned seed, step;
static LunfsArena *arena;
static LunfsPool *pool;
static LunfsFrames *frames;
static LunfsLane *lane;
static uint64_t limit_bytes;
static uint32_t bs, version;
static Lun lun[LUNS];
static Command command[COMMANDS];

static unsigned
pick (unsigned n)
{
  return (unsigned) g_rand_int_range (rnd, 0, (gint32) n);
}

static int64_t
no_clock (void *user)
{
  return 1;
}

/* ---- data ---- */

static uint8_t *
block (const Lun *l, uint32_t i, unsigned b)
{
  return lunfs_page_data (&l->t, i) + b * bs;
}

static void
put_block (const Lun *l, uint32_t i, unsigned b, uint32_t value)
{
  memcpy (block (l, i, b), &value, sizeof value);
  memcpy (block (l, i, b) + bs - sizeof value, &value, sizeof value);
}

static uint32_t
get_block (const Lun *l, uint32_t i, unsigned b)
{
  uint32_t first, last;

  memcpy (&first, block (l, i, b), sizeof first);
  memcpy (&last, block (l, i, b) + bs - sizeof last, sizeof last);
  must (first == last, "seed %u, step %u: half a block", seed, step);
  return first;
}

#define for_each_block(b, mask)                                                                                        \
  for (unsigned b = 0; b < BLOCKS; b++)                                                                                \
    if ((mask) >> b & 1)

/* ---- what must be true at any time ---- */

static void
check_page (const Lun *l, uint64_t n)
{
  const Truth *m = &l->truth[n];
  uint32_t i = lunfs_pages_find (&l->t, n);
  const LunfsPage *p;

  if (i == LUNFS_NO_PAGE) {
    must (m->kept == 0, "seed %u, step %u: page %u is gone", seed, step, (unsigned) n);
    return;
  }
  p = lunfs_page (&l->t, i);
  must (p->kept == m->kept, "seed %u, step %u: page %u keeps %02x, not %02x", seed, step, (unsigned) n, p->kept,
        m->kept);
  must (p->dirty == m->dirty, "seed %u, step %u: of page %u %02x is dirty, not %02x", seed, step, (unsigned) n,
        p->dirty, m->dirty);
  must ((p->valid & ~lunfs_pages_whole (&l->t, n)) == 0, "seed %u, step %u: page %u is too long", seed, step,
        (unsigned) n);
  for_each_block (b, p->valid)
      must (get_block (l, i, b) == m->newest[b], "seed %u, step %u: page %u, block %u: %u, not %u", seed, step,
            (unsigned) n, b, get_block (l, i, b), m->newest[b]);
  for_each_block (b, lunfs_pages_whole (&l->t, n) & ~p->kept) must (
      m->newest[b] == m->target[b], "seed %u, step %u: page %u, block %u is nowhere", seed, step, (unsigned) n, b);
}

static void
check_all (void)
{
  uint64_t bytes = 0;

  for (unsigned k = 0; k < LUNS; k++) {
    const char *wrong = lunfs_pages_check (&lun[k].t);
    uint64_t kept = 0;

    must (!wrong, "seed %u, step %u: %s", seed, step, wrong);
    for (uint64_t n = 0; n < NPAGES; n++) {
      check_page (&lun[k], n);
      kept += lun[k].truth[n].kept != 0;
    }
    must (lunfs_pages_kept_bytes (&lun[k].t) >= kept * LUNFS_PAGE_BYTES, "seed %u, step %u: kept bytes", seed, step);
    bytes += atomic_load (&lun[k].t.user.bytes);
    must (atomic_load (&lun[k].t.user.bytes) == (uint64_t) lun[k].t.chunks->len * LUNFS_CHUNK_BYTES,
          "seed %u, step %u: bytes of chunks", seed, step);
  }
  must (bytes <= MAX (limit_bytes, CHUNKS * LUNFS_CHUNK_BYTES), "seed %u, step %u: over the limit", seed, step);
}

/* The flush has ended if nothing is pending of its generation. */
static void
check_drain (Lun *l)
{
  if (!l->draining || l->t.pending[l->drain_generation & 1] > 0)
    return;
  l->draining = false;
  for (uint64_t n = 0; n < NPAGES; n++)
    for (unsigned b = 0; b < BLOCKS; b++)
      must (l->truth[n].target[b] >= l->truth[n].due[b], "seed %u, step %u: page %u, block %u is flushed too early",
            seed, step, (unsigned) n, b);
}

/* ---- commands ---- */

static Command *
command_of (const Lun *l, uint64_t number, bool fill)
{
  for (unsigned c = 0; c < COMMANDS; c++)
    if (command[c].busy && &lun[command[c].lun] == l && command[c].number == number && command[c].fill == fill)
      return &command[c];
  return NULL;
}

static Command *
new_command (Lun *l, uint64_t number, uint32_t i, bool fill)
{
  for (unsigned c = 0; c < COMMANDS; c++)
    if (!command[c].busy) {
      command[c] = (Command){ .busy = true, .fill = fill, .lun = (unsigned) (l - lun), .number = number, .page = i };
      return &command[c];
    }
  return NULL;
}

static bool
has_room (void)
{
  for (unsigned c = 0; c < COMMANDS; c++)
    if (!command[c].busy)
      return true;
  return false;
}

/* Blocks that some WRITE under way sends. */
static uint8_t
being_sent (const Lun *l, uint64_t n)
{
  const Command *c = command_of (l, n, false);

  return c ? c->mask : 0;
}

static void
begin_fill (Lun *l)
{
  uint64_t n = pick (NPAGES);
  uint32_t i;

  if (lunfs_pages_find (&l->t, n) != LUNFS_NO_PAGE || !has_room ())
    return;
  i = lunfs_pages_take (&l->t);
  if (i == LUNFS_NO_PAGE)
    return;
  if (pick (8) == 0) { /* beside the table, as for a page of which some is there */
    lunfs_pages_loose (&l->t, i);
  } else {
    must (lunfs_pages_find (&l->t, n) == LUNFS_NO_PAGE, "it came of itself");
    lunfs_pages_insert (&l->t, i, n, LUNFS_PAGE_FILLING, 0);
  }
  new_command (l, n, i, true);
}

static void
begin_chunk (Lun *l)
{
  uint64_t n = pick (NPAGES - LUNFS_PAGES_PER_CHUNK);
  uint32_t first;

  if (!lunfs_pages_take_chunk (&l->t, &first))
    return;
  for (unsigned k = 0; k < LUNFS_PAGES_PER_CHUNK; k++)
    if (lunfs_pages_find (&l->t, n + k) == LUNFS_NO_PAGE && has_room () && pick (8)) {
      lunfs_pages_insert (&l->t, first + k, n + k, LUNFS_PAGE_FILLING, 0);
      new_command (l, n + k, first + k, true);
    } else {
      lunfs_pages_give (&l->t, first + k);
    }
}

static void
end_fill (Command *c)
{
  Lun *l = &lun[c->lun];
  LunfsPage *p = lunfs_page (&l->t, c->page);

  c->busy = false;
  if (p->state == LUNFS_PAGE_FILLING && pick (5)) {
    for_each_block (b, lunfs_pages_whole (&l->t, c->number)) put_block (l, c->page, b, l->truth[c->number].target[b]);
    p->valid = lunfs_pages_whole (&l->t, c->number);
    lunfs_pages_set (&l->t, c->page, LUNFS_PAGE_CLEAN);
    return;
  }
  if (p->state == LUNFS_PAGE_FILLING)
    lunfs_pages_drop (&l->t, c->page);
  lunfs_pages_release (&l->t, c->page);
}

static void
begin_write (Lun *l)
{
  LunfsPageList *list = pick (2) ? &l->t.recover : &l->t.list[LUNFS_PAGE_DIRTY];
  Command *c;

  if (list->n == 0 || !has_room ())
    return;
  must (!command_of (l, lunfs_page (&l->t, list->head)->number, false), "seed %u, step %u: sent twice", seed, step);
  c = new_command (l, lunfs_page (&l->t, list->head)->number, list->head, false);
  c->mask = lunfs_page (&l->t, c->page)->dirty;
  for_each_block (b, c->mask) c->sent[b] = get_block (l, c->page, b);
  lunfs_pages_set (&l->t, c->page, LUNFS_PAGE_WRITING);
}

static void
end_write (Command *c, bool good)
{
  Lun *l = &lun[c->lun];
  Truth *m = &l->truth[c->number];
  LunfsPage *p = lunfs_page (&l->t, c->page);

  c->busy = false;
  for_each_block (b, c->mask)
  {
    must (get_block (l, c->page, b) == c->sent[b], "seed %u, step %u: changed while it is sent", seed, step);
    if (good)
      m->target[b] = c->sent[b];
  }
  if (p->state == LUNFS_PAGE_OLD) {
    if (good) {
      lunfs_pages_release (&l->t, c->page);
    } else {
      m->dirty |= c->mask & m->kept;
      lunfs_pages_hand_over (&l->t, c->page);
    }
    return;
  }
  if (!good) {
    if (pick (2))
      lunfs_pages_recovered (&l->t, c->page);
    lunfs_pages_set (&l->t, c->page, LUNFS_PAGE_DIRTY);
    return;
  }
  m->dirty = 0;
  if (m->kept == c->mask && pick (2)) {
    m->kept = 0;
    lunfs_pages_set (&l->t, c->page, LUNFS_PAGE_CLEAN);
  } else {
    lunfs_pages_set (&l->t, c->page, LUNFS_PAGE_UNSTABLE);
  }
}

static void
end_some (Lun *l)
{
  Command *c = &command[pick (COMMANDS)];

  if (!c->busy)
    return;
  if (c->fill)
    end_fill (c);
  else
    end_write (c, pick (4) != 0);
}

/* ---- users ---- */

/* Blocks that may change at the target by themselves: nobody else is about to write them, and it serves users. */
static uint8_t
settled_blocks (const Lun *l, uint64_t n, uint8_t mask)
{
  uint32_t i = lunfs_pages_find (&l->t, n);

  if (i != LUNFS_NO_PAGE && lunfs_page (&l->t, i)->flags & LUNFS_PAGE_RECOVER)
    return 0;
  return (uint8_t) (mask & ~being_sent (l, n) & ~l->truth[n].dirty);
}

static void
write_into (Lun *l, LunfsPageState state)
{
  uint64_t n = pick (NPAGES);
  uint8_t mask = (uint8_t) (lunfs_pages_whole (&l->t, n) & (pick (3) ? 1u << pick (BLOCKS) : 1 + pick (255)));
  Truth *m = &l->truth[n];
  uint32_t i, before = lunfs_pages_find (&l->t, n);
  bool copied = before != LUNFS_NO_PAGE && lunfs_page (&l->t, before)->state == LUNFS_PAGE_WRITING;

  if (state != LUNFS_PAGE_DIRTY)
    mask = settled_blocks (l, n, mask);
  if (mask == 0)
    return;
  l->t.seq++;
  i = lunfs_pages_prepare (&l->t, n);
  if (i == LUNFS_NO_PAGE) {
    if (state == LUNFS_PAGE_DIRTY)
      return;
    before = lunfs_pages_find (&l->t, n); /* the target has it, and memory must not have what is older */
    for_each_block (b, mask) m->newest[b] = m->target[b] = version;
    m->kept &= (uint8_t) ~mask;
    if (before != LUNFS_NO_PAGE)
      lunfs_pages_forget (&l->t, before, mask);
    return;
  }
  if (copied) {
    must (i != before, "seed %u, step %u: not copied", seed, step);
    m->dirty = 0;
  }
  for_each_block (b, mask)
  {
    m->newest[b] = version;
    if (state != LUNFS_PAGE_DIRTY)
      m->target[b] = version;
    put_block (l, i, b, version);
  }
  lunfs_pages_wrote (&l->t, i, mask, state);
  if (state != LUNFS_PAGE_CLEAN)
    m->kept |= mask;
  if (state == LUNFS_PAGE_DIRTY)
    m->dirty |= mask;
}

static void
write_dirty (Lun *l)
{
  write_into (l, LUNFS_PAGE_DIRTY);
}

/* The target has it already. */
static void
write_taken (Lun *l)
{
  write_into (l, pick (2) ? LUNFS_PAGE_UNSTABLE : LUNFS_PAGE_CLEAN);
}

static void
replace_one (Lun *l, uint32_t i, uint64_t n, LunfsPageState state)
{
  Truth *m = &l->truth[n];
  uint8_t whole = lunfs_pages_whole (&l->t, n);

  for_each_block (b, whole)
  {
    put_block (l, i, b, version);
    m->newest[b] = version;
    if (state != LUNFS_PAGE_DIRTY)
      m->target[b] = version;
  }
  lunfs_pages_replace (&l->t, i, n, state);
  m->kept = state == LUNFS_PAGE_CLEAN ? 0 : whole;
  m->dirty = state == LUNFS_PAGE_DIRTY ? whole : 0;
}

static LunfsPageState
state_for (const Lun *l, uint64_t n, unsigned npages)
{
  for (uint64_t end = n + npages; n < end; n++)
    if (settled_blocks (l, n, 0xff) != 0xff)
      return LUNFS_PAGE_DIRTY;
  return pick (3) ? LUNFS_PAGE_DIRTY : pick (2) ? LUNFS_PAGE_UNSTABLE : LUNFS_PAGE_CLEAN;
}

static void
replace (Lun *l)
{
  uint64_t n = pick (NPAGES);
  uint32_t i = lunfs_pages_take (&l->t);

  l->t.seq++;
  if (i == LUNFS_NO_PAGE)
    return;
  if (pick (10) == 0)
    lunfs_pages_give (&l->t, i);
  else
    replace_one (l, i, n, state_for (l, n, 1));
}

static void
adopt (Lun *l)
{
  unsigned npages = 8 + pick (24), nchunks = (npages + LUNFS_PAGES_PER_CHUNK - 1) / LUNFS_PAGES_PER_CHUNK;
  uint64_t n = pick (NPAGES - npages);
  LunfsPageState state = state_for (l, n, npages);
  uint32_t chunk[2];

  if (!lunfs_pool_take (pool, chunk, nchunks))
    return;
  l->t.seq++;
  if (!lunfs_pages_adopt (&l->t, chunk, nchunks, npages)) {
    lunfs_pool_give (pool, chunk, nchunks);
    return;
  }
  for (unsigned k = 0; k < npages; k++)
    replace_one (l, chunk[k / LUNFS_PAGES_PER_CHUNK] * LUNFS_PAGES_PER_CHUNK + k % LUNFS_PAGES_PER_CHUNK, n + k, state);
}

static void
discard (Lun *l)
{
  uint64_t n = pick (NPAGES);
  uint8_t mask = (uint8_t) (lunfs_pages_whole (&l->t, n) & (pick (2) ? 0xff : 1 + pick (255)));
  uint32_t i = lunfs_pages_find (&l->t, n);
  bool recovers = i != LUNFS_NO_PAGE && lunfs_page (&l->t, i)->flags & LUNFS_PAGE_RECOVER;

  /* One that is answered at once takes what is dirty with it. */
  if (pick (2) || recovers || command_of (l, n, false))
    mask = settled_blocks (l, n, mask);
  l->t.seq++;
  for_each_block (b, mask) l->truth[n].newest[b] = l->truth[n].target[b] = version;
  l->truth[n].kept &= (uint8_t) ~mask;
  l->truth[n].dirty &= (uint8_t) ~mask;
  if (i != LUNFS_NO_PAGE && mask)
    lunfs_pages_forget (&l->t, i, mask);
}

static void
put_aside (Lun *l)
{
  if (pick (2))
    lunfs_pages_call_back (&l->t);
  else if (l->t.list[LUNFS_PAGE_DIRTY].n > 0)
    lunfs_pages_put_behind (&l->t, l->t.list[LUNFS_PAGE_DIRTY].head);
  else if (l->t.recover.n > 0)
    lunfs_pages_put_behind (&l->t, l->t.recover.head);
}

/* As for a disowned page: what it keeps is given up. */
static void
drop (Lun *l)
{
  uint64_t n = pick (NPAGES);
  uint32_t i = lunfs_pages_find (&l->t, n);
  Truth *m = &l->truth[n];

  if (i == LUNFS_NO_PAGE || command_of (l, n, false) || command_of (l, n, true))
    return;
  lunfs_pages_drop (&l->t, i);
  m->kept = m->dirty = 0;
  for (unsigned b = 0; b < BLOCKS; b++) {
    m->newest[b] = m->target[b];
    m->due[b] = 0;
  }
}

static void
read_page (Lun *l)
{
  uint32_t i = lunfs_pages_find (&l->t, pick (NPAGES));

  if (i != LUNFS_NO_PAGE && lunfs_page (&l->t, i)->state != LUNFS_PAGE_FILLING)
    lunfs_pages_touch (&l->t, i, pick (4) == 0);
}

/* ---- the rest of the cache ---- */

static void
set_all (Lun *l, LunfsPageState from, LunfsPageState to)
{
  while (l->t.list[from].n > 0) {
    uint32_t i = l->t.list[from].head;

    if (to == LUNFS_PAGE_CLEAN)
      l->truth[lunfs_page (&l->t, i)->number].kept = 0;
    lunfs_pages_set (&l->t, i, to);
  }
}

static void
commit (Lun *l)
{
  if (!l->committing) {
    set_all (l, LUNFS_PAGE_UNSTABLE, LUNFS_PAGE_COMMITTING);
    l->committing = true;
    return;
  }
  set_all (l, LUNFS_PAGE_COMMITTING, pick (4) ? LUNFS_PAGE_CLEAN : LUNFS_PAGE_UNSTABLE);
  l->committing = false;
}

static void
flush (Lun *l)
{
  if (l->draining)
    return;
  for (uint64_t n = 0; n < NPAGES; n++)
    for (unsigned b = 0; b < BLOCKS; b++)
      l->truth[n].due[b] = l->truth[n].newest[b];
  l->draining = true;
  l->drain_generation = l->t.generation++;
}

static void
recover (Lun *l)
{
  static const LunfsPageState from[] = { LUNFS_PAGE_COMMITTING, LUNFS_PAGE_UNSTABLE, LUNFS_PAGE_DIRTY };

  for (unsigned c = 0; c < COMMANDS; c++)
    if (command[c].busy && &lun[command[c].lun] == l && !command[c].fill)
      end_write (&command[c], false);
  l->committing = false;
  lunfs_pages_retry (&l->t);
  lunfs_pages_drop_clean (&l->t);
  for (unsigned k = 0; k < G_N_ELEMENTS (from); k++)
    while (l->t.list[from[k]].n > 0)
      lunfs_pages_recover (&l->t, l->t.list[from[k]].head);
  for (uint64_t n = 0; n < NPAGES; n++)
    l->truth[n].dirty = l->truth[n].kept;
}

static void
recovered (Lun *l)
{
  while (l->t.recover.n > 0)
    lunfs_pages_recovered (&l->t, l->t.recover.head);
}

static void
run_mail (Lun *l)
{
  lunfs_lane_run_once (lane, 0); /* somebody asks for memory */
}

static void
seldom (Lun *l)
{
  if (pick (3) == 0)
    lunfs_pages_shrink (&l->t, (1 + pick (3)) * LUNFS_CHUNK_BYTES);
  else if (pick (4) == 0)
    lunfs_pages_drop_clean (&l->t);
  else if (pick (4) == 0)
    recover (l);
  else
    drop (l);
}

static void
one_step (void)
{
  static const struct {
    unsigned weight;
    void (*run) (Lun *l);
  } what[] = { { 12, write_dirty }, { 2, write_taken }, { 2, replace },  { 1, adopt },     { 3, begin_fill },
               { 1, begin_chunk },  { 8, begin_write }, { 8, end_some }, { 1, discard },   { 3, read_page },
               { 1, commit },       { 1, flush },       { 1, run_mail }, { 1, recovered }, { 1, seldom },
               { 2, put_aside } };
  unsigned k = 0, n = pick (48);

  version++;
  while (n >= what[k].weight)
    n -= what[k++].weight;
  what[k].run (&lun[pick (LUNS)]);
}

/* ---- life ---- */

static void
begin_worker (void)
{
  pool = lunfs_pool_new (arena, false);
  frames = lunfs_frames_new (arena, pool, limit_bytes, limit_bytes);
  for (unsigned k = 0; k < LUNS; k++) {
    lunfs_pages_init (&lun[k].t, frames, lane, k + 5);
    lunfs_pages_geometry (&lun[k].t, bs, NPAGES * (LUNFS_PAGE_BYTES / bs) - (bs == 512 ? 3 : 0));
    lun[k].draining = lun[k].committing = false;
  }
}

static void
end_worker (void)
{
  lunfs_lane_run_once (lane, 0); /* its mail */
  for (unsigned k = 0; k < LUNS; k++)
    lunfs_pages_clear (&lun[k].t);
  lunfs_frames_free (frames);
  lunfs_pool_free (pool);
  memset (command, 0, sizeof command);
}

/* WRITEs under way may still reach the target. */
static void
die_and_restore (void)
{
  for (unsigned c = 0; c < COMMANDS; c++)
    if (command[c].busy && !command[c].fill && pick (2))
      for_each_block (b, command[c].mask) lun[command[c].lun].truth[command[c].number].target[b] = command[c].sent[b];
  end_worker ();
  begin_worker ();
  for (unsigned k = 0; k < LUNS; k++) {
    unsigned kept = 0;

    for (uint64_t n = 0; n < NPAGES; n++) {
      kept += lun[k].truth[n].kept != 0;
      lun[k].truth[n].dirty = 0;
    }
    must (lunfs_pages_restore (&lun[k].t) == kept, "seed %u, step %u: not what was kept", seed, step);
    must (lun[k].t.count[LUNFS_PAGE_UNSTABLE] == kept && lun[k].t.ninside == kept, "seed %u, step %u: more than that",
          seed, step);
  }
  check_all ();
  for (unsigned k = 0; k < LUNS; k++)
    recover (&lun[k]);
  check_all ();
}

START_TEST (test_random)
{
  const char *text = g_getenv ("LUNFS_MODEL_SEED");

  seed = (text ? (unsigned) atoi (text) : 1) + (unsigned) _i;
  rnd = g_rand_new_with_seed (seed);
  bs = pick (3) ? 512 : 4096;
  limit_bytes = (4 + pick (10)) * LUNFS_CHUNK_BYTES;
  lane = lunfs_lane_new (0, no_clock, NULL);
  arena = lunfs_arena_create (CHUNKS * LUNFS_CHUNK_BYTES, NULL);
  begin_worker ();
  for (step = 0; step < STEPS; step++) {
    one_step ();
    check_all ();
    for (unsigned k = 0; k < LUNS; k++)
      check_drain (&lun[k]);
    if (pick (400) == 0)
      die_and_restore ();
  }
  end_worker ();
  lunfs_arena_free (arena);
  lunfs_lane_free (lane);
  g_rand_free (rnd);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("pages_model");
  TCase *tc = tcase_create ("pages");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 60);
  tcase_add_loop_test (tc, test_random, 0, SEEDS);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

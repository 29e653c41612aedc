/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a worker is doing to the page table when it is killed: its successor finds in the arena each write that was
 * answered, nothing older, and nothing that was given up.  Only blocks of the write under way, which nobody was told of, may
 * be old or new or half of each.
 *
 * Once by killing workers at random, each the successor of the one before; once by stopping one after each instruction of
 * what matters most. */
#include "config.h"

#include "cache/pages.h"
#include "cache/ranges.h"
#include "lunfs/request.h"
#include "stepped.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NPAGES 40u
#define BLOCKS 8u
#define BS (LUNFS_PAGE_BYTES / BLOCKS)
#define LIMIT (4 * LUNFS_CHUNK_BYTES)
#define LUN 7
#define KILLS 40
#define SENDS 8
#define RANGES 8 /* more than one case uses */

/* What a worker has promised: memory that outlives it. */
typedef struct {
  uint32_t newest[NPAGES][BLOCKS];  /* answered last; 0: nothing, so it must not be found */
  uint8_t required[NPAGES][BLOCKS]; /* it must be found */
  uint8_t due[NPAGES][BLOCKS];      /* discarded, and the target has not done it: that must be found */
  uint32_t version;
  /* the write or discard under way */
  uint32_t active;
  uint64_t number;
  unsigned npages;
  uint8_t mask;
  bool discard;
  uint32_t first, last; /* versions; more than one if it was begun again */
  uint64_t rounds;      /* operations done, for the parent to see that there were any */
} Book;

typedef struct {
  LunfsPool *pool;
  LunfsFrames *frames;
  LunfsPages t;
  LunfsRanges r;
} Worker;

static LunfsLane *lane;
static LunfsArena *arena;
static volatile Book *book;

static int64_t
no_clock (void *user)
{
  return 1;
}

static void
setup (void)
{
  lane = lunfs_lane_new (0, no_clock, NULL);
  arena = lunfs_arena_create (0, NULL);
  book = mmap (NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne ((void *) book, MAP_FAILED);
}

static void
teardown (void)
{
  lunfs_arena_free (arena);
  lunfs_lane_free (lane);
  munmap ((void *) book, sizeof *book);
}

static void
worker_begin (Worker *w, LunfsArena *its_arena)
{
  w->pool = lunfs_pool_new (its_arena, false);
  w->frames = lunfs_frames_new (its_arena, w->pool, LIMIT, LIMIT);
  lunfs_pages_init (&w->t, w->frames, lane, LUN);
  lunfs_pages_geometry (&w->t, BS, NPAGES * BLOCKS);
  lunfs_ranges_reclaim (its_arena);
  lunfs_ranges_init (&w->r, its_arena, LUN);
}

static void
worker_restore (Worker *w)
{
  uint64_t seq = lunfs_ranges_restore (&w->r);

  lunfs_pages_restore (&w->t);
  w->t.seq = MAX (w->t.seq, seq);
}

static void
worker_end (Worker *w)
{
  lunfs_ranges_clear (&w->r);
  lunfs_pages_clear (&w->t);
  lunfs_frames_free (w->frames);
  lunfs_pool_free (w->pool);
}

/* ---- what must be found ---- */

static bool
is_under_way (uint64_t number, unsigned b)
{
  return book->active && number >= book->number && number < book->number + book->npages && book->mask >> b & 1;
}

static bool
is_right (uint64_t number, unsigned b, uint32_t value)
{
  if (value != 0 && value == book->newest[number][b])
    return true;
  return is_under_way (number, b) && !book->discard && value >= book->first && value <= book->last;
}

/* @kept: blocks that were found; @data: the page. */
static void
check_page (uint64_t number, uint8_t kept, const uint8_t *data, const char *when)
{
  for (unsigned b = 0; b < BLOCKS; b++) {
    if (!(kept >> b & 1)) {
      if (book->required[number][b] && !(is_under_way (number, b) && book->discard))
        ck_abort_msg ("%s: page %u, block %u is lost", when, (unsigned) number, b);
      continue;
    }
    for (unsigned at = 0; at < BS; at += sizeof (uint32_t)) {
      uint32_t value;

      memcpy (&value, data + b * BS + at, sizeof value);
      if (!is_right (number, b, value))
        ck_abort_msg ("%s: page %u, block %u, byte %u: %u, not %u", when, (unsigned) number, b, at, value,
                      book->newest[number][b]);
    }
  }
}

static void
check_due (const LunfsRanges *r, uint64_t number, const char *when)
{
  for (unsigned b = 0; b < BLOCKS; b++) {
    uint64_t at = number * LUNFS_PAGE_BYTES + b * BS;

    if (book->due[number][b] && !lunfs_ranges_is_due (r, at, at + BS))
      ck_abort_msg ("%s: page %u, block %u was discarded, and nobody knows", when, (unsigned) number, b);
  }
}

/* What a successor would find in @its_arena, which is not as before afterwards.  @found, if not NULL: where. */
static void
check_successor (LunfsArena *its_arena, const char *when, uint32_t *found, uint8_t *kept)
{
  Worker next;
  const char *wrong;
  unsigned records = 0;

  worker_begin (&next, its_arena);
  worker_restore (&next);
  for (unsigned i = 0; i < its_arena->header->nchunks * LUNFS_PAGES_PER_CHUNK; i++)
    records += its_arena->pages[i].kept;
  if (records != next.t.ninside)
    ck_abort_msg ("%s: %u records, %u pages", when, records, next.t.ninside);
  wrong = lunfs_pages_check (&next.t);
  ck_assert_msg (!wrong, "%s: %s", when, wrong);
  wrong = lunfs_ranges_check (&next.r);
  ck_assert_msg (!wrong, "%s: %s", when, wrong);
  if (next.t.ninside != next.t.count[LUNFS_PAGE_UNSTABLE])
    ck_abort_msg ("%s: other states", when);
  for (uint64_t n = 0; n < NPAGES; n++) {
    uint32_t i = lunfs_pages_find (&next.t, n);
    uint8_t mask = i == LUNFS_NO_PAGE ? 0 : lunfs_page (&next.t, i)->kept;

    check_page (n, mask, i == LUNFS_NO_PAGE ? NULL : lunfs_page_data (&next.t, i), when);
    check_due (&next.r, n, when);
    if (found) {
      found[n] = i;
      kept[n] = mask;
    }
  }
  worker_end (&next);
}

/* ---- a worker's life ---- */

static void
begin_change (uint64_t number, unsigned npages, uint8_t mask, bool discard)
{
  book->last = ++book->version;
  if (!book->active) {
    book->number = number;
    book->npages = npages;
    book->mask = mask;
    book->discard = discard;
    book->first = book->last;
    __atomic_store_n (&book->active, 1, __ATOMIC_SEQ_CST);
  }
}

static void
end_change (bool done)
{
  __atomic_thread_fence (__ATOMIC_SEQ_CST); /* answered now */
  for (uint64_t n = book->number; done && n < book->number + book->npages; n++)
    for (unsigned b = 0; b < BLOCKS; b++)
      if (book->mask >> b & 1) {
        if (book->discard)
          book->required[n][b] = 0;
        book->due[n][b] = book->discard; /* what is written goes with its page from now on */
        book->newest[n][b] = book->discard ? 0 : book->last;
        if (!book->discard)
          book->required[n][b] = 1;
      }
  __atomic_store_n (&book->active, 0, __ATOMIC_SEQ_CST);
}

static void
fill_blocks (LunfsPages *t, uint32_t i, uint8_t mask)
{
  uint32_t block[BS / sizeof (uint32_t)];

  for (unsigned k = 0; k < G_N_ELEMENTS (block); k++)
    block[k] = book->last;
  for (unsigned b = 0; b < BLOCKS; b++)
    if (mask >> b & 1)
      memcpy (lunfs_page_data (t, i) + b * BS, block, BS);
}

static void
write_blocks (LunfsPages *t, uint64_t number, uint8_t mask, LunfsPageState state)
{
  uint32_t i;

  begin_change (number, 1, mask, false);
  t->seq++;
  i = lunfs_pages_prepare (t, number);
  if (i != LUNFS_NO_PAGE) {
    fill_blocks (t, i, mask);
    lunfs_pages_wrote (t, i, mask, state);
  }
  end_change (i != LUNFS_NO_PAGE);
}

static void
replace_page (LunfsPages *t, uint64_t number, LunfsPageState state)
{
  uint32_t i;

  begin_change (number, 1, 0xff, false);
  t->seq++;
  i = lunfs_pages_take (t);
  if (i != LUNFS_NO_PAGE) {
    fill_blocks (t, i, 0xff);
    lunfs_pages_replace (t, i, number, state);
  }
  end_change (i != LUNFS_NO_PAGE);
}

static void
adopt_chunk (Worker *w, uint64_t number)
{
  uint32_t chunk;
  bool done;

  if (!lunfs_pool_take (w->pool, &chunk, 1))
    return;
  begin_change (number, LUNFS_PAGES_PER_CHUNK, 0xff, false);
  w->t.seq++;
  for (unsigned k = 0; k < LUNFS_PAGES_PER_CHUNK; k++)
    fill_blocks (&w->t, chunk * LUNFS_PAGES_PER_CHUNK + k, 0xff);
  done = lunfs_pages_adopt (&w->t, &chunk, 1, LUNFS_PAGES_PER_CHUNK);
  for (unsigned k = 0; done && k < LUNFS_PAGES_PER_CHUNK; k++)
    lunfs_pages_replace (&w->t, chunk * LUNFS_PAGES_PER_CHUNK + k, number + k, LUNFS_PAGE_DIRTY);
  end_change (done);
  if (!done)
    lunfs_pool_give (w->pool, &chunk, 1);
}

/* Blocks [from, end) of a page; the target does it later. */
static void
discard_blocks (Worker *w, uint64_t number, unsigned from, unsigned end)
{
  LunfsPages *t = &w->t;
  uint32_t i = lunfs_pages_find (t, number);
  uint8_t mask = (uint8_t) ((1u << end) - (1u << from));
  LunfsArenaRange range = { .offset = number * LUNFS_PAGE_BYTES + from * BS,
                            .length = (end - from) * BS,
                            .seq = t->seq + 1,
                            .op = LUNFS_OP_DISCARD };

  begin_change (number, 1, mask, true);
  t->seq++;
  if (!lunfs_ranges_add_due (&w->r, &range)) /* not ck_assert: half of its message would be left behind */
    abort ();
  if (i != LUNFS_NO_PAGE)
    lunfs_pages_forget (t, i, mask);
  end_change (true);
}

/* The target has done the oldest, or, what is as good to know of, it is stable. */
static void
did_discard (Worker *w, bool stable)
{
  LunfsRangeDue *due = w->r.due.head ? w->r.due.head->data : NULL;

  if (!due) {
    lunfs_ranges_drop (&w->r, UINT64_MAX);
    return;
  }
  for (uint64_t at = due->offset; at < due->end; at += BS)
    book->due[at / LUNFS_PAGE_BYTES][at % LUNFS_PAGE_BYTES / BS] = 0;
  __atomic_thread_fence (__ATOMIC_SEQ_CST);
  lunfs_ranges_did (&w->r, due, stable);
}

/* All that is unstable is stable. */
static void
commit (LunfsPages *t)
{
  while (t->list[LUNFS_PAGE_UNSTABLE].n > 0)
    lunfs_pages_set (t, t->list[LUNFS_PAGE_UNSTABLE].head, LUNFS_PAGE_COMMITTING);
  while (t->list[LUNFS_PAGE_COMMITTING].n > 0) {
    uint32_t i = t->list[LUNFS_PAGE_COMMITTING].head;

    for (unsigned b = 0; b < BLOCKS; b++)
      book->required[lunfs_page (t, i)->number][b] = 0;
    __atomic_thread_fence (__ATOMIC_SEQ_CST);
    lunfs_pages_set (t, i, LUNFS_PAGE_CLEAN);
  }
}

static void
end_send (LunfsPages *t, uint32_t i, bool good)
{
  bool old = lunfs_page (t, i)->state == LUNFS_PAGE_OLD;

  if (old && good)
    lunfs_pages_release (t, i);
  else if (old)
    lunfs_pages_hand_over (t, i);
  else
    lunfs_pages_set (t, i, good ? LUNFS_PAGE_UNSTABLE : LUNFS_PAGE_DIRTY);
}

static bool
is_settled (const LunfsPages *t, uint64_t number)
{
  uint32_t i = lunfs_pages_find (t, number);

  return i == LUNFS_NO_PAGE
         || (lunfs_page (t, i)->state != LUNFS_PAGE_DIRTY && lunfs_page (t, i)->state != LUNFS_PAGE_WRITING);
}

/* No WRITE of it is under way. */
static bool
may_discard (const LunfsPages *t, uint64_t number)
{
  uint32_t i = lunfs_pages_find (t, number);

  return i == LUNFS_NO_PAGE
         || (lunfs_page (t, i)->state != LUNFS_PAGE_WRITING && !(lunfs_page (t, i)->flags & LUNFS_PAGE_HELD));
}

/* What was under way comes again. */
static void
redo (Worker *w)
{
  LunfsPages *t = &w->t;

  if (!book->active)
    return;
  for (uint64_t n = book->number; n < book->number + book->npages; n++) {
    uint32_t i;

    book->last = ++book->version;
    t->seq++;
    i = book->discard ? lunfs_pages_find (t, n) : lunfs_pages_prepare (t, n);
    if (i == LUNFS_NO_PAGE)
      continue;
    if (book->discard) {
      lunfs_pages_forget (t, i, book->mask);
      continue;
    }
    fill_blocks (t, i, book->mask);
    lunfs_pages_wrote (t, i, book->mask, LUNFS_PAGE_DIRTY);
  }
  /* each page of a longer one has a version of its own by now */
  for (uint64_t n = book->number; n < book->number + book->npages; n++)
    for (unsigned b = 0; b < BLOCKS; b++)
      if (book->mask >> b & 1) {
        uint32_t i = lunfs_pages_find (t, n), value = 0;

        if (i != LUNFS_NO_PAGE && !book->discard)
          memcpy (&value, lunfs_page_data (t, i) + b * BS, sizeof value);
        book->required[n][b] = value != 0;
        book->due[n][b] = 0;
        book->newest[n][b] = value;
      }
  __atomic_store_n (&book->active, 0, __ATOMIC_SEQ_CST);
}

static void
one_operation (Worker *w, GRand *rnd, uint32_t *send)
{
  uint64_t n = (uint64_t) g_rand_int_range (rnd, 0, NPAGES);
  uint8_t mask = (uint8_t) g_rand_int_range (rnd, 1, 256);
  unsigned s = (unsigned) g_rand_int_range (rnd, 0, SENDS);
  LunfsPageList *dirty = &w->t.list[LUNFS_PAGE_DIRTY];

  if (w->r.due.length > 64)
    did_discard (w, true);
  switch (g_rand_int_range (rnd, 0, 16)) {
  case 0 ... 4:
    write_blocks (&w->t, n, mask, LUNFS_PAGE_DIRTY);
    break;
  case 5 ... 6:
    replace_page (&w->t, n, LUNFS_PAGE_DIRTY);
    break;
  case 7:
    if (may_discard (&w->t, n))
      discard_blocks (w, n, s, s + 1 + (unsigned) g_rand_int_range (rnd, 0, (gint32) (BLOCKS - s)));
    break;
  case 12:
    did_discard (w, g_rand_int_range (rnd, 0, 2));
    break;
  case 8:
    if (is_settled (&w->t, n))
      write_blocks (&w->t, n, mask, LUNFS_PAGE_UNSTABLE);
    break;
  case 9:
    if (g_rand_int_range (rnd, 0, 6) == 0)
      commit (&w->t);
    break;
  case 10:
    adopt_chunk (w, n % (NPAGES - LUNFS_PAGES_PER_CHUNK));
    break;
  default:
    if (send[s] != LUNFS_NO_PAGE) {
      end_send (&w->t, send[s], g_rand_int_range (rnd, 0, 4));
      send[s] = LUNFS_NO_PAGE;
    } else if (dirty->n > 0) {
      send[s] = dirty->head;
      lunfs_pages_set (&w->t, send[s], LUNFS_PAGE_WRITING);
    }
    break;
  }
}

static void G_GNUC_NORETURN
live (unsigned seed)
{
  GRand *rnd = g_rand_new_with_seed (seed);
  uint32_t send[SENDS];
  Worker w;

  memset (send, 0xff, sizeof send);
  worker_begin (&w, arena);
  worker_restore (&w);
  redo (&w);
  while (true) {
    one_operation (&w, rnd, send);
    book->rounds++;
  }
}

START_TEST (test_killed)
{
  GRand *rnd = g_rand_new_with_seed ((guint32) _i);
  LunfsArena *copy = lunfs_arena_create (0, NULL);
  uint64_t before = 0;
  unsigned idle = 0;

  for (unsigned k = 0; k < KILLS; k++) {
    g_autofree char *when = g_strdup_printf ("kill %u", k);
    pid_t pid = fork ();
    int status;

    ck_assert_int_ge (pid, 0);
    if (pid == 0)
      live ((unsigned) _i * KILLS + k);
    g_usleep ((gulong) g_rand_int_range (rnd, 0, 4000));
    kill (pid, SIGKILL);
    ck_assert_int_eq (waitpid (pid, &status, 0), pid);
    ck_assert (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
    memcpy (copy->chunks, arena->chunks, (size_t) arena->header->nchunks * LUNFS_CHUNK_BYTES);
    memcpy (copy->pages, arena->pages, arena->header->nchunks * LUNFS_PAGES_PER_CHUNK * sizeof *arena->pages);
    memcpy (copy->ranges, arena->ranges, LUNFS_ARENA_RANGES * sizeof *arena->ranges);
    check_successor (copy, when, NULL, NULL);
    idle += book->rounds == before;
    before = book->rounds;
  }
  ck_assert_uint_lt (idle, KILLS);
  lunfs_arena_free (copy);
  g_rand_free (rnd);
}
END_TEST

/* ---- instruction by instruction ---- */

static Worker stepped;

static uint32_t
sending (uint64_t number)
{
  uint32_t i = lunfs_pages_find (&stepped.t, number);

  lunfs_pages_set (&stepped.t, i, LUNFS_PAGE_WRITING);
  return i;
}

static uint32_t its_page;

static void
dirty_page (void)
{
  write_blocks (&stepped.t, 3, 0x0f, LUNFS_PAGE_DIRTY);
}

static void
writing_page (void)
{
  dirty_page ();
  its_page = sending (3);
}

static void
held_page (void)
{
  writing_page ();
  write_blocks (&stepped.t, 3, 0x81, LUNFS_PAGE_DIRTY);
}

static void
unstable_page (void)
{
  writing_page ();
  end_send (&stepped.t, its_page, true);
}

/* Blocks 0-3 unstable, 4-5 dirty. */
static void
half_dirty_page (void)
{
  unstable_page ();
  write_blocks (&stepped.t, 3, 0x30, LUNFS_PAGE_DIRTY);
}

static void
discarded_page (void)
{
  dirty_page ();
  discard_blocks (&stepped, 3, 0, 8);
}

static void
clean_page (void)
{
  unstable_page ();
  commit (&stepped.t);
}

static void
no_page (void)
{
}

/* As a worker leaves it that dies when it has published a copy, and not yet withdrawn what that replaces. */
static void
page_twice (void)
{
  held_page ();
  arena->pages[its_page].kept = 1;
}

/* The same, and the newer one is found first. */
static void
page_twice_reversed (void)
{
  write_blocks (&stepped.t, 4, 0x0f, LUNFS_PAGE_UNSTABLE);
  writing_page ();
  discard_blocks (&stepped, 4, 0, 8);
  write_blocks (&stepped.t, 3, 0x81, LUNFS_PAGE_DIRTY);
  if (lunfs_pages_find (&stepped.t, 3) > its_page)
    _exit (1);
  arena->pages[its_page].kept = 1;
}

/* All memory is clean pages, so that one has to go. */
static void
full_of_clean (void)
{
  for (unsigned n = 4; n < NPAGES; n++) {
    write_blocks (&stepped.t, n, 0xff, LUNFS_PAGE_UNSTABLE);
    if (n % 16 == 0)
      commit (&stepped.t);
  }
  commit (&stepped.t);
  for (unsigned k = 0; k < 2 * LUNFS_PAGES_PER_CHUNK; k++)
    lunfs_pages_take (&stepped.t);
}

static void
write_same (void)
{
  write_blocks (&stepped.t, 3, 0x02, LUNFS_PAGE_DIRTY);
}

static void
write_other (void)
{
  write_blocks (&stepped.t, 3, 0x30, LUNFS_PAGE_DIRTY);
}

static void
write_unstable (void)
{
  write_blocks (&stepped.t, 3, 0x33, LUNFS_PAGE_UNSTABLE);
}

static void
replace_it (void)
{
  replace_page (&stepped.t, 3, LUNFS_PAGE_DIRTY);
}

static void
discard_part (void)
{
  discard_blocks (&stepped, 3, 0, 2);
}

static void
discard_all (void)
{
  discard_blocks (&stepped, 3, 0, 8);
}

static void
discard_dirty (void)
{
  discard_blocks (&stepped, 3, 4, 6);
}

static void
did_it (void)
{
  did_discard (&stepped, false);
}

static void
commit_it (void)
{
  commit (&stepped.t);
}

static void
end_good (void)
{
  end_send (&stepped.t, its_page, true);
}

static void
end_bad (void)
{
  end_send (&stepped.t, its_page, false);
}

static void
restore_it (void)
{
  Worker next;

  worker_begin (&next, arena);
  worker_restore (&next);
}

static const struct {
  const char *name;
  void (*before) (void);
  void (*what) (void);
} cases[] = {
  { "new", no_page, write_other },
  { "new whole", no_page, replace_it },
  { "new where one has to go", full_of_clean, write_other },
  { "dirty, same block", dirty_page, write_same },
  { "dirty, other blocks", dirty_page, write_other },
  { "dirty, replaced", dirty_page, replace_it },
  { "dirty, part discarded", dirty_page, discard_part },
  { "dirty, discarded", dirty_page, discard_all },
  { "half of it dirty, that discarded", half_dirty_page, discard_dirty },
  { "discarded, written", discarded_page, write_other },
  { "discarded, done", discarded_page, did_it },
  { "writing, same block", writing_page, write_same },
  { "writing, other blocks", writing_page, write_other },
  { "writing, replaced", writing_page, replace_it },
  { "writing, ends", writing_page, end_good },
  { "writing, fails", writing_page, end_bad },
  { "held, same block", held_page, write_same },
  { "held, replaced", held_page, replace_it },
  { "held, ends", held_page, end_good },
  { "held, fails", held_page, end_bad },
  { "unstable, same block", unstable_page, write_same },
  { "unstable, replaced", unstable_page, replace_it },
  { "unstable, written through", unstable_page, write_unstable },
  { "unstable, part discarded", unstable_page, discard_part },
  { "unstable, discarded", unstable_page, discard_all },
  { "unstable, committed", unstable_page, commit_it },
  { "clean, written", clean_page, write_other },
  { "twice, restored", page_twice, restore_it },
  { "twice, restored the other way round", page_twice_reversed, restore_it },
};

static void
be_stepped (void *arg)
{
  unsigned n = GPOINTER_TO_UINT (arg);

  worker_begin (&stepped, arena);
  cases[n].before ();
  begin_steps ();
  cases[n].what ();
}

typedef struct {
  LunfsArena *copy;
  LunfsArenaPage *records;
  size_t records_bytes;
  uint32_t found[NPAGES];
  uint8_t kept[NPAGES];
  const char *when;
} Seen;

/* As if it had been killed now.  A successor is asked if the records are others than before; the data is looked at anyway. */
static void
check_moment (void *user)
{
  Seen *seen = user;
  size_t ranges_bytes = RANGES * sizeof *arena->ranges;

  if (memcmp (seen->records, arena->pages, seen->records_bytes) != 0
      || memcmp (seen->copy->ranges, arena->ranges, ranges_bytes) != 0) {
    memcpy (seen->copy->ranges, arena->ranges, ranges_bytes);
    memcpy (seen->records, arena->pages, seen->records_bytes);
    memcpy (seen->copy->pages, arena->pages, seen->records_bytes);
    memcpy (seen->copy->chunks, arena->chunks, (size_t) arena->header->nchunks * LUNFS_CHUNK_BYTES);
    check_successor (seen->copy, seen->when, seen->found, seen->kept);
    return;
  }
  for (uint64_t n = 3; n <= 4; n++)
    check_page (n, seen->kept[n], lunfs_frames_data (arena, seen->kept[n] ? seen->found[n] : 0), seen->when);
}

START_TEST (test_stepped)
{
  Seen seen = { .copy = lunfs_arena_create (0, NULL),
                .records_bytes = arena->header->nchunks * LUNFS_PAGES_PER_CHUNK * sizeof *arena->pages,
                .when = cases[_i].name };

  seen.records = g_malloc (seen.records_bytes);
  memset (seen.records, 0xff, seen.records_bytes); /* none of them as they are */
  step_through (be_stepped, GUINT_TO_POINTER (_i), check_moment, &seen);
  lunfs_arena_free (seen.copy);
  g_free (seen.records);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("kept");
  TCase *tc = tcase_create ("kept");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 60);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_killed, 0, 3);
  if (can_step ())
    tcase_add_loop_test (tc, test_stepped, 0, G_N_ELEMENTS (cases));
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

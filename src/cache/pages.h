/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page table of one LUN: which 4 KiB of it are in memory, and what has to become of them.  No I/O; lane thread, no lock.
 *
 *   state        in table  memory in use by   means
 *   FREE         no        -                  belongs to the table, holds nothing
 *   FILLING      yes       a READ             being fetched; nothing valid
 *   CLEAN        yes       -                  as on the target; may be evicted
 *   DIRTY        yes       -                  has blocks that the target does not have
 *   WRITING      yes       a WRITE            those are being sent
 *   UNSTABLE     yes       -                  the target has them, perhaps only in its volatile cache
 *   COMMITTING   yes       -                  the same, and a SYNCHRONIZE CACHE that covers it is under way
 *   OLD          no        a READ or WRITE    replaced meanwhile; freed when the command ends
 *
 *   from -> to                  who                     when
 *   FREE -> FILLING             fill.c                  a miss, or read-ahead
 *   FREE -> DIRTY               store.c                 a write
 *   FREE -> UNSTABLE, CLEAN     store.c                 a write that the target has taken
 *   FILLING -> CLEAN            fill.c                  the READ was good
 *   FILLING -> FREE             fill.c                  it was not
 *   FILLING -> OLD              lunfs_pages_prepare     a write comes: what the READ brings is out of date
 *   CLEAN, UNSTABLE, COMMITTING, DIRTY -> DIRTY   store.c       a write
 *   CLEAN, COMMITTING -> UNSTABLE                 store.c       a write that the target has taken
 *   DIRTY -> WRITING            writeback.c             its turn
 *   WRITING -> UNSTABLE, CLEAN  writeback.c             GOOD; CLEAN if there is no volatile cache or it was FUA
 *   WRITING -> DIRTY            writeback.c             the WRITE failed: tried again
 *   WRITING -> OLD              lunfs_pages_prepare     a write comes: a new page (DIRTY, held) takes its place
 *   UNSTABLE -> COMMITTING      commit.c                a SYNCHRONIZE CACHE is sent
 *   COMMITTING -> CLEAN         commit.c                it was good
 *   COMMITTING -> UNSTABLE      commit.c                it was not
 *   UNSTABLE, COMMITTING -> DIRTY                 recover.c     a new login: all that is not stable is written again
 *   CLEAN -> FREE               eviction; the cache is dropped; discard
 *   any in the table but WRITING -> FREE          discard, a write of the whole page into other memory
 *   OLD -> FREE                 whose command it was, when it ends
 *
 * A page that is DIRTY and *held* has an OLD one whose WRITE must end first: two WRITEs of a page are never under way at once.
 * One that is DIRTY and *behind* lies in a range that the target has to zero first (zero.c).
 * Masks: valid, the blocks of the page that hold data; kept, those of them that are not stable (DIRTY .. COMMITTING); dirty,
 * those of these that the target does not have (DIRTY, WRITING): only they are sent.
 * What is kept stands in the arena (LunfsArenaPage) before its write is answered, and until it is stable. */
#ifndef LUNFS_PAGES_H
#define LUNFS_PAGES_H

#include "cache/frames.h"

typedef enum {
  LUNFS_PAGE_FREE,
  LUNFS_PAGE_FILLING,
  LUNFS_PAGE_CLEAN,
  LUNFS_PAGE_DIRTY,
  LUNFS_PAGE_WRITING,
  LUNFS_PAGE_UNSTABLE,
  LUNFS_PAGE_COMMITTING,
  LUNFS_PAGE_OLD,
} LunfsPageState;
#define LUNFS_PAGE_NSTATES 8

enum {
  LUNFS_PAGE_HELD = 1 << 0,
  LUNFS_PAGE_HOT = 1 << 1,     /* CLEAN: on the hot list */
  LUNFS_PAGE_USED = 1 << 2,    /* read at least once since it came */
  LUNFS_PAGE_AHEAD = 1 << 3,   /* fetched ahead, and nobody has read it yet */
  LUNFS_PAGE_ODD = 1 << 4,     /* DIRTY, WRITING, OLD: became so in an odd generation */
  LUNFS_PAGE_RECOVER = 1 << 5, /* DIRTY, WRITING: the target had it before the login */
  LUNFS_PAGE_SENDING = 1 << 6, /* OLD: by a WRITE */
  LUNFS_PAGE_ALONE = 1 << 7,   /* a WRITE of it and others has failed: sent alone */
  LUNFS_PAGE_ONCE = 1 << 8,    /* CLEAN: on the once list; else: will be */
  LUNFS_PAGE_FAILED = 1 << 9,  /* DIRTY: on the failed list, until lunfs_pages_retry */
  LUNFS_PAGE_BEHIND = 1 << 10, /* DIRTY: on the behind list, until lunfs_pages_call_back or lunfs_pages_retry */
};

#define LUNFS_PAGES_GHOSTS 2048 /* of 64 KiB each */

typedef struct {
  uint32_t head, tail, n;
} LunfsPageList;

typedef struct {
  LunfsFrames *frames;
  LunfsFramesUser user;
  LunfsArena *arena;
  LunfsPage *page;       /* of all LUNs; ours are those in our chunks */
  unsigned lun;          /* index in the arena */
  uint64_t seq;          /* of the last write */
  uint64_t disowned_seq; /* what was written up to then must not be written again */

  uint32_t *bucket;
  uint32_t nbuckets, ninside;
  LunfsPageList list[LUNFS_PAGE_NSTATES]; /* by state */
  /* CLEAN pages: most are cold; those read again are hot and stay longest.  Those of a stream, read or written in large
   * requests, are expected to be used once: only a few of them stay, since memory that was just used is faster than any
   * other.  What went from there and is read again before long (ghost) is treated like all the rest. */
  LunfsPageList hot, once; /* list[] has the cold ones */
  uint32_t ghost[LUNFS_PAGES_GHOSTS];
  LunfsPageList failed;  /* DIRTY and FAILED */
  LunfsPageList behind;  /* DIRTY and BEHIND */
  LunfsPageList recover; /* DIRTY and RECOVER; list[] has the others */
  uint32_t count[LUNFS_PAGE_NSTATES];
  uint32_t nheld; /* DIRTY, on no list */
  /* What a flush waits for: pages DIRTY, WRITING, or OLD with a WRITE under way, by the generation in which they became so. */
  unsigned generation;
  uint32_t pending[2];
  GArray *chunks; /* uint32_t: ours */
  GArray *empty;  /* uint32_t: of these, those with 16 pages free, which stand on no list */

  uint32_t block_size;
  uint8_t full;     /* mask of a whole page */
  uint64_t nblocks; /* of the LUN */
  /* An evicted page that had been fetched ahead for nothing. */
  void (*wasted) (void *user, uint64_t number);
  void *wasted_user;
} LunfsPages;

void lunfs_pages_init (LunfsPages *t, LunfsFrames *frames, LunfsLane *lane, unsigned lun);
/* Forgets all; no command uses its memory any more.  What is kept stays in the arena, for a successor. */
void lunfs_pages_clear (LunfsPages *t);
/* The LUN's size; a block size other than before: only while the table is empty. */
void lunfs_pages_geometry (LunfsPages *t, uint32_t block_size, uint64_t nblocks);
/* What an earlier worker left becomes UNSTABLE.  Returns how many pages. */
unsigned lunfs_pages_restore (LunfsPages *t);

/* LUNFS_NO_PAGE if it is not in the table. */
uint32_t lunfs_pages_find (const LunfsPages *t, uint64_t number);
static inline LunfsPage *
lunfs_page (const LunfsPages *t, uint32_t i)
{
  return &t->page[i];
}
static inline uint8_t *
lunfs_page_data (const LunfsPages *t, uint32_t i)
{
  return lunfs_frames_data (t->arena, i);
}
/* All blocks of page @number that the LUN has. */
uint8_t lunfs_pages_whole (const LunfsPages *t, uint64_t number);
/* Blocks of page @number that [offset, offset + length), bytes, covers; whole blocks. */
uint8_t lunfs_pages_mask (const LunfsPages *t, uint64_t number, uint64_t offset, uint64_t length);

/* A free page, off all lists, in no table; evicts if it must.  LUNFS_NO_PAGE: no memory. */
uint32_t lunfs_pages_take (LunfsPages *t);
/* Sixteen in one chunk, @first and those behind it.  False: none to be had without much ado. */
bool lunfs_pages_take_chunk (LunfsPages *t, uint32_t *first);
/* Back, unused. */
void lunfs_pages_give (LunfsPages *t, uint32_t i);
/* Take over @n chunks of a request; pages [0, nused) of them, in order, are taken, the rest is free.  False: no room. */
bool lunfs_pages_adopt (LunfsPages *t, const uint32_t *chunks, unsigned n, unsigned nused);

/* Into the table as @number, which is not in it. */
void lunfs_pages_insert (LunfsPages *t, uint32_t i, uint64_t number, LunfsPageState state, uint8_t valid);
/* Another state; keeps lists, counts and the arena's record.  Not FREE, not OLD. */
void lunfs_pages_set (LunfsPages *t, uint32_t i, LunfsPageState state);
/* WRITING, and the WRITE has failed: DIRTY, but not to be sent before lunfs_pages_retry, and then alone. */
void lunfs_pages_fail (LunfsPages *t, uint32_t i);
/* All that has failed, or is behind, is DIRTY like any other, and first. */
void lunfs_pages_retry (LunfsPages *t);
/* DIRTY, first on its list: not to be sent for now. */
void lunfs_pages_put_behind (LunfsPages *t, uint32_t i);
/* All that is behind is DIRTY like any other, and first. */
void lunfs_pages_call_back (LunfsPages *t);
/* It must not be written (again): another initiator has had the LUN to itself since. */
static inline bool
lunfs_page_disowned (const LunfsPages *t, uint32_t i)
{
  return t->arena->pages[i].seq <= t->disowned_seq;
}
/* Pages that the target does not have yet, also those that are being replaced. */
static inline uint32_t
lunfs_pages_pending (const LunfsPages *t)
{
  return t->pending[0] + t->pending[1];
}

/* UNSTABLE, COMMITTING, DIRTY: DIRTY, marked RECOVER, with all that is kept. */
void lunfs_pages_recover (LunfsPages *t, uint32_t i);
/* DIRTY on the recover list, or WRITING: like any other from now on. */
void lunfs_pages_recovered (LunfsPages *t, uint32_t i);
/* A taken page that is in no table, but a command uses its memory: OLD. */
void lunfs_pages_loose (LunfsPages *t, uint32_t i);
/* Out of the table, FREE; or OLD, if a command uses its memory. */
void lunfs_pages_drop (LunfsPages *t, uint32_t i);
/* The command that used the memory of an OLD page has ended: FREE; the page that waited for it may go (not held any more). */
void lunfs_pages_release (LunfsPages *t, uint32_t i);

/* If it is pending: from now on of the current generation. */
void lunfs_pages_renew (LunfsPages *t, uint32_t i);
/* The WRITE of an OLD page has failed: the page that waited for it has its blocks, too, and sends them now.  Then as release. */
void lunfs_pages_hand_over (LunfsPages *t, uint32_t i);

/* The page to write into as @number: in the table, not FILLING, not WRITING, with what was valid; a copy where a command uses
 * the old memory.  LUNFS_NO_PAGE: no memory.  Then put the data in and call lunfs_pages_wrote, before anything else. */
uint32_t lunfs_pages_prepare (LunfsPages *t, uint64_t number);
/* Blocks @mask are newer now: state DIRTY, UNSTABLE (both: kept) or CLEAN (nothing of the page was kept). */
void lunfs_pages_wrote (LunfsPages *t, uint32_t i, uint8_t mask, LunfsPageState state);
/* Taken page @i, whose memory has all of it, replaces whatever is there as @number. */
void lunfs_pages_replace (LunfsPages *t, uint32_t i, uint64_t number, LunfsPageState state);
/* Blocks @mask of it are no longer what is on the target. */
void lunfs_pages_forget (LunfsPages *t, uint32_t i, uint8_t mask);

/* It has just come into the table, by a stream. */
void lunfs_pages_once (LunfsPages *t, uint32_t i);
/* Somebody reads it.  @once: by a stream, which will not do so again. */
void lunfs_pages_touch (LunfsPages *t, uint32_t i, bool once);
/* All CLEAN pages go. */
void lunfs_pages_drop_clean (LunfsPages *t);
/* Give chunks of @bytes back to the pool, if clean pages can make room. */
void lunfs_pages_shrink (LunfsPages *t, uint64_t bytes);

/* Pages that hold what is not stable, also those that are being replaced; bytes. */
uint64_t lunfs_pages_kept_bytes (const LunfsPages *t);
/* Of these, what the target does not have yet. */
uint64_t lunfs_pages_dirty_bytes (const LunfsPages *t);

/* NULL, or what is wrong with the table; for tests, slow. */
const char *lunfs_pages_check (const LunfsPages *t);

#endif

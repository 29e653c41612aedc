/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory of all caches of a mount: which chunks of the pool are theirs, and how much that may be.
 *
 * Page i is the i-th 4 KiB of the arena's chunks; its descriptor and its arena record have the same index.  A chunk, with
 * its pages, belongs to one LUN's table (pages.h) from lunfs_frames_take or _adopt until lunfs_frames_give, and then only
 * that LUN's lane touches it.  Two numbers are shared, both atomic: bytes in use, never above limit_bytes, and bytes kept
 * for targets (written, not stable).  A table that needs memory where the limit is reached asks the one that has most to
 * give some of its clean pages back (lunfs_frames_squeeze). */
#ifndef LUNFS_FRAMES_H
#define LUNFS_FRAMES_H

#include "lane/lane.h"
#include "lunfs/pool.h"

#include <stdatomic.h>

#define LUNFS_NO_PAGE UINT32_MAX

typedef struct {
  uint64_t number;  /* place in the LUN, in pages */
  void *fill;       /* the fetch under way for it (read.c), or NULL */
  uint32_t chained; /* next one with the same hash */
  uint32_t prev, next;
  uint32_t peer; /* OLD: the newer page that is held until it ends; that one: the OLD one */
  uint16_t flags;
  uint8_t state;              /* LunfsPageState */
  uint8_t valid, kept, dirty; /* masks of blocks: right; acknowledged and not stable; not at the target */
} LunfsPage;

typedef struct {
  uint32_t at;   /* in its table's array of chunks */
  uint32_t used; /* pages not FREE */
} LunfsChunk;

typedef struct LunfsFrames LunfsFrames;

/* A table's part in it. */
typedef struct {
  LunfsMail squeeze; /* deliver: give back what can be given */
  LunfsLane *lane;
  atomic_bool squeezed;            /* the mail is under way */
  atomic_uint_least64_t bytes;     /* of its chunks */
  atomic_uint_least64_t evictable; /* roughly: bytes of its clean pages */
  uint64_t kept_bytes;             /* its part of the sum below; lane */
} LunfsFramesUser;

/* @kept_limit_bytes: bound of the written data of all LUNs that is not yet stable.  Once per worker, before there is any table:
 * what a dead one has left is looked for. */
LunfsFrames *lunfs_frames_new (LunfsArena *arena, LunfsPool *pool, uint64_t limit_bytes, uint64_t kept_limit_bytes);
void lunfs_frames_free (LunfsFrames *frames);
LunfsPage *lunfs_frames_pages (const LunfsFrames *frames);
LunfsChunk *lunfs_frames_chunks (const LunfsFrames *frames);
LunfsArena *lunfs_frames_arena (const LunfsFrames *frames);
static inline uint8_t *
lunfs_frames_data (const LunfsArena *arena, uint32_t page)
{
  return arena->chunks + (size_t) page * LUNFS_PAGE_BYTES;
}

/* From now on; nothing is given back by that.  Control thread. */
void lunfs_frames_set_limits (LunfsFrames *frames, uint64_t limit_bytes, uint64_t kept_limit_bytes);
/* Bytes in use above the limit. */
uint64_t lunfs_frames_over (const LunfsFrames *frames);

void lunfs_frames_join (LunfsFrames *frames, LunfsFramesUser *user);
void lunfs_frames_leave (LunfsFrames *frames, LunfsFramesUser *user);
/* A chunk of the pool; false if the limit is reached or the pool is empty. */
bool lunfs_frames_take (LunfsFrames *frames, LunfsFramesUser *user, uint32_t *chunk);
/* Room for @n chunks that somebody else has taken from the pool: they are the table's now.  False: no room. */
bool lunfs_frames_adopt (LunfsFrames *frames, LunfsFramesUser *user, unsigned n);
/* The same without asking for room. */
void lunfs_frames_charge (LunfsFrames *frames, LunfsFramesUser *user, unsigned n);
/* To the pool. */
void lunfs_frames_give (LunfsFrames *frames, LunfsFramesUser *user, uint32_t chunk);
/* The limit is reached: ask the user with the most evictable bytes, but not @user, to give some back. */
void lunfs_frames_squeeze (LunfsFrames *frames, LunfsFramesUser *user);

/* @user's kept bytes are now @bytes. */
void lunfs_frames_count_kept (LunfsFrames *frames, LunfsFramesUser *user, uint64_t bytes);
/* How much @user may keep at present: what is left is shared so that one LUN whose target is dead leaves room for others. */
uint64_t lunfs_frames_may_keep (const LunfsFrames *frames, const LunfsFramesUser *user);

/* Pages of an earlier worker for the LUN with this arena index, chained by LunfsPage.next; LUNFS_NO_PAGE = none.  Once. */
uint32_t lunfs_frames_left (LunfsFrames *frames, unsigned lun);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cache/frames.h"

#include "cache/ranges.h"

#include <string.h>
#include <sys/mman.h>

#define LEAST_PART 256 /* of kept_limit_bytes: every LUN's, whatever the others keep */

struct LunfsFrames {
  LunfsArena *arena;
  LunfsPool *pool;
  atomic_uint_least64_t limit_bytes, kept_limit_bytes; /* may change while lanes use them */
  atomic_uint_least64_t used_bytes, kept_bytes;
  LunfsPage *page;
  size_t page_bytes; /* of the mapping at page */
  LunfsChunk *chunk;
  GMutex lock; /* Protects users; short: joining, leaving, looking for the largest. */
  GPtrArray *users;
  uint32_t left[LUNFS_ARENA_LUNS];
};

static uint64_t
npages (const LunfsFrames *f)
{
  return (uint64_t) f->arena->header->nchunks * LUNFS_PAGES_PER_CHUNK;
}

/* What the last worker kept, chained by LUN.  Its chunks are in use: the pool knows (pool.h). */
static void
find_left (LunfsFrames *f)
{
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS; i++)
    f->left[i] = LUNFS_NO_PAGE;
  for (uint64_t i = npages (f); i-- > 0;) {
    const LunfsArenaPage *record = &f->arena->pages[i];

    if (!record->kept || record->lun >= LUNFS_ARENA_LUNS)
      continue;
    f->page[i].next = f->left[record->lun];
    f->left[record->lun] = (uint32_t) i;
  }
}

LunfsFrames *
lunfs_frames_new (LunfsArena *arena, LunfsPool *pool, uint64_t limit_bytes, uint64_t kept_limit_bytes)
{
  LunfsFrames *f = g_new0 (LunfsFrames, 1);

  f->arena = arena;
  f->pool = pool;
  f->limit_bytes = limit_bytes;
  f->kept_limit_bytes = kept_limit_bytes;
  /* For every page there could be; costs memory only for those in use. */
  f->page_bytes = MAX (npages (f), 1) * sizeof *f->page;
  f->page = mmap (NULL, f->page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (f->page == MAP_FAILED)
    g_error ("out of memory for %" G_GUINT64_FORMAT " page descriptors", npages (f));
  f->chunk = g_new0 (LunfsChunk, arena->header->nchunks);
  g_mutex_init (&f->lock);
  f->users = g_ptr_array_new ();
  find_left (f);
  lunfs_ranges_reclaim (arena);
  return f;
}

void
lunfs_frames_free (LunfsFrames *f)
{
  if (!f)
    return;
  munmap (f->page, f->page_bytes);
  g_free (f->chunk);
  g_ptr_array_unref (f->users);
  g_mutex_clear (&f->lock);
  g_free (f);
}

LunfsPage *
lunfs_frames_pages (const LunfsFrames *f)
{
  return f->page;
}

LunfsChunk *
lunfs_frames_chunks (const LunfsFrames *f)
{
  return f->chunk;
}

LunfsArena *
lunfs_frames_arena (const LunfsFrames *f)
{
  return f->arena;
}

uint32_t
lunfs_frames_left (LunfsFrames *f, unsigned lun)
{
  uint32_t left = f->left[lun];

  f->left[lun] = LUNFS_NO_PAGE;
  return left;
}

void
lunfs_frames_join (LunfsFrames *f, LunfsFramesUser *user)
{
  g_mutex_lock (&f->lock);
  g_ptr_array_add (f->users, user);
  g_mutex_unlock (&f->lock);
}

void
lunfs_frames_leave (LunfsFrames *f, LunfsFramesUser *user)
{
  g_mutex_lock (&f->lock);
  g_ptr_array_remove_fast (f->users, user);
  g_mutex_unlock (&f->lock);
}

/* ---- limits ---- */

void
lunfs_frames_set_limits (LunfsFrames *f, uint64_t limit_bytes, uint64_t kept_limit_bytes)
{
  atomic_store (&f->limit_bytes, limit_bytes);
  atomic_store (&f->kept_limit_bytes, kept_limit_bytes);
}

uint64_t
lunfs_frames_over (const LunfsFrames *f)
{
  uint64_t used = atomic_load (&((LunfsFrames *) f)->used_bytes),
           limit = atomic_load (&((LunfsFrames *) f)->limit_bytes);

  return used > limit ? used - limit : 0;
}

/* ---- chunks ---- */

bool
lunfs_frames_adopt (LunfsFrames *f, LunfsFramesUser *user, unsigned n)
{
  uint64_t bytes = (uint64_t) n * LUNFS_CHUNK_BYTES;

  if (atomic_fetch_add (&f->used_bytes, bytes) + bytes > f->limit_bytes) {
    atomic_fetch_sub (&f->used_bytes, bytes);
    return false;
  }
  atomic_fetch_add (&user->bytes, bytes);
  return true;
}

void
lunfs_frames_charge (LunfsFrames *f, LunfsFramesUser *user, unsigned n)
{
  uint64_t bytes = (uint64_t) n * LUNFS_CHUNK_BYTES;

  atomic_fetch_add (&f->used_bytes, bytes);
  atomic_fetch_add (&user->bytes, bytes);
}

static void
uncount (LunfsFrames *f, LunfsFramesUser *user)
{
  atomic_fetch_sub (&f->used_bytes, LUNFS_CHUNK_BYTES);
  atomic_fetch_sub (&user->bytes, LUNFS_CHUNK_BYTES);
}

bool
lunfs_frames_take (LunfsFrames *f, LunfsFramesUser *user, uint32_t *chunk)
{
  if (!lunfs_frames_adopt (f, user, 1))
    return false;
  if (lunfs_pool_take (f->pool, chunk, 1))
    return true;
  uncount (f, user);
  return false;
}

void
lunfs_frames_give (LunfsFrames *f, LunfsFramesUser *user, uint32_t chunk)
{
  uncount (f, user);
  lunfs_pool_give (f->pool, &chunk, 1);
}

void
lunfs_frames_squeeze (LunfsFrames *f, LunfsFramesUser *user)
{
  LunfsFramesUser *largest = NULL;
  uint64_t most = 0;

  g_mutex_lock (&f->lock);
  for (unsigned i = 0; i < f->users->len; i++) {
    LunfsFramesUser *other = f->users->pdata[i];
    uint64_t bytes = atomic_load (&other->evictable);

    if (other != user && bytes > most) {
      most = bytes;
      largest = other;
    }
  }
  g_mutex_unlock (&f->lock);
  /* Whoever has less than the asking one has no more than its share.  Users leave when their lanes have stopped. */
  if (largest && most > atomic_load (&user->bytes) && !atomic_exchange (&largest->squeezed, true))
    lunfs_lane_post (largest->lane, &largest->squeeze);
}

/* ---- what is kept ---- */

void
lunfs_frames_count_kept (LunfsFrames *f, LunfsFramesUser *user, uint64_t bytes)
{
  atomic_fetch_add (&f->kept_bytes, bytes - user->kept_bytes); /* modulo 2^64: may go down */
  user->kept_bytes = bytes;
}

/* Half of it for one LUN, a third each for two, ...: as a shared switch buffer gives its ports (dynamic threshold, Choudhury
 * and Hahne 1998). */
uint64_t
lunfs_frames_may_keep (const LunfsFrames *f, const LunfsFramesUser *user)
{
  uint64_t kept = atomic_load_explicit (&((LunfsFrames *) f)->kept_bytes, memory_order_relaxed);
  uint64_t limit = atomic_load_explicit (&((LunfsFrames *) f)->kept_limit_bytes, memory_order_relaxed);

  return MAX (limit > kept ? limit - kept : 0, limit / LEAST_PART);
}

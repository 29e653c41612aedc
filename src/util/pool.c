/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lunfs/log.h"
#include "lunfs/pool.h"

#include <errno.h>
#include <stdatomic.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct LunfsPool {
  LunfsArena *arena;
  bool lock_memory;
  pthread_mutex_t lock; /* Protects all below.  Not a GMutex: ThreadSanitizer sees pthread's only. */
  uint32_t *stack;
  unsigned navailable;
  unsigned nfresh; /* chunks never handed out so far: those from next_fresh on that are not reserved */
  uint32_t next_fresh;
  uint8_t *reserved; /* bool of each chunk: an earlier worker's data is in it */
  bool refused;
  atomic_uint free_hint; /* navailable + nfresh, for a look without the lock */
  void (*freed) (void *user);
  void *user;
};

uint8_t *
lunfs_pool_chunk (const LunfsPool *pool, uint32_t chunk)
{
  return pool->arena->chunks + (size_t) chunk * LUNFS_CHUNK_BYTES;
}

static void
make_present (LunfsPool *pool, uint32_t chunk)
{
  uint8_t *p = lunfs_pool_chunk (pool, chunk);

  if (madvise (p, LUNFS_CHUNK_BYTES, MADV_POPULATE_WRITE) < 0) /* before Linux 5.14 */
    for (size_t i = 0; i < LUNFS_CHUNK_BYTES; i += 4096)
      ((volatile uint8_t *) p)[i] = ((volatile uint8_t *) p)[i]; /* there may be data in it */
  if (pool->lock_memory && mlock (p, LUNFS_CHUNK_BYTES) < 0) {
    lunfs_debug (LANE, "buffers are not locked in memory: %s", g_strerror (errno));
    pool->lock_memory = false;
  }
}

/* Its owner gives it back some day.  The kernel must meet no hole in it either. */
static void
reserve (LunfsPool *pool, uint32_t chunk)
{
  if (pool->reserved[chunk])
    return;
  pool->reserved[chunk] = true;
  pool->nfresh--;
  make_present (pool, chunk);
}

LunfsPool *
lunfs_pool_new (LunfsArena *arena, bool lock_memory)
{
  LunfsPool *pool = g_new0 (LunfsPool, 1);

  pool->arena = arena;
  pool->lock_memory = lock_memory;
  pthread_mutex_init (&pool->lock, NULL);
  pool->stack = g_new (uint32_t, arena->header->nchunks);
  pool->nfresh = arena->header->nchunks;
  pool->reserved = g_new0 (uint8_t, arena->header->nchunks);
  for (uint64_t i = 0; i < (uint64_t) arena->header->nchunks * LUNFS_PAGES_PER_CHUNK; i++)
    if (arena->pages[i].kept)
      reserve (pool, (uint32_t) (i / LUNFS_PAGES_PER_CHUNK));
  for (unsigned i = 0; i < LUNFS_ARENA_SLOTS; i++)
    for (unsigned k = 0; k < MIN (lunfs_slot_chunks (lunfs_slot_bytes (&arena->slots[i])), LUNFS_CHUNKS_PER_REQUEST);
         k++)
      if (arena->slots[i].chunk[k] < arena->header->nchunks)
        reserve (pool, arena->slots[i].chunk[k]);
  atomic_init (&pool->free_hint, pool->nfresh);
  return pool;
}

void
lunfs_pool_free (LunfsPool *pool)
{
  if (!pool)
    return;
  pthread_mutex_destroy (&pool->lock);
  g_free (pool->stack);
  g_free (pool->reserved);
  g_free (pool);
}

bool
lunfs_pool_take (LunfsPool *pool, uint32_t *chunks, unsigned n)
{
  bool ok;

  pthread_mutex_lock (&pool->lock);
  ok = pool->navailable + pool->nfresh >= n;
  if (ok)
    atomic_store_explicit (&pool->free_hint, pool->navailable + pool->nfresh - n, memory_order_relaxed);
  if (!ok)
    pool->refused = true;
  for (unsigned i = 0; ok && i < n; i++) {
    if (pool->navailable > 0) {
      chunks[i] = pool->stack[--pool->navailable];
    } else {
      while (pool->reserved[pool->next_fresh])
        pool->next_fresh++;
      pool->nfresh--;
      chunks[i] = pool->next_fresh++;
      make_present (pool, chunks[i]);
    }
  }
  pthread_mutex_unlock (&pool->lock);
  return ok;
}

void
lunfs_pool_give (LunfsPool *pool, const uint32_t *chunks, unsigned n)
{
  bool wake;

  if (n == 0)
    return;
  pthread_mutex_lock (&pool->lock);
  while (n > 0)
    pool->stack[pool->navailable++] = chunks[--n];
  atomic_store_explicit (&pool->free_hint, pool->navailable + pool->nfresh, memory_order_relaxed);
  wake = pool->refused;
  pool->refused = false;
  pthread_mutex_unlock (&pool->lock);
  if (wake && pool->freed)
    pool->freed (pool->user);
}

bool
lunfs_pool_short (LunfsPool *pool, unsigned n)
{
  bool is_short;

  /* The hot path: no lock while there is plenty.  A stale count is off by what is being taken just now. */
  if (atomic_load_explicit (&pool->free_hint, memory_order_relaxed) >= n)
    return false;
  pthread_mutex_lock (&pool->lock);
  is_short = pool->navailable + pool->nfresh < n;
  if (is_short)
    pool->refused = true;
  pthread_mutex_unlock (&pool->lock);
  return is_short;
}

void
lunfs_pool_set_hook (LunfsPool *pool, void (*freed) (void *user), void *user)
{
  pool->freed = freed;
  pool->user = user;
}

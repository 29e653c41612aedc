/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arena's 64 KiB chunks, handed out and taken back.
 *
 * Shared by all lanes under one short lock.  Last in, first out, so that a light load stays in few, cached pages.
 * A chunk's pages are made present (and locked in memory where allowed) before it is handed out for the first
 * time: the kernel must never meet a hole while it copies a request in (notes: a killed copy becomes EIO). */
#ifndef LUNFS_POOL_H
#define LUNFS_POOL_H

#include "lunfs/arena.h"

typedef struct LunfsPool LunfsPool;

/* @lock_memory: mlock chunks as they come into use; given up silently where the limit forbids it.  Chunks in which an
 * earlier worker left pages that are kept (LunfsArenaPage), or the payload of a request (LunfsArenaSlot), count as taken. */
LunfsPool *lunfs_pool_new (LunfsArena *arena, bool lock_memory);
void lunfs_pool_free (LunfsPool *pool);
/* Take @n chunks, all or none.  False: not enough; the caller waits for the hook below. */
bool lunfs_pool_take (LunfsPool *pool, uint32_t *chunks, unsigned n);
void lunfs_pool_give (LunfsPool *pool, const uint32_t *chunks, unsigned n);
uint8_t *lunfs_pool_chunk (const LunfsPool *pool, uint32_t chunk);
/* Fewer than @n chunks are free.  If so the hook below is called when some come back. */
bool lunfs_pool_short (LunfsPool *pool, unsigned n);
/* Called (from any lane) when chunks were given back after a refused take or a true lunfs_pool_short. */
void lunfs_pool_set_hook (LunfsPool *pool, void (*freed) (void *user), void *user);

#endif

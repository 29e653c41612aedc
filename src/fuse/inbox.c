/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/inbox.h"

#include "lunfs/log.h"
#include "lunfs/unique.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool
lunfs_inbox_wanted (LunfsRecovery recovery, bool kernel_resends)
{
  return recovery == LUNFS_RECOVERY_INBOX || (recovery == LUNFS_RECOVERY_AUTO && !kernel_resends);
}

/* ---- what the slots hold ---- */

/* Nobody waits for an answer to these; of signals that were read and not acted on the kernel is asked to tell again. */
static bool
has_answer (const struct fuse_in_header *in)
{
  return in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET && in->opcode != FUSE_INTERRUPT;
}

/* The kernel writes none of these; a worker that ran wild may have. */
static bool
is_sound (const LunfsArena *arena, const LunfsArenaSlot *slot, const uint8_t *taken)
{
  uint32_t bytes = lunfs_slot_bytes (slot);
  unsigned n = lunfs_slot_chunks (bytes);

  if (bytes < sizeof (struct fuse_in_header) || n > LUNFS_CHUNKS_PER_REQUEST)
    return false;
  for (unsigned i = 0; i < n; i++) {
    if (slot->chunk[i] >= arena->header->nchunks || taken[slot->chunk[i]])
      return false;
    for (unsigned j = 0; j < i; j++)
      if (slot->chunk[i] == slot->chunk[j])
        return false;
  }
  return true;
}

unsigned
lunfs_inbox_sort (LunfsArena *arena, bool inbox, const LunfsInboxKernel *kernel)
{
  g_autofree uint8_t *taken = g_new0 (uint8_t, arena->header->nchunks); /* bool of each chunk: a slot has it */
  unsigned found = 0;

  for (unsigned i = 0; i < LUNFS_ARENA_SLOTS; i++) {
    LunfsArenaSlot *slot = &arena->slots[i];
    const struct fuse_in_header *in = lunfs_slot_header (slot);

    if (lunfs_slot_bytes (slot) == 0)
      continue;
    if (!inbox || !has_answer (in) || !kernel->outstanding (kernel->user, in->unique)) {
      lunfs_slot_clear (slot);
      continue;
    }
    if (!is_sound (arena, slot, taken)) {
      lunfs_error ("a request that the last worker left is damaged: its user gets EIO");
      kernel->refuse (kernel->user, in->unique);
      lunfs_slot_clear (slot);
      continue;
    }
    for (unsigned k = 0; k < lunfs_slot_chunks (lunfs_slot_bytes (slot)); k++)
      taken[slot->chunk[k]] = true;
    found++;
  }
  return found;
}

static bool
cache_has (const LunfsArena *arena, uint32_t chunk)
{
  for (uint64_t i = 0; i < LUNFS_PAGES_PER_CHUNK; i++)
    if (arena->pages[(uint64_t) chunk * LUNFS_PAGES_PER_CHUNK + i].kept)
      return true;
  return false;
}

bool
lunfs_inbox_own (LunfsArena *arena, LunfsPool *pool, LunfsArenaSlot *slot)
{
  unsigned n = lunfs_slot_chunks (lunfs_slot_bytes (slot));

  for (unsigned i = 0; i < n; i++) {
    uint32_t copy;

    if (!cache_has (arena, slot->chunk[i]))
      continue;
    if (!lunfs_pool_take (pool, &copy, 1))
      return false;
    memcpy (lunfs_pool_chunk (pool, copy), lunfs_pool_chunk (pool, slot->chunk[i]), LUNFS_CHUNK_BYTES);
    __atomic_store_n (&slot->chunk[i], copy, __ATOMIC_RELEASE);
  }
  return true;
}

/* ---- the kernel ---- */

static int
write_header (void *fuse_fd, int error, uint64_t unique)
{
  struct fuse_out_header out = { .len = sizeof out, .error = error, .unique = unique };

  return write (GPOINTER_TO_INT (fuse_fd), &out, sizeof out) < 0 ? errno : 0;
}

bool
lunfs_inbox_ask (void *fuse_fd, uint64_t unique)
{
  if (write_header (fuse_fd, 0, unique | LUNFS_UNIQUE_INTERRUPT) != 0)
    return false;
  /* The dead worker may have known of a signal: tell again.  EINVAL: there was none. */
  write_header (fuse_fd, -EAGAIN, unique | LUNFS_UNIQUE_INTERRUPT);
  return true;
}

void
lunfs_inbox_refuse (void *fuse_fd, uint64_t unique)
{
  int err = write_header (fuse_fd, -EIO, unique);

  if (err && err != ENOENT)
    lunfs_warning ("answering the kernel failed: %s", g_strerror (err));
}

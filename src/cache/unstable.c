/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two rings that grow by doubling and never shrink, so that a steady load allocates nothing: the entries, and the chunks
 * of the byte stream they point into.  Byte p of the stream is in chunk p / 64 KiB. */
#include "config.h"

#include "cache/unstable.h"

#include <string.h>

struct LunfsUnstable {
  LunfsPool *pool;
  LunfsUnstableEntry *entries; /* ring; entry n at n % nentries */
  uint64_t nentries;
  uint64_t first, last;
  uint32_t *chunks; /* ring; chunk c at c % nchunks */
  uint64_t nchunks;
  uint64_t first_chunk, end_chunk; /* owned: [first_chunk, end_chunk) */
  uint64_t end;                    /* of the stream, bytes */
};

LunfsUnstable *
lunfs_unstable_new (LunfsPool *pool)
{
  LunfsUnstable *u = g_new0 (LunfsUnstable, 1);

  u->pool = pool;
  u->first = 1;
  return u;
}

void
lunfs_unstable_free (LunfsUnstable *u)
{
  if (!u)
    return;
  lunfs_unstable_drop (u, u->last);
  g_free (u->entries);
  g_free (u->chunks);
  g_free (u);
}

/* Make room for @wanted elements in a ring that holds those from @first to before @end. */
static void *
grow (void *ring, size_t element, uint64_t *size, uint64_t first, uint64_t end, uint64_t wanted)
{
  uint64_t n = MAX (*size, 64);
  char *to;

  if (wanted <= *size)
    return ring;
  while (n < wanted)
    n *= 2;
  to = g_malloc (n * element);
  for (uint64_t i = first; i < end; i++)
    memcpy (to + (i % n) * element, (char *) ring + (i % *size) * element, element);
  g_free (ring);
  *size = n;
  return to;
}

static bool
take_chunks (LunfsUnstable *u, uint64_t end)
{
  uint64_t need = (end + LUNFS_CHUNK_BYTES - 1) / LUNFS_CHUNK_BYTES;
  uint64_t had = u->end_chunk;

  if (need <= had)
    return true;
  u->chunks = grow (u->chunks, sizeof *u->chunks, &u->nchunks, u->first_chunk, had, need - u->first_chunk);
  for (; u->end_chunk < need; u->end_chunk++)
    if (!lunfs_pool_take (u->pool, &u->chunks[u->end_chunk % u->nchunks], 1)) {
      while (u->end_chunk > had)
        lunfs_pool_give (u->pool, &u->chunks[--u->end_chunk % u->nchunks], 1);
      return false;
    }
  return true;
}

static uint8_t *
byte_at (const LunfsUnstable *u, uint64_t position)
{
  uint32_t chunk = u->chunks[position / LUNFS_CHUNK_BYTES % u->nchunks];

  return lunfs_pool_chunk (u->pool, chunk) + position % LUNFS_CHUNK_BYTES;
}

static void
copy_in (LunfsUnstable *u, const uint8_t *from, size_t len)
{
  while (len > 0) {
    size_t n = MIN (len, LUNFS_CHUNK_BYTES - u->end % LUNFS_CHUNK_BYTES);

    memcpy (byte_at (u, u->end), from, n);
    u->end += n;
    from += n;
    len -= n;
  }
}

static uint64_t
add_entry (LunfsUnstable *u, LunfsUnstableEntry entry)
{
  u->entries = grow (u->entries, sizeof *u->entries, &u->nentries, u->first, u->last + 1, u->last + 2 - u->first);
  u->last++;
  u->entries[u->last % u->nentries] = entry;
  return u->last;
}

/* The stream goes on in the adopted chunks; what the chunk before them had free stays unused. */
uint64_t
lunfs_unstable_adopt (LunfsUnstable *u, uint64_t offset, uint64_t length, const uint32_t *chunks, unsigned nchunks)
{
  uint64_t position = u->end_chunk * LUNFS_CHUNK_BYTES;

  u->chunks = grow (u->chunks, sizeof *u->chunks, &u->nchunks, u->first_chunk, u->end_chunk,
                    u->end_chunk + nchunks - u->first_chunk);
  for (unsigned i = 0; i < nchunks; i++)
    u->chunks[u->end_chunk++ % u->nchunks] = chunks[i];
  u->end = position + length;
  return add_entry (u, (LunfsUnstableEntry){ LUNFS_OP_WRITE, 0, offset, length, position });
}

uint64_t
lunfs_unstable_append (LunfsUnstable *u, LunfsOp op, uint32_t flags, uint64_t offset, uint64_t length,
                       const struct iovec *iov, unsigned niov)
{
  uint64_t position = u->end;

  if (op == LUNFS_OP_WRITE) {
    if (!take_chunks (u, u->end + length))
      return 0;
    for (unsigned i = 0; i < niov; i++)
      copy_in (u, iov[i].iov_base, iov[i].iov_len);
  }
  return add_entry (u, (LunfsUnstableEntry){ op, flags, offset, length, position });
}

void
lunfs_unstable_drop (LunfsUnstable *u, uint64_t number)
{
  uint64_t keep;

  if (number < u->first)
    return;
  u->first = MIN (number, u->last) + 1;
  /* Whole chunks before the oldest byte still wanted.  When nothing is left the stream starts on a fresh chunk. */
  if (u->first <= u->last)
    keep = u->entries[u->first % u->nentries].position / LUNFS_CHUNK_BYTES;
  else {
    keep = u->end_chunk;
    u->end = u->end_chunk * LUNFS_CHUNK_BYTES;
  }
  for (; u->first_chunk < keep; u->first_chunk++)
    lunfs_pool_give (u->pool, &u->chunks[u->first_chunk % u->nchunks], 1);
}

uint64_t
lunfs_unstable_first (const LunfsUnstable *u)
{
  return u->first;
}

uint64_t
lunfs_unstable_last (const LunfsUnstable *u)
{
  return u->last;
}

uint64_t
lunfs_unstable_bytes (const LunfsUnstable *u)
{
  return (u->end_chunk - u->first_chunk) * LUNFS_CHUNK_BYTES;
}

const LunfsUnstableEntry *
lunfs_unstable_entry (const LunfsUnstable *u, uint64_t number)
{
  return &u->entries[number % u->nentries];
}

unsigned
lunfs_unstable_data (const LunfsUnstable *u, const LunfsUnstableEntry *entry, struct iovec *iov, unsigned max)
{
  uint64_t position = entry->position, left = entry->length;
  unsigned n = 0;

  while (left > 0 && n < max) {
    size_t len = MIN (left, LUNFS_CHUNK_BYTES - position % LUNFS_CHUNK_BYTES);

    iov[n++] = (struct iovec){ byte_at (u, position), len };
    position += len;
    left -= len;
  }
  return n;
}

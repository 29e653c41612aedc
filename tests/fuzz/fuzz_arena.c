/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An arena that was written to by who knows whom: attached, or refused with a reason.  What is attached can be used, and what
 * it has saved is inside its LUN.
 *
 * The input: how its size and its seals differ from what they should be, then patches: part, offset, length, bytes. */
#include "config.h"

#include "fuzz.h"

#include "lunfs/arena.h"
#include "lunfs/error.h"
#include "lunfs/pool.h"
#include "lunfs/request.h"
#include "session/witness.h"
#include "supervisor/saved.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNKS 16u
#define HOST "san.example"
#define TARGET "iqn.2026-01.org.example:t1"

/* An image of a sound arena with two LUNs in it: all but the chunks. */
static uint8_t *image;
static size_t image_bytes, total_bytes, luns_at, slots_at, ranges_at, pages_at, witnesses_at;

static bool as_file;
static LunfsArenaPage page_records[8];
static LunfsArenaWitness first_witness;

static void
make_image (void)
{
  g_autoptr (LunfsArena) a = lunfs_arena_create (CHUNKS * LUNFS_CHUNK_BYTES, NULL);

  must (a);
  must (lunfs_arena_lun (a, HOST, 3260, TARGET, 0) == 0 && lunfs_arena_lun (a, HOST, 3260, TARGET, 1) == 1);
  a->luns[0].proven = 1;
  a->luns[0].block_size = 512;
  a->luns[0].nblocks = 2048;
  strcpy (a->luns[0].identity, "naa.60014050000000000000000000000001");
  a->header->isid_random = 0x123456;
  a->header->started_us = 1;
  a->luns[1] = a->luns[0];
  a->luns[1].lun = 1;
  a->pages[3] = (LunfsArenaPage){ .number = 7, .seq = 9, .lun = 0, .blocks = 0xff, .kept = 1 };
  a->pages[4] = (LunfsArenaPage){ .number = 255, .seq = 9, .lun = 1, .blocks = 0xff, .kept = 1 };
  a->ranges[0] = (LunfsArenaRange){ .offset = 4096, .length = 8192, .seq = 8, .op = LUNFS_OP_ZERO, .kept = 1 };
  a->witnesses[0] = (LunfsArenaWitness){ .where = 9 << 8 | 0xff, .hash = 5 };
  total_bytes = a->mapped_bytes;
  image_bytes = (size_t) (a->chunks - (uint8_t *) a->header);
  luns_at = (size_t) ((uint8_t *) a->luns - (uint8_t *) a->header);
  slots_at = (size_t) ((uint8_t *) a->slots - (uint8_t *) a->header);
  ranges_at = (size_t) ((uint8_t *) a->ranges - (uint8_t *) a->header);
  pages_at = (size_t) ((uint8_t *) a->pages - (uint8_t *) a->header);
  witnesses_at = (size_t) ((uint8_t *) a->witnesses - (uint8_t *) a->header);
  memcpy (page_records, a->pages, sizeof page_records);
  first_witness = a->witnesses[0];
  image = g_memdup2 (a->header, image_bytes);
}

static int
make_file (FuzzBytes *in)
{
  int fd = memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  off_t size = (off_t) total_bytes;
  unsigned what = fuzz_u8 (in);

  must (fd >= 0);
  /* Only the pages that are not all zeroes: header, first records. */
  must (pwrite (fd, image, 4096, 0) == 4096 && pwrite (fd, image + luns_at, 4096, (off_t) luns_at) == 4096
        && pwrite (fd, image + ranges_at, 4096, (off_t) ranges_at) == 4096
        && pwrite (fd, page_records, sizeof page_records, (off_t) pages_at) == sizeof page_records
        && pwrite (fd, &first_witness, sizeof first_witness, (off_t) witnesses_at) == sizeof first_witness);
  switch (what & 7) {
  case 1:
    size = (off_t) (fuzz_u32 (in) % (image_bytes * 2));
    break;
  case 2:
    size += (off_t) (int8_t) fuzz_u8 (in) * LUNFS_CHUNK_BYTES;
    break;
  case 3: /* huge: never more than what one file can be */
    size = (off_t) (fuzz_u64 (in) & INT64_MAX);
    break;
  case 4:
    size += (int8_t) fuzz_u8 (in);
    break;
  default:
    break;
  }
  if (size < 0 || ftruncate (fd, size) < 0) {
    close (fd);
    return -1;
  }
  while (in->left) {
    static const unsigned parts = 7;
    const size_t starts[] = {
      0, luns_at, luns_at + sizeof (LunfsArenaLun), slots_at, ranges_at, pages_at, witnesses_at
    };
    off_t at = (off_t) (starts[fuzz_u8 (in) % parts] + fuzz_u16 (in));
    size_t n = fuzz_u8 (in), room = at < size ? (size_t) MIN (size - at, 255) : 0;

    n = MIN (n, MIN (room, in->left));
    must (pwrite (fd, in->p, n, at) == (ssize_t) n);
    in->p += n;
    in->left -= n;
  }
  as_file = what & 32; /* under our lock */
  if (as_file)
    must (fchmod (fd, what & 64 ? 0640 : 0600) == 0);
  must (what & 8 || fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | (what & 16 ? 0 : F_SEAL_GROW)) == 0);
  return fd;
}

static void
terminated (const char *text, size_t size)
{
  must (memchr (text, 0, size));
}

/* What a later mount would write to LUN @lun is inside it. */
static bool
collect (const LunfsArena *a, unsigned lun)
{
  g_autoptr (GArray) ranges = NULL;
  g_autoptr (GArray) pages = NULL;
  uint64_t size = a->luns[lun].nblocks * a->luns[lun].block_size, before = 0;

  if (!lunfs_saved_collect (a, lun, &ranges, &pages))
    return false;
  for (guint i = 0; i < pages->len; i++) {
    const LunfsArenaPage *p = &a->pages[g_array_index (pages, uint32_t, i)];

    must (p->lun == lun && p->blocks && (i == 0 || p->number > before));
    must (p->number < size / LUNFS_PAGE_BYTES + 1);
    before = p->number;
  }
  for (guint i = 0; i < ranges->len; i++) {
    const LunfsArenaRange *r = &a->ranges[g_array_index (ranges, uint32_t, i)];

    must (r->lun == lun && r->offset < size && r->length <= size - r->offset);
  }
  return pages->len + ranges->len > 0;
}

static void
use_saved (const LunfsArena *a)
{
  uint8_t page[LUNFS_PAGE_BYTES] = { 0 };
  bool any = lunfs_saved_any (a);

  lunfs_saved_is_whole (a);
  for (unsigned lun = 0; lun < 4; lun++) {
    unsigned nranges;
    uint64_t bytes = lunfs_saved_bytes (a, lun, &nranges);

    must (any || (bytes == 0 && nranges == 0));
    must (!collect (a, lun) || bytes > 0 || nranges > 0 || a->luns[lun].saved >= LUNFS_SAVED_DONE);
    for (unsigned i = 0; i < 8; i++) {
      const LunfsArenaWitness *witness = &a->witnesses[lun * LUNFS_ARENA_WITNESSES + i];
      uint32_t from, to;

      lunfs_witness_bytes (witness, &from, &to);
      must (from <= to);
      lunfs_witness_agrees (witness, page);
    }
  }
}

/* What a worker does with an arena. */
static void
use (LunfsArena *a, off_t size)
{
  const LunfsArenaHeader *h = a->header;
  LunfsPool *pool;
  uint32_t chunk;

  must (h->magic == LUNFS_ARENA_MAGIC && h->version == LUNFS_ARENA_VERSION && h->total_bytes == (uint64_t) size);
  must (a->mapped_bytes == (uint64_t) size
        && (uint8_t *) a->pages == a->chunks + (uint64_t) h->nchunks * LUNFS_CHUNK_BYTES
        && (uint8_t *) (a->witnesses + (size_t) LUNFS_ARENA_LUNS * LUNFS_ARENA_WITNESSES) == (uint8_t *) h + size);
  must (h->init_bytes <= LUNFS_ARENA_INIT_MAX && h->max_write <= LUNFS_MAX_WRITE && h->isid_random < 1u << 24);
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS && a->luns[i].used; i++) {
    const LunfsArenaLun *lun = &a->luns[i];

    terminated (lun->host, sizeof lun->host);
    terminated (lun->target_name, sizeof lun->target_name);
    terminated (lun->identity, sizeof lun->identity);
    if (lun->proven) {
      must (lun->block_size >= 512 && lun->block_size <= 65536 && (lun->block_size & (lun->block_size - 1)) == 0);
      must (lun->nblocks > 0 && lun->nblocks <= (uint64_t) INT64_MAX / lun->block_size);
    }
    must (lunfs_arena_lun (a, lun->host, lun->port, lun->target_name, lun->lun) <= (int) i);
  }
  if (as_file && h->nchunks <= 4096)
    use_saved (a);
  must (lunfs_arena_lun (a, "another.example", 3260, TARGET, 7) >= -1);
  if (h->nchunks == 0 || h->nchunks > 4096)
    return;
  pool = lunfs_pool_new (a, false);
  must (lunfs_pool_take (pool, &chunk, 1) && chunk < h->nchunks);
  memset (lunfs_pool_chunk (pool, chunk), 0x5a, LUNFS_CHUNK_BYTES);
  lunfs_pool_give (pool, &chunk, 1);
  lunfs_pool_free (pool);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  g_autoptr (LunfsArena) arena = NULL;
  g_autoptr (GError) error = NULL;
  struct stat st;
  int fd;

  fuzz_quiet ();
  if (!image)
    make_image ();
  fd = make_file (&in);
  if (fd < 0)
    return 0;
  must (fstat (fd, &st) == 0);
  arena = lunfs_arena_attach (fd, &error);
  if (!arena) {
    must (error && error->domain == LUNFS_ERROR && error->message[0]);
    must (fcntl (fd, F_GETFD) < 0); /* taken, and closed */
    return 0;
  }
  must (!error);
  use (arena, st.st_size);
  return 0;
}

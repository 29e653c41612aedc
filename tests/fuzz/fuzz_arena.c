/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An arena that was written to by who knows whom: attached, or refused with a reason.  What is attached can be used.
 *
 * The input: how its size and its seals differ from what they should be, then patches: part, offset, length, bytes. */
#include "config.h"

#include "fuzz.h"

#include "lunfs/arena.h"
#include "lunfs/error.h"
#include "lunfs/pool.h"

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
static size_t image_bytes, luns_at, slots_at;

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
  image_bytes = (size_t) (a->chunks - (uint8_t *) a->header);
  luns_at = (size_t) ((uint8_t *) a->luns - (uint8_t *) a->header);
  slots_at = (size_t) ((uint8_t *) a->slots - (uint8_t *) a->header);
  image = g_memdup2 (a->header, image_bytes);
}

static int
make_file (FuzzBytes *in)
{
  int fd = memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  off_t size = (off_t) (image_bytes + CHUNKS * LUNFS_CHUNK_BYTES);
  unsigned what = fuzz_u8 (in);

  must (fd >= 0);
  /* Only the pages that are not all zeroes: header, first records. */
  must (pwrite (fd, image, 4096, 0) == 4096 && pwrite (fd, image + luns_at, 4096, (off_t) luns_at) == 4096);
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
    static const unsigned parts = 4;
    const size_t starts[] = { 0, luns_at, luns_at + sizeof (LunfsArenaLun), slots_at };
    off_t at = (off_t) (starts[fuzz_u8 (in) % parts] + fuzz_u16 (in));
    size_t n = fuzz_u8 (in), room = at < size ? (size_t) MIN (size - at, 255) : 0;

    n = MIN (n, MIN (room, in->left));
    must (pwrite (fd, in->p, n, at) == (ssize_t) n);
    in->p += n;
    in->left -= n;
  }
  must (what & 8 || fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | (what & 16 ? 0 : F_SEAL_GROW)) == 0);
  return fd;
}

static void
terminated (const char *text, size_t size)
{
  must (memchr (text, 0, size));
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
        && a->chunks == (uint8_t *) h + size - (uint64_t) h->nchunks * LUNFS_CHUNK_BYTES);
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

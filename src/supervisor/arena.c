/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arena's memory: made once by the supervisor, mapped by each worker; a memfd, or a file (state.c).
 *
 * Decides where the parts lie (layout) and whether a mapping may be trusted (check_*).  The size is sealed, so
 * that no holder of the descriptor can make a page disappear under another (SIGBUS).  The chunks cost memory
 * only once they are touched. */
#include "config.h"

#include "lunfs/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"
#include "util/filelock.h"

#define PART_ALIGN 4096u
#define PAGE_RECORDS_BYTES (LUNFS_PAGES_PER_CHUNK * (uint64_t) sizeof (LunfsArenaPage)) /* of a chunk */
#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

G_STATIC_ASSERT (PART_ALIGN <= LUNFS_CHUNK_BYTES);

typedef struct {
  uint64_t luns, slots, ranges, chunks, pages, witnesses, total; /* byte offsets, and the size of it all */
} Layout;

static uint64_t
align_up (uint64_t n, uint64_t to)
{
  return (n + to - 1) / to * to;
}

static Layout
layout (uint32_t nchunks)
{
  Layout at;

  at.luns = align_up (sizeof (LunfsArenaHeader), PART_ALIGN);
  at.slots = align_up (at.luns + LUNFS_ARENA_LUNS * sizeof (LunfsArenaLun), PART_ALIGN);
  at.ranges = align_up (at.slots + LUNFS_ARENA_SLOTS * sizeof (LunfsArenaSlot), PART_ALIGN);
  at.chunks = align_up (at.ranges + LUNFS_ARENA_RANGES * sizeof (LunfsArenaRange), LUNFS_CHUNK_BYTES);
  at.pages = at.chunks + (uint64_t) nchunks * LUNFS_CHUNK_BYTES;
  at.witnesses = align_up (at.pages + nchunks * PAGE_RECORDS_BYTES, PART_ALIGN);
  at.total = at.witnesses + (uint64_t) LUNFS_ARENA_LUNS * LUNFS_ARENA_WITNESSES * sizeof (LunfsArenaWitness);
  return at;
}

uint32_t
lunfs_arena_layout (void)
{
  static const uint32_t sizes[] = { sizeof (LunfsArenaHeader), sizeof (LunfsArenaLun),  sizeof (LunfsArenaSlot),
                                    sizeof (LunfsArenaRange),  sizeof (LunfsArenaPage), LUNFS_ARENA_LUNS,
                                    LUNFS_ARENA_SLOTS,         LUNFS_ARENA_RANGES,      LUNFS_CHUNK_BYTES,
                                    LUNFS_ARENA_WITNESSES };
  uint32_t n = 2166136261u; /* FNV-1a */

  for (unsigned i = 0; i < G_N_ELEMENTS (sizes); i++)
    n = (n ^ sizes[i]) * 16777619u;
  return n;
}

/* Takes @fd, also on error. */
static LunfsArena *
map (int fd, Layout at, GError **error)
{
  LunfsArena *arena;
  uint8_t *base = mmap (NULL, at.total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  if (base == MAP_FAILED) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM,
                 "cannot map %" G_GUINT64_FORMAT " MiB of request buffers: %s; a smaller buffer-size may fit",
                 at.total >> 20, g_strerror (errno));
    close (fd);
    return NULL;
  }
  arena = g_new0 (LunfsArena, 1);
  arena->fd = fd;
  arena->header = (LunfsArenaHeader *) base;
  arena->luns = (LunfsArenaLun *) (base + at.luns);
  arena->slots = (LunfsArenaSlot *) (base + at.slots);
  arena->ranges = (LunfsArenaRange *) (base + at.ranges);
  arena->chunks = base + at.chunks;
  arena->pages = (LunfsArenaPage *) (base + at.pages);
  arena->witnesses = (LunfsArenaWitness *) (base + at.witnesses);
  arena->mapped_bytes = at.total;
  /* What users store is nobody's business who looks at a core dump, and makes it large. */
  if (madvise (arena->chunks, at.total - at.chunks, MADV_DONTDUMP) < 0 && at.total > at.chunks)
    lunfs_debug (SUPERVISOR, "core dumps will hold users' data: %s", g_strerror (errno));
  return arena;
}

static int
sealed_memfd (uint64_t size, GError **error)
{
  int fd = memfd_create ("lunfs-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (fd >= 0 && ftruncate (fd, (off_t) size) == 0 && fcntl (fd, F_ADD_SEALS, SIZE_SEALS) == 0)
    return fd;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM, "cannot make a memory file of %" G_GUINT64_FORMAT " MiB: %s",
               size >> 20, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

static bool
count_chunks (uint64_t buffer_bytes, uint32_t *out_nchunks, GError **error)
{
  uint64_t n = MAX (align_up (buffer_bytes, LUNFS_CHUNK_BYTES) / LUNFS_CHUNK_BYTES, LUNFS_CHUNKS_PER_REQUEST);

  if (buffer_bytes > (uint64_t) G_MAXINT64 / 2 || n > G_MAXUINT32) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "buffer-size %" G_GUINT64_FORMAT " is too large", buffer_bytes);
    return false;
  }
  *out_nchunks = (uint32_t) n;
  return true;
}

/* Takes @fd, a file of the right size. */
static LunfsArena *
format (int fd, uint32_t nchunks, GError **error)
{
  Layout at = layout (nchunks);
  LunfsArena *arena = map (fd, at, error);

  if (!arena)
    return NULL;
  *arena->header = (LunfsArenaHeader){
    .magic = LUNFS_ARENA_MAGIC,
    .version = LUNFS_ARENA_VERSION,
    .header_bytes = sizeof (LunfsArenaHeader),
    .total_bytes = at.total,
    .nchunks = nchunks,
    .isid_random = g_random_int () & 0xffffff,
    .started_us = g_get_real_time (),
  };
  return arena;
}

LunfsArena *
lunfs_arena_create (uint64_t buffer_bytes, GError **error)
{
  uint32_t nchunks;
  int fd;

  if (!count_chunks (buffer_bytes, &nchunks, error))
    return NULL;
  fd = sealed_memfd (layout (nchunks).total, error);
  return fd < 0 ? NULL : format (fd, nchunks, error);
}

LunfsArena *
lunfs_arena_create_in (int fd, uint64_t buffer_bytes, GError **error)
{
  uint32_t nchunks;
  uint64_t total;
  int err;

  if (!count_chunks (buffer_bytes, &nchunks, error)) {
    close (fd);
    return NULL;
  }
  total = layout (nchunks).total;
  while ((err = posix_fallocate (fd, 0, (off_t) total)) == EINTR)
    ;
  if (err == 0)
    return format (fd, nchunks, error);
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED,
               "cannot allocate %" G_GUINT64_FORMAT
               " MiB there: %s; make room, or give smaller cache_size and buffer_size",
               (total + (1 << 20) - 1) >> 20, g_strerror (err));
  close (fd);
  return NULL;
}

static bool
refuse (GError **error, const char *why)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "the arena is unusable: %s", why);
  return false;
}

/* Not damaged: of another program.  That one is still there (supervisor/upgrade.h). */
static bool
misfit (const LunfsArenaHeader *h, GError **error)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MISFIT,
               "the arena is unusable: another version of lunfs made it: layout %u (%u bytes of header), this "
               "program's is %u (%zu)",
               h->version, h->header_bytes, LUNFS_ARENA_VERSION, sizeof *h);
  return false;
}

/* A file that only we, or root, may cut; and under our lock (of all that inherited @fd), if @locked. */
static bool
is_ours_alone (int fd, const struct stat *st, bool locked)
{
  return S_ISREG (st->st_mode) && (st->st_uid == geteuid () || (geteuid () == 0 && !locked)) && (st->st_mode & 077) == 0
         && (!locked || lunfs_file_lock (fd));
}

/* The descriptor itself, before anything is mapped. */
static bool
check_file (int fd, bool locked, uint64_t *out_size, GError **error)
{
  struct stat st;
  int seals = fcntl (fd, F_GET_SEALS);

  if (fstat (fd, &st) < 0)
    return refuse (error, g_strerror (errno));
  if ((seals < 0 || (seals & SIZE_SEALS) != SIZE_SEALS) && !is_ours_alone (fd, &st, locked))
    return refuse (error, "its size is not sealed, and it is no file of ours alone under our lock");
  *out_size = (uint64_t) st.st_size;
  return true;
}

static bool
check_header (const LunfsArenaHeader *h, uint64_t size, GError **error)
{
  if (h->total_bytes != size || layout (h->nchunks).total != size)
    return refuse (error, "its sizes do not fit together");
  if (h->init_bytes > LUNFS_ARENA_INIT_MAX || h->max_write > LUNFS_MAX_WRITE || h->isid_random > 0xffffff
      || !memchr (h->source, 0, sizeof h->source) || !memchr (h->mountpoint, 0, sizeof h->mountpoint)
      || !memchr (h->boot_id, 0, sizeof h->boot_id) || !memchr (h->device, 0, sizeof h->device))
    return refuse (error, "its header is damaged");
  return true;
}

/* @used is what publishes a record: a worker killed before that leaves a free one behind. */
static bool
is_used (const LunfsArenaLun *lun)
{
  return __atomic_load_n (&lun->used, __ATOMIC_ACQUIRE) != 0;
}

static bool
is_sound (const LunfsArenaLun *lun)
{
  uint32_t bs = lun->block_size;

  if (!memchr (lun->host, 0, sizeof lun->host) || !memchr (lun->target_name, 0, sizeof lun->target_name)
      || !memchr (lun->identity, 0, sizeof lun->identity) || !memchr (lun->saved_why, 0, sizeof lun->saved_why)
      || lun->saved > LUNFS_SAVED_DISCARDED)
    return false;
  return !lun->proven
         || (bs >= 512 && bs <= LUNFS_CHUNK_BYTES && (bs & (bs - 1)) == 0 && lun->nblocks > 0
             && lun->nblocks <= (uint64_t) G_MAXINT64 / bs);
}

/* A worker that was killed leaves sound records behind; one that ran wild may not. */
static bool
check_luns (const LunfsArenaLun *luns, GError **error)
{
  for (unsigned i = 0; i < LUNFS_ARENA_LUNS; i++)
    if (is_used (&luns[i]) && !is_sound (&luns[i]))
      return refuse (error, "a LUN's record is damaged");
  return true;
}

/* Said before anything else is looked at: sizes differ between versions, too. */
static bool
check_version (int fd, GError **error)
{
  LunfsArenaHeader h;

  if (pread (fd, &h, offsetof (LunfsArenaHeader, total_bytes), 0) != (ssize_t) offsetof (LunfsArenaHeader, total_bytes)
      || h.magic != LUNFS_ARENA_MAGIC)
    return refuse (error, "it is no arena");
  if (h.version == LUNFS_ARENA_VERSION && h.header_bytes == sizeof h)
    return true;
  return misfit (&h, error);
}

static LunfsArena *
attach (int fd, bool locked, GError **error)
{
  g_autoptr (LunfsArena) arena = NULL;
  uint64_t size = 0, nchunks;

  if (!check_file (fd, locked, &size, error) || !check_version (fd, error)) {
    close (fd);
    return NULL;
  }
  /* Mapped by the file's size, which nobody can change, and only then believed. */
  nchunks = (MAX (size, layout (0).total) - layout (0).total) / (LUNFS_CHUNK_BYTES + PAGE_RECORDS_BYTES);
  if (nchunks > G_MAXUINT32 || layout ((uint32_t) nchunks).total != size) {
    refuse (error, "its size is not one of ours");
    close (fd);
    return NULL;
  }
  arena = map (fd, layout ((uint32_t) nchunks), error);
  if (!arena || !check_header (arena->header, size, error) || !check_luns (arena->luns, error))
    return NULL;
  return g_steal_pointer (&arena);
}

LunfsArena *
lunfs_arena_attach (int fd, GError **error)
{
  return attach (fd, true, error);
}

LunfsArena *
lunfs_arena_look (int fd, GError **error)
{
  return attach (fd, false, error);
}

void
lunfs_arena_free (LunfsArena *arena)
{
  if (!arena)
    return;
  munmap (arena->header, arena->mapped_bytes);
  close (arena->fd);
  g_free (arena);
}

static bool
is_same (const LunfsArenaLun *have, const char *host, uint16_t port, const char *target_name, uint16_t lun)
{
  return have->lun == lun && have->port == port && strcmp (have->target_name, target_name) == 0
         && strcmp (have->host, host) == 0;
}

int
lunfs_arena_lun (LunfsArena *arena, const char *host, uint16_t port, const char *target_name, uint16_t lun)
{
  LunfsArenaLun *record;
  int i;

  /* Cut names could make two LUNs one. */
  if (strlen (host) >= sizeof record->host || strlen (target_name) >= sizeof record->target_name)
    return -1;
  for (i = 0; i < LUNFS_ARENA_LUNS && is_used (&arena->luns[i]); i++)
    if (is_same (&arena->luns[i], host, port, target_name, lun))
      return i;
  if (i == LUNFS_ARENA_LUNS)
    return -1;
  record = &arena->luns[i];
  memset (record, 0, sizeof *record);
  record->lun = lun;
  record->port = port;
  g_strlcpy (record->host, host, sizeof record->host);
  g_strlcpy (record->target_name, target_name, sizeof record->target_name);
  __atomic_store_n (&record->used, 1, __ATOMIC_RELEASE);
  return i;
}

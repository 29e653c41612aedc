/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arena: a memfd held by the supervisor and mapped by every worker in turn.  What a successor needs lives
 * here and nowhere else: the saved INIT, request slots and their data, ISIDs, LUN identities.
 *
 * Layout (all offsets fixed for one layout version, checked on attach):
 *   LunfsArenaHeader | LunfsArenaLun[LUNFS_ARENA_LUNS] | LunfsArenaSlot[LUNFS_ARENA_SLOTS] |
 *   LunfsArenaRange[LUNFS_ARENA_RANGES] | chunks of 64 KiB | LunfsArenaPage for each 4 KiB of them |
 *   LunfsArenaWitness[LUNFS_ARENA_LUNS][LUNFS_ARENA_WITNESSES]
 * With state_dir it is a file instead, under an exclusive lock (supervisor/state.h): it outlives both processes.
 * Pointers never stand in the arena, only indices.  The worker is the only writer after the supervisor has
 * published the header; a new worker attaches only after the old one has been reaped. */
#ifndef LUNFS_ARENA_H
#define LUNFS_ARENA_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define LUNFS_ARENA_MAGIC 0x314e52414e554cULL /* "LUNARN1" */
#define LUNFS_ARENA_VERSION 4
#define LUNFS_ARENA_INIT_MAX 512 /* bytes of the saved FUSE_INIT request */
#define LUNFS_ARENA_LUNS 1024
#define LUNFS_ARENA_SLOTS 2048
#define LUNFS_ARENA_RANGES 4096
#define LUNFS_ARENA_WITNESSES 1024 /* of a LUN */
#define LUNFS_CHUNK_BYTES 65536u
#define LUNFS_PAGE_BYTES 4096u
#define LUNFS_PAGES_PER_CHUNK (LUNFS_CHUNK_BYTES / LUNFS_PAGE_BYTES)
#define LUNFS_MAX_WRITE (1u << 20)                                     /* FUSE max_write, bytes */
#define LUNFS_CHUNKS_PER_REQUEST (LUNFS_MAX_WRITE / LUNFS_CHUNK_BYTES) /* 16 */
/* struct fuse_in_header + struct fuse_write_in: a WRITE's payload starts exactly behind it. */
#define LUNFS_SLOT_HEADER_BYTES 80

typedef struct {
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes; /* sizeof (LunfsArenaHeader) */
  uint64_t total_bytes;
  uint32_t nchunks;
  uint32_t max_write, max_background; /* as negotiated: fixed for the life of the mount */
  uint64_t init_flags;                /* FUSE_INIT flags agreed on */
  uint32_t init_bytes;                /* bytes in init_request; 0 = not yet received */
  uint8_t init_request[LUNFS_ARENA_INIT_MAX];
  uint32_t isid_random;  /* 24 bits: chosen once per mount, see session/isid.h */
  uint32_t worker_count; /* workers started so far: 1 for the first */
  uint32_t resent;       /* requests that came again after a worker's death */
  uint32_t
      request_timeout_s; /* the kernel ends the mount if a request is not answered within that; 0 = no such limit */
  int64_t started_us;    /* wall clock, for the status file */
  /* A file only: whose it was, and what may be believed of it. */
  char source[256], mountpoint[256];
  char boot_id[40];  /* of the kernel that ran it: its page cache held all of the file */
  uint32_t sealed;   /* written when all else was on disk, after the last worker's end */
  int64_t sealed_us; /* wall clock */
} LunfsArenaHeader;

/* What becomes of a LUN's saved data: LunfsArenaLun.saved. */
typedef enum {
  LUNFS_SAVED_WAITS,     /* not judged yet */
  LUNFS_SAVED_REFUSED,   /* saved_why */
  LUNFS_SAVED_APPROVED,  /* by the administrator: written back whatever the proof says */
  LUNFS_SAVED_DONE,      /* at the target */
  LUNFS_SAVED_DISCARDED, /* by the administrator */
} LunfsSavedState;

/* A LUN that has been seen: keeps its index (node id, ISID) for the life of the mount. */
typedef struct {
  uint32_t used; /* published last */
  uint16_t lun;
  uint16_t proven; /* identity below is valid */
  uint32_t block_size;
  uint64_t nblocks;
  char target_name[224]; /* RFC 7143 4.2.7.1: at most 223 bytes */
  char host[256];
  uint16_t port;
  char identity[256];        /* LunfsIdentity.text */
  uint32_t dirty;            /* unstable writes existed when the last worker ended */
  uint32_t no_reinstatement; /* see session/guard.c */
  uint64_t disowned_seq;     /* LunfsArenaPage.seq: what was written up to then must not be written again */
  uint32_t lost_errno;       /* acknowledged data was lost, and no fsync has said so yet */
  /* A file only. */
  uint32_t pr_known, pr_generation; /* of persistent reservations, at the last login */
  uint32_t saved;                   /* LunfsSavedState */
  uint32_t saved_begun;             /* some of it may be at the target already */
  char saved_why[160];
} LunfsArenaLun;

typedef struct {
  uint32_t len; /* bytes read from /dev/fuse; 0 = slot empty.  Cleared before read(2), set by it. */
  uint32_t nchunks;
  uint8_t header[LUNFS_SLOT_HEADER_BYTES];
  uint32_t chunk[LUNFS_CHUNKS_PER_REQUEST];
} LunfsArenaSlot;

/* What a page of the cache holds for the target: acknowledged to a user, and not known to be on stable storage.  A worker's
 * successor writes it (again).  Two pages with one number: the one with the higher seq has all that the other has. */
typedef struct {
  uint64_t number; /* its data's place in the LUN, in units of LUNFS_PAGE_BYTES */
  uint64_t seq;    /* of the write that came last */
  uint16_t lun;    /* index in LunfsArena.luns */
  uint8_t blocks;  /* bit b: logical block b of the page */
  uint8_t kept;    /* published last, withdrawn first */
} LunfsArenaPage;

/* LunfsArenaRange.kept */
enum {
  LUNFS_RANGE_FREE,
  LUNFS_RANGE_DONE,     /* by the target */
  LUNFS_RANGE_RESERVED, /* being filled in */
  LUNFS_RANGE_DUE,      /* not yet */
};

/* The same for a range that was discarded or zeroed (cache/ranges.h). */
typedef struct {
  uint64_t offset, length; /* bytes */
  uint64_t seq;
  uint32_t flags; /* LUNFS_REQ_UNMAP */
  uint16_t lun;
  uint8_t op;   /* LunfsOp */
  uint8_t kept; /* published last, withdrawn first; also says whether the target has done it */
} LunfsArenaRange;

/* What a place of the LUN held when the target last answered a command for it (session/witness.h). */
typedef struct {
  uint64_t where; /* page number << 8 | mask of its 512-byte parts; 0 = none.  Published last, withdrawn first */
  uint64_t hash;
} LunfsArenaWitness;

typedef struct {
  int fd;
  LunfsArenaHeader *header;
  LunfsArenaLun *luns;
  LunfsArenaSlot *slots;
  LunfsArenaRange *ranges;
  uint8_t *chunks; /* chunk i is at chunks + i * LUNFS_CHUNK_BYTES */
  LunfsArenaPage *pages;
  LunfsArenaWitness *witnesses; /* of LUN i: from i * LUNFS_ARENA_WITNESSES on */
  size_t mapped_bytes;
} LunfsArena;

/* Supervisor: make a sealed-size memfd with room for @buffer_bytes of chunks (rounded to whole chunks). */
LunfsArena *lunfs_arena_create (uint64_t buffer_bytes, GError **error);
/* The same in @fd, a new empty file under our lock; all of it is allocated, since a full disk would else be a SIGBUS.  Takes
 * @fd. */
LunfsArena *lunfs_arena_create_in (int fd, uint64_t buffer_bytes, GError **error);
/* Worker: map @fd; error if magic, version or sizes do not fit this program. Takes @fd.  A file must be ours alone, and under
 * an exclusive lock: nobody cuts it then. */
LunfsArena *lunfs_arena_attach (int fd, GError **error);
/* The same for a file that another process may have locked: to look at it, and for LunfsArenaLun.saved. */
LunfsArena *lunfs_arena_look (int fd, GError **error);
void lunfs_arena_free (LunfsArena *arena); /* unmaps and closes; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LunfsArena, lunfs_arena_free)

/* Index of the record of this LUN, made if new; -1 if the table is full.  Control thread only. */
int lunfs_arena_lun (LunfsArena *arena, const char *host, uint16_t port, const char *target_name, uint16_t lun);

#endif

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
#define LUNFS_ARENA_VERSION 6
#define LUNFS_ARENA_INIT_MAX 512 /* bytes of the saved FUSE_INIT request */
#define LUNFS_ARENA_LUNS 1024
#define LUNFS_ARENA_SLOTS 2048
#define LUNFS_ARENA_RANGES 4096
#define LUNFS_ARENA_SUSPECTS LUNFS_ARENA_SLOTS
#define LUNFS_ARENA_WITNESSES 1024 /* of a LUN */
#define LUNFS_CHUNK_BYTES 65536u
#define LUNFS_PAGE_BYTES 4096u
#define LUNFS_PAGES_PER_CHUNK (LUNFS_CHUNK_BYTES / LUNFS_PAGE_BYTES)
#define LUNFS_MAX_WRITE (1u << 20)                                     /* FUSE max_write, bytes */
#define LUNFS_CHUNKS_PER_REQUEST (LUNFS_MAX_WRITE / LUNFS_CHUNK_BYTES) /* 16 */
/* struct fuse_in_header + struct fuse_write_in: a WRITE's payload starts exactly behind it. */
#define LUNFS_SLOT_HEADER_BYTES 80

/* The last replacement of the worker by a newly installed program (supervisor/upgrade.h). */
typedef enum {
  LUNFS_UPGRADE_NONE,
  LUNFS_UPGRADE_CHECKING, /* the new program is asked whether it fits */
  LUNFS_UPGRADE_LEAVING,  /* the old worker was asked to leave */
  LUNFS_UPGRADE_STARTING, /* it has; the new one does not serve yet */
  LUNFS_UPGRADE_DONE,
  LUNFS_UPGRADE_REFUSED, /* nothing was changed */
  LUNFS_UPGRADE_FAILED,  /* the old program serves again */
} LunfsUpgradeState;

#define LUNFS_VERSION_BYTES 32

/* Written by the supervisor, read by the worker for status and lunfsctl; what the workers write is marked. */
typedef struct {
  uint32_t state;    /* LunfsUpgradeState; published last */
  uint32_t attempts; /* asked for so far */
  uint32_t done;     /* and carried out */
  int32_t status;    /* LunfsExit of a refusal or failure */
  char supervisor_version[LUNFS_VERSION_BYTES], from[LUNFS_VERSION_BYTES], to[LUNFS_VERSION_BYTES];
  char text[320];     /* REFUSED, FAILED: why */
  int64_t stopped_us; /* the old worker, CLOCK_MONOTONIC: it reads no more requests */
  int64_t served_us;  /* the new worker: it reads them */
  int64_t up_us;      /* the new worker: each LUN that was up is up again; 0 = not yet */
  uint32_t clean;     /* the old worker: it has answered all it had read.  Taken back by its successor. */
} LunfsArenaUpgrade;
/* A request that a worker was serving when it crashed (fuse/poison.h). */
typedef struct {
  uint64_t unique; /* the kernel's number of it, without the bit that says "sent again" */
  uint64_t crashes;
} LunfsArenaSuspect;

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
  LunfsArenaUpgrade upgrade;
  /* The supervisor writes these while no worker runs, or while it waits to become the next one (LUNFS_MSG_FOLLOW). */
  uint32_t last_crashed; /* bool: the last worker ended by a fault of its own (supervisor/ending.h) */
  uint32_t last_signal;  /* that ended the last worker; 0 = it exited by itself, or there was none */
  uint32_t last_status;  /* its exit status else */
  uint32_t ended;        /* workers that ended */
  uint32_t crashes;      /* of these, by a fault of their own */
  /* Workers write these. */
  uint32_t replayed; /* requests that were found in the slots after a worker's death and served (fuse/inbox.h) */
  uint32_t poisoned; /* requests answered with EIO because workers crashed over them */
  uint32_t nsuspects;
  LunfsArenaSuspect suspects[LUNFS_ARENA_SUSPECTS];
  char device[32]; /* of the mount, as in mountinfo; "" = another program mounted it */
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

/* Why our registration does not stand any more: LunfsArenaReservation.lost */
typedef enum {
  LUNFS_LOST_NOT,
  LUNFS_LOST_PREEMPTED, /* it was removed */
  LUNFS_LOST_HELD,      /* it stands, but another initiator holds the reservation that was asked for */
} LunfsReservationLoss;

/* What was begun, and may have come to its end unheard: LunfsArenaReservation.begun.  Set before the command is sent. */
enum {
  LUNFS_BEGUN_LEAVING = 1, /* unregistering */
  LUNFS_BEGUN_TAKING = 2,  /* a reservation: one that our key holds is what was asked for */
  LUNFS_BEGUN_JOINING = 4, /* registration of a new nexus: our key may be there though .generation's was removed */
  LUNFS_BEGUN_FIRST = 8,   /* the first registration: if our key is not there, nothing came of it */
};

/* The persistent reservation that lunfsctl was asked for (session/reservation.h). */
typedef struct {
  uint64_t key;        /* of our registration; 0 = none was asked for.  Published last, withdrawn first */
  uint64_t lost_to;    /* whose key holds the reservation; 0 = nobody's, or it is not known */
  uint32_t generation; /* PRGENERATION when we were last known to be registered */
  uint8_t type;        /* LUNFS_PR_*; 0 = registered, and no more */
  uint8_t persists;    /* the target keeps it over a loss of power */
  uint8_t lost;        /* LunfsReservationLoss */
  uint8_t begun;       /* LUNFS_BEGUN_* */
} LunfsArenaReservation;

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
  /* Of a worker that has left for its successor, which takes them back: */
  uint16_t quiet;  /* the target has answered all it was sent: nothing of it can come late */
  uint16_t was_up; /* its session was up */
  /* Set by lunfsctl for as long as the mount lives; seconds, in the order of control.c's table. */
  uint16_t timeouts_set;
  uint16_t logged_out;
  int32_t timeouts[5];
  LunfsArenaReservation reservation;
  /* A file only. */
  uint32_t pr_known, pr_generation; /* of persistent reservations, at the last login */
  uint32_t saved;                   /* LunfsSavedState */
  uint32_t saved_begun;             /* some of it may be at the target already */
  char saved_why[160];
} LunfsArenaLun;

/* A request from the read of /dev/fuse to the write of its answer.  header begins with struct fuse_in_header, that with the
 * request's length: cleared before the read, set by the kernel.  So a successor finds whatever was read, even if the worker
 * was killed inside of the system call (fuse/inbox.h). */
typedef struct {
  uint32_t len; /* bytes of the request once it is being served; 0 = it is not (yet): fuse/poison.h */
  uint32_t reserved;
  uint8_t header[LUNFS_SLOT_HEADER_BYTES];
  uint32_t chunk[LUNFS_CHUNKS_PER_REQUEST]; /* where the rest of it goes; set before the read */
} LunfsArenaSlot;

/* Bytes of the request in @slot; 0 = none. */
static inline uint32_t
lunfs_slot_bytes (const LunfsArenaSlot *slot)
{
  return __atomic_load_n ((const uint32_t *) (const void *) slot->header, __ATOMIC_ACQUIRE);
}

/* It is answered, or is none: no successor may take its chunks for its own any more. */
static inline void
lunfs_slot_clear (LunfsArenaSlot *slot)
{
  __atomic_store_n ((uint32_t *) (void *) slot->header, 0, __ATOMIC_RELEASE);
  __atomic_store_n (&slot->len, 0, __ATOMIC_RELEASE);
}

/* How many of the slot's chunks @bytes of a request take; more than there are if it is no request. */
static inline unsigned
lunfs_slot_chunks (uint32_t bytes)
{
  return bytes > LUNFS_SLOT_HEADER_BYTES
             ? (unsigned) (((uint64_t) bytes - LUNFS_SLOT_HEADER_BYTES + LUNFS_CHUNK_BYTES - 1) / LUNFS_CHUNK_BYTES)
             : 0;
}

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

/* What two programs must have in common to use one arena: sizes of all records, folded. */
uint32_t lunfs_arena_layout (void);
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

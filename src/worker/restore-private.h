/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A writing back (restore.c), and what speaks for and against it (restore_proof.c).  Lane thread. */
#ifndef LUNFS_WORKER_RESTORE_PRIVATE_H
#define LUNFS_WORKER_RESTORE_PRIVATE_H

#include "worker/worker-private.h"

#define LUNFS_RESTORE_OPS 8
#define LUNFS_RESTORE_RUN_PAGES 32

typedef enum {
  LUNFS_RESTORE_WITNESSES,
  LUNFS_RESTORE_RANGES,
  LUNFS_RESTORE_PAGES,
  LUNFS_RESTORE_FLUSH,
} LunfsRestoreStage; /* restore.c */

typedef struct {
  LunfsRestore *restore;
  LunfsRequest req;
  struct iovec iov[LUNFS_RESTORE_RUN_PAGES];
  const LunfsArenaWitness *witness;
  uint8_t page[LUNFS_PAGE_BYTES];
  bool busy;
} LunfsRestoreOp;

struct LunfsRestore {
  LunfsRow *row;
  LunfsSaved *saved;
  unsigned index; /* of the LUN in the saved arena */
  LunfsLunInfo info;
  LunfsRestoreStage stage;
  GArray *ranges, *pages;
  guint next;
  uint8_t left;                 /* blocks of pages[next] that are still to be sent */
  uint64_t zero_from, zero_end; /* of a range that the target refuses to zero by itself */
  unsigned busy, same, changed;
  uint64_t bytes;
  bool holds; /* the file's lock */
  bool lost;  /* the session: it comes again */
  bool sending;
  int error;
  LunfsRestoreOp ops[LUNFS_RESTORE_OPS];
};

static inline LunfsArenaLun *
lunfs_restore_record (const LunfsRestore *r)
{
  return &r->saved->arena->luns[r->index];
}

/* restore_proof.c */
/* NULL = may be compared, or, if *out_approved, be written back as it is. */
const char *lunfs_restore_judge (LunfsRestore *r, bool *out_approved);
/* What holds for everybody, and may be otherwise next time; NULL = nothing. */
const char *lunfs_restore_obstacle (LunfsRestore *r);
const LunfsArenaWitness *lunfs_restore_witnesses (const LunfsRestore *r);
/* The witness of @op has been read. */
void lunfs_restore_compare (LunfsRestore *r, const LunfsRestoreOp *op);
/* When all have been: what speaks against it (g_free), or NULL. */
char *lunfs_restore_verdict (const LunfsRestore *r);
/* r->pages[i], and its data if @out_data. */
const LunfsArenaPage *lunfs_restore_page (const LunfsRestore *r, guint i, const uint8_t **out_data);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Witnesses of a LUN: what some places of it held when the target last answered for them, in a file that outlives us
 * (LunfsArenaWitness).  A later mount compares them: if one differs, somebody else has written to the LUN since.
 *
 * Pages of answered WRITEs and READs are noted, at most one a millisecond on average; a page has one place in the table, so what is
 * noted last takes the place of others.  Whatever is about to change is withdrawn before the command is sent, so that each
 * witness is true at any instant we may die.  Lane thread only. */
#ifndef LUNFS_WITNESS_H
#define LUNFS_WITNESS_H

#include "lunfs/arena.h"
#include "lunfs/request.h"

typedef struct {
  LunfsArenaWitness *table; /* LUNFS_ARENA_WITNESSES of them; NULL: nothing is noted */
  uint64_t changes;         /* commands sent so far that change data */
  unsigned changing;        /* of them, not answered yet */
  unsigned turn;
  int64_t noted_us;
} LunfsWitnesses;

/* @req is about to be sent.  Returns what lunfs_witness_answered wants to know. */
uint64_t lunfs_witness_sending (LunfsWitnesses *w, const LunfsRequest *req);
/* Its command has ended: @good, or in any other way. */
void lunfs_witness_answered (LunfsWitnesses *w, const LunfsRequest *req, uint64_t sent, bool good, int64_t now_us);

/* For the comparison: the page and the bytes of it that @witness speaks of. */
uint64_t lunfs_witness_page (const LunfsArenaWitness *witness);
void lunfs_witness_bytes (const LunfsArenaWitness *witness, uint32_t *out_from, uint32_t *out_to);
/* @page: its content, LUNFS_PAGE_BYTES. */
bool lunfs_witness_agrees (const LunfsArenaWitness *witness, const uint8_t *page);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every byte of the file may hold.
 *
 * Each change of the file (write, punch, zero) has a generation of its own, and the bytes it leaves are a
 * function of seed, generation and offset; those of a punch are zero.  A clock counts up with every start and
 * every end of an operation: start is taken before the system call and end after it, so if one operation's
 * end is below another's start, the first really was over before the second began.
 *
 * The file is cut into cells of 512 bytes.  A cell has a list of records: generation, the bytes [lo, hi) of
 * the cell that it covers, start, end (SHADOW_NEVER while it is in flight).  A record is listed before its
 * system call starts. A byte that a read [rstart, rend] returns may come from any record g that covers it,
 * with g.start < rend, and no record h that covers the byte with g.end < h.start and h.end < rstart that is:
 * anything that overlapped the read or another candidate is allowed, and nothing that was certainly
 * overwritten.  This is exact for bytes, whatever the alignment, and no lock is held during I/O: any number
 * of threads may write, punch and read the same bytes at once.
 *
 * Torn cells.  The borders of the records cut a cell into intervals in which each byte has the same
 * candidates.  If none of the candidates was in flight during the read, the interval must be from one
 * generation as a whole: writes that overlap may win in any order, but not each a part of one sector. (Across
 * sectors they may.)  During a write, a read may see each byte old or new.
 *
 * What a read saw is final.  When every record of a cell had ended before a read started, the cell's content
 * is settled: candidates that the read did not see are struck off, so that no later read may see them.
 * Records go away in the same two ways only: struck off, or overwritten before every read that is still
 * running began.
 *
 * A cell is protected by the mutex that its index chooses; two cells are never locked at once. */
#ifndef STRESS_SHADOW_H
#define STRESS_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CELL = 512, SHADOW_CANDIDATES = 8 };
#define SHADOW_NEVER UINT64_MAX

typedef struct Shadow Shadow;

typedef struct Finding { /* what is wrong with a read */
  uint64_t offset;       /* first byte of the interval */
  size_t len;
  bool torn; /* each byte is allowed, but not together */
  unsigned ncandidates;
  uint64_t candidates[SHADOW_CANDIDATES]; /* generations, the first few */
} Finding;

typedef struct ShadowCounts {
  uint64_t cells, contested, settled; /* checked; with more than one candidate; struck off something */
} ShadowCounts;

Shadow *shadow_new (uint64_t size, unsigned nthreads, uint64_t seed);
void shadow_free (Shadow *s);

/* A change of [offset, offset + len) starts; returns its generation.  Bit 0 of a generation says "zeroes". */
uint64_t shadow_change_start (Shadow *s, uint64_t offset, size_t len, bool zeroes);
/* It is over.  With @undone it had no effect (not supported) and never happened. */
void shadow_change_end (Shadow *s, uint64_t offset, size_t len, uint64_t generation, bool undone);

/* A read by @thread starts; returns rstart.  Check it with shadow_read_check (), once. */
uint64_t shadow_read_start (Shadow *s, unsigned thread);
/* @return false with the first thing that is wrong in *out. */
bool shadow_read_check (Shadow *s, unsigned thread, uint64_t rstart, uint64_t offset, const uint8_t *data,
                        size_t len, bool allow_torn, ShadowCounts *counts, Finding *out);

/* The bytes that @generation leaves at [offset, offset + len). */
void shadow_fill (const Shadow *s, uint64_t generation, uint64_t offset, uint8_t *buf, size_t len);
uint64_t shadow_clock (Shadow *s);

#endif
